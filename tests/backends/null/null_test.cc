#include "accelerate/backends/null/null.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/backends/null/null_harness.h"

namespace accelerate {
namespace {

using null_harness::kNull;

TEST(NullBackend, IsAbsentUnlessAskedFor) {
  BackendContext context;
  auto backend = make_null_backend(context);
  unsetenv(kNullVariable);
  auto verdicts = backend->probe({});
  ASSERT_EQ(verdicts.size(), 1u);
  EXPECT_EQ(verdicts[0].hardware, "null");
  EXPECT_EQ(verdicts[0].state, Verdict::State::kAbsent);
  EXPECT_FALSE(verdicts[0].reason.empty());
  EXPECT_TRUE(verdicts[0].devices.empty());
  setenv(kNullVariable, "1", 1);
  verdicts = backend->probe({});
  EXPECT_EQ(verdicts[0].state, Verdict::State::kAvailable);
  EXPECT_EQ(verdicts[0].devices.size(), 1u);
  unsetenv(kNullVariable);
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
