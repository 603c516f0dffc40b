#include "accelerate/backends/null/null_decoder.h"

#include <gtest/gtest.h>

#include "tests/backends/null/null_harness.h"

namespace accelerate {
namespace {

using null_harness::Tops;

struct Decoder {
  explicit Decoder(NullScript script, const CompileOptions& options = {})
      : program(null_harness::compile(std::move(script), options)), decoder(static_cast<DecoderProgram&>(*program)) {}
  /// Greedy answer to `prompt`, `count` tokens.
  std::vector<uint32_t> answer(Slot slot, std::vector<uint32_t> prompt, size_t count) {
    Tops sink;
    std::vector<uint32_t> next = std::move(prompt);
    for (size_t i = 0; i < count; ++i) {
      const SlotInput input{.slot = slot, .tokens = next};
      SlotStatus status;
      EXPECT_TRUE(decoder.step({&input, 1}, {&status, 1}, sink, {}).ok());
      EXPECT_FALSE(status.error.has_value());
      next = {sink.tokens.back()};
    }
    return sink.tokens;
  }
  std::optional<Error> status_of(Slot slot, std::vector<uint32_t> tokens) {
    Tops sink;
    const SlotInput input{.slot = slot, .tokens = tokens};
    SlotStatus status;
    const auto stepped = decoder.step({&input, 1}, {&status, 1}, sink, {});
    EXPECT_TRUE(stepped.ok());
    return status.error;
  }
  std::unique_ptr<Program> program;
  DecoderProgram& decoder;
};

TEST(NullDecoder, SaysItsScriptThenTheEnd) {
  Decoder d({.tokens = {5, 6, 7}, .end_token = 2});
  const Slot slot = *d.decoder.open();
  EXPECT_EQ(d.answer(slot, {1, 1, 1}, 5), (std::vector<uint32_t>{5, 6, 7, 2, 2}));
  ASSERT_TRUE(d.decoder.truncate(slot, 4).ok());  // the prompt and the first answer
  EXPECT_EQ(d.answer(slot, {6}, 1), (std::vector<uint32_t>{7}));
  EXPECT_EQ(d.answer(*d.decoder.open(), {9}, 2), (std::vector<uint32_t>{5, 6}));  // from its start in every slot
}

TEST(NullDecoder, CountsWithoutAScript) {
  Decoder d({.vocabulary = 10});
  EXPECT_EQ(d.answer(*d.decoder.open(), {3, 8}, 3), (std::vector<uint32_t>{9, 0, 1}));
}

TEST(NullDecoder, KvIsSharedAndRunsOut) {
  Decoder d({}, {.kv_tokens = 10, .slots = 2});
  const Slot a = *d.decoder.open(), b = *d.decoder.open();
  EXPECT_FALSE(d.decoder.open().ok());
  d.answer(a, {1, 2, 3, 4, 5, 6, 7}, 1);
  EXPECT_EQ(d.decoder.capacity().kv_tokens_free, 3u);
  const auto error = d.status_of(b, {1, 2, 3, 4});
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->code, ErrorCode::kResourceExhausted);
  EXPECT_EQ(d.decoder.length(b), 0u);
  d.decoder.close(a);
  EXPECT_EQ(d.decoder.capacity().kv_tokens_free, 10u);
  const Slot fork = *d.decoder.fork(b, 0);
  EXPECT_EQ(d.decoder.length(fork), 0u);
  EXPECT_EQ(d.status_of(a, {1})->code, ErrorCode::kFailedPrecondition);
  EXPECT_EQ(d.status_of(b, {})->code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(d.status_of(b, {100000})->code, ErrorCode::kInvalidArgument);
}

TEST(NullDecoder, TheContextEnds) {
  Decoder d({}, {.context = 5});
  const Slot slot = *d.decoder.open();
  EXPECT_EQ(d.status_of(slot, {1, 2, 3, 4, 5, 6})->code, ErrorCode::kOutOfRange);
  EXPECT_FALSE(d.status_of(slot, {1, 2, 3, 4, 5}).has_value());
}

TEST(NullDecoder, FaultsComeAtTheirStep) {
  for (const NullFault fault : {NullFault::kSlotError, NullFault::kNan}) {
    Decoder d({.fault = fault, .fault_step = 1});
    const Slot slot = *d.decoder.open();
    EXPECT_FALSE(d.status_of(slot, {1}).has_value());
    EXPECT_TRUE(d.status_of(slot, {1}).has_value());
    EXPECT_EQ(d.decoder.length(slot), 1u);
    EXPECT_FALSE(d.status_of(slot, {1}).has_value());
  }
}

TEST(NullDecoder, ADeadProgramStaysDead) {
  Decoder d({.fault = NullFault::kCallError, .fault_step = 1});
  const Slot slot = *d.decoder.open();
  EXPECT_FALSE(d.status_of(slot, {1}).has_value());
  const uint32_t token = 1;
  const SlotInput input{.slot = slot, .tokens = {&token, 1}};
  for (int i = 0; i < 2; ++i) {
    SlotStatus status;
    Tops sink;
    EXPECT_EQ(d.decoder.step({&input, 1}, {&status, 1}, sink, {}).error().code, ErrorCode::kInternal);
  }
}

}  // namespace
}  // namespace accelerate
