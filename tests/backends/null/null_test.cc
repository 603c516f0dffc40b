#include "accelerate/backends/null/null.h"

#include <gtest/gtest.h>

#include "tests/backends/null/null_harness.h"

namespace accelerate {
namespace {

using null_harness::kNull;

TEST(NullBackend, HasOneDeviceOfItsOwn) {
  BackendContext context;
  auto backend = make_null_backend(context);
  const auto verdicts = backend->probe({});
  ASSERT_EQ(verdicts.size(), 1u);
  EXPECT_EQ(verdicts[0].hardware, "null");
  EXPECT_EQ(verdicts[0].state, Verdict::State::kAvailable);
  ASSERT_EQ(verdicts[0].devices.size(), 1u);
  EXPECT_EQ(to_string(verdicts[0].devices[0]), "null:0");
  EXPECT_EQ(backend->about().hardware, std::vector<std::string>{"null"});
}

TEST(NullBackend, CompilesForItsOwnDeviceOnly) {
  BackendContext context;
  auto backend = make_null_backend(context);
  const auto model = std::make_shared<Model>();
  EXPECT_TRUE(backend->supports(*model, kNull, {}).yes);
  EXPECT_FALSE(backend->supports(*model, {.kind = "cpu"}, {}).yes);
  EXPECT_EQ(backend->compile(model, {.kind = "cpu"}, {}, no_progress()).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(backend->load(model, {}, kNull, {}, no_progress()).error().code, ErrorCode::kUnimplemented);
}

TEST(NullBackend, OptionsAndTheModelOverrideTheScript) {
  set_null_script({});
  BackendContext context;
  auto model = std::make_shared<Model>();
  model->config.vocabulary = 99;
  auto compiled = make_null_backend(context)->compile(model, kNull, {.context = 50, .kv_tokens = 70, .slots = 3}, no_progress());
  ASSERT_TRUE(compiled.ok());
  auto& decoder = static_cast<DecoderProgram&>(*compiled->program);
  EXPECT_EQ(decoder.vocabulary(), 99u);
  EXPECT_EQ(decoder.limits().slots_max, 3u);
  EXPECT_EQ(decoder.limits().context_max, 50u);
  EXPECT_EQ(decoder.capacity().kv_tokens_total, 70u);
  EXPECT_EQ(null_harness::compile({.encoder = true})->kind(), ProgramKind::kEncoder);
}

}  // namespace
}  // namespace accelerate
