#include "accelerate/engine/candidates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/fake_encoder.h"
#include "tests/engine/mortal_decoder.h"

namespace accelerate {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Starts when it is asked for no more than it has.
struct Tight {
  uint32_t slots_most = 1000, context_most = 1 << 20;
  std::vector<std::pair<uint32_t, uint32_t>> tries;
  Candidate candidate() {
    return {.target = "tight@cpu:0",
            .start = [this](const StartRequest& request) -> Result<std::unique_ptr<Program>> {
              tries.emplace_back(request.slots, request.context);
              const uint32_t slots = request.slots ? request.slots : 64, context = request.context ? request.context : 8192;
              if (slots > slots_most || context > context_most) return Error{ErrorCode::kResourceExhausted, "[tight] out of memory"};
              return std::unique_ptr<Program>(std::make_unique<CountingDecoder>());
            },
            .speed = {}};
  }
  Result<StartedProgram> start(const ShrinkOptions& shrink) {
    const Candidate one = candidate();
    return start_candidate(one, {.progress = no_progress()}, shrink);
  }
};

TEST(Candidates, WhatFitsIsStartedAsAsked) {
  Tight tight;
  const auto started = tight.start({});
  ASSERT_TRUE(started);
  EXPECT_EQ(started->target, "tight@cpu:0");
  EXPECT_TRUE(started->notes.empty());
  EXPECT_THAT(tight.tries, ElementsAre(std::pair(0u, 0u)));
}

TEST(Candidates, OutOfMemoryTakesFewerSlotsFirstAndSaysSo) {
  Tight tight{.slots_most = 1, .tries = {}};
  const auto started = tight.start({.slots = 0, .context = 8192, .smaller_context = true});
  ASSERT_TRUE(started) << to_string(started.error());
  EXPECT_THAT(tight.tries, ElementsAre(std::pair(0u, 0u), std::pair(4u, 0u), std::pair(1u, 0u)));
  EXPECT_THAT(started->notes, ElementsAre(HasSubstr("tried with 1 answers at once: [tight] out of memory")));
}

TEST(Candidates, AContextIsCutOnlyWhereThatIsAllowed) {
  Tight tight{.context_most = 2048, .tries = {}};
  const auto refused = tight.start({.slots = 2, .context = 8192});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kResourceExhausted);
  EXPECT_THAT(tight.tries, ElementsAre(std::pair(0u, 0u), std::pair(1u, 0u)));
  tight.tries.clear();
  const auto cut = tight.start({.slots = 2, .context = 8192, .smaller_context = true});
  ASSERT_TRUE(cut);
  EXPECT_THAT(tight.tries, ElementsAre(std::pair(0u, 0u), std::pair(1u, 0u), std::pair(1u, 4096u), std::pair(1u, 2048u)));
  EXPECT_THAT(cut->notes, ElementsAre(HasSubstr("a context of 2048 tokens")));
  tight.context_most = 100;
  tight.tries.clear();
  EXPECT_FALSE(tight.start({.slots = 1, .context = 2048, .smaller_context = true}));
  EXPECT_EQ(tight.tries.back().second, kShrunkContextMin) << "and no less";
}

TEST(Candidates, OtherErrorsAreNotShrunk) {
  int tries = 0;
  const Candidate broken{.target = "x", .start = [&](const StartRequest&) -> Result<std::unique_ptr<Program>> {
    ++tries;
    return Error{ErrorCode::kFailedPrecondition, "[gate] wrong"};
  }, .speed = {}};
  EXPECT_EQ(start_candidate(broken, {.progress = no_progress()}, {.slots = 8}).error().code, ErrorCode::kFailedPrecondition);
  EXPECT_EQ(tries, 1);
}

TEST(Candidates, TheCanaryFindsProgramsThatDoNotAnswer) {
  CountingDecoder good;
  EXPECT_TRUE(run_canary(good, {}));
  EXPECT_EQ(good.open_slots(), 0u) << "nothing stays open";
  good.step_error = Error{ErrorCode::kInternal, "[test] broken"};
  EXPECT_THAT(run_canary(good, {}).error().message, HasSubstr("broken"));
  EXPECT_EQ(good.open_slots(), 0u);
  auto fate = std::make_shared<Fate>();
  fate->end = Fate::End::kNan;
  fate->dies_at = 0;
  MortalDecoder nan(fate, true);
  EXPECT_THAT(run_canary(nan, {}).error().message, HasSubstr("got NaN"));
  FakeEncoder encoder;
  EXPECT_TRUE(run_canary(encoder, {}));
  encoder.error = Error{ErrorCode::kInternal, "[test] broken"};
  EXPECT_FALSE(run_canary(encoder, {}));
}

TEST(Candidates, ACanaryThatHangsIsOver) {
  auto fate = std::make_shared<Fate>();
  fate->end = Fate::End::kHang;
  fate->dies_at = 0;
  MortalDecoder hangs(fate, true);
  EXPECT_EQ(run_canary(hangs, {.deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(20), .stop = nullptr}).error().code, ErrorCode::kDeadlineExceeded);
  MortalDecoder too(fate, true);
  const std::atomic<bool> closing{true};
  EXPECT_EQ(run_canary(too, {.deadline = {}, .stop = &closing}).error().code, ErrorCode::kCancelled);
}

TEST(Candidates, ErrorsSayWhoIsToBlame) {
  EXPECT_TRUE(blames_target(ErrorCode::kInternal));
  EXPECT_TRUE(blames_target(ErrorCode::kUnavailable));
  EXPECT_FALSE(blames_target(ErrorCode::kOutOfRange)) << "past the context: the request's own";
  EXPECT_FALSE(blames_target(ErrorCode::kResourceExhausted));
  EXPECT_FALSE(blames_target(ErrorCode::kCancelled));
  EXPECT_TRUE(may_pass(ErrorCode::kResourceExhausted));
  EXPECT_FALSE(may_pass(ErrorCode::kFailedPrecondition));
}

}  // namespace
}  // namespace accelerate
