#include "accelerate/engine/lineup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace accelerate {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

const Lineup::Time kBegin{1h};
const auto kNone = [](size_t) { return false; };

Candidate candidate(const std::string& target) {
  return {.target = target, .start = [](const StartRequest&) -> Result<std::unique_ptr<Program>> { return Error{ErrorCode::kInternal, "never called"}; }, .speed = {}};
}

Lineup lineup_of(Fallback fallback = Fallback::kAllow) {
  return Lineup({candidate("a@cpu:0"), candidate("b@cpu:0"), candidate("c@cpu:0")}, fallback,
                {.backoff_first = 100ms, .backoff_max = 1s, .starts_max = 3, .window = 10min, .rest = 30min, .healthy_after = 60s});
}

TEST(Lineup, GoesDownTheOrderAndComesBackWhenBreakersAllow) {
  Lineup lineup = lineup_of();
  lineup.home(0, kBegin);
  const auto now = kBegin + 1s;
  lineup.failed(0, now, {ErrorCode::kUnavailable, "[a] killed"});
  EXPECT_EQ(lineup.next(now, kNone), 1u);
  EXPECT_EQ(lineup.next(now, [](size_t i) { return i == 1; }), 2u);
  EXPECT_EQ(lineup.next(now + 100ms, kNone), 1u) << "who has not failed goes first";
  EXPECT_EQ(lineup.next(now + 99ms, [](size_t i) { return i != 0; }), std::nullopt);
  for (const size_t i : {1, 2}) {
    lineup.begins(i, now);
    lineup.failed(i, now, {ErrorCode::kUnavailable, "killed"});
  }
  EXPECT_EQ(lineup.next(now + 100ms, kNone), 0u) << "all have: the order of the plan";
  EXPECT_EQ(lineup.next_time(now, [](size_t i) { return i != 0; }), now + 100ms);
  EXPECT_EQ(lineup.starts(0), 1u);
  EXPECT_EQ(lineup.failures(0), 1u);
  EXPECT_EQ(lineup.find("b@cpu:0"), 1u);
  EXPECT_FALSE(lineup.find("d@cpu:0"));
}

TEST(Lineup, WithFallbackForbiddenOnlyHomeIsStartedAgain) {
  Lineup lineup = lineup_of(Fallback::kForbid);
  lineup.home(1, kBegin);
  lineup.failed(1, kBegin, {ErrorCode::kUnavailable, "[b] killed"});
  EXPECT_FALSE(lineup.next(kBegin, kNone));
  EXPECT_EQ(lineup.next(kBegin + 100ms, kNone), 1u);
  EXPECT_THAT(lineup.none_left("x").message, HasSubstr("a@cpu:0: not tried, fallback is forbidden; b@cpu:0: [b] killed"));
}

TEST(Lineup, WhatCanNotHelpIsNotTriedAgain) {
  Lineup lineup = lineup_of();
  for (size_t i = 0; i < 3; ++i) {
    lineup.begins(i, kBegin);
    lineup.failed(i, kBegin, {ErrorCode::kFailedPrecondition, "[gate] wrong numbers"});
  }
  EXPECT_FALSE(lineup.next(kBegin + 10min, kNone));
  EXPECT_FALSE(lineup.next_time(kBegin, kNone)) << "nobody waits half an hour for it";
  const Error error = lineup.none_left("smollm2");
  EXPECT_EQ(error.code, ErrorCode::kFailedPrecondition) << "they agree";
  EXPECT_THAT(error.message, HasSubstr("no target is left for 'smollm2'; got a@cpu:0: [gate] wrong numbers; b@cpu:0: [gate]"));
  lineup.failed(2, kBegin, {ErrorCode::kInternal, "[c] broken"});
  EXPECT_EQ(lineup.none_left("smollm2").code, ErrorCode::kUnavailable) << "they do not";
  lineup.reset(1);
  EXPECT_EQ(lineup.next(kBegin, kNone), 1u);
}

TEST(Lineup, WhatHasNoStartIsNeverStarted) {
  Lineup lineup({{.target = "a@cpu:0", .start = {}, .speed = {}}}, Fallback::kAllow, {});
  EXPECT_FALSE(lineup.next(kBegin, kNone));
  EXPECT_FALSE(lineup.next_time(kBegin, kNone));
}

TEST(Lineup, ASwitchMovesHome) {
  Lineup lineup = lineup_of(Fallback::kForbid);
  lineup.home(0, kBegin);
  lineup.settle(2);
  EXPECT_EQ(lineup.next(kBegin, kNone), 2u);
  EXPECT_FALSE(lineup.next(kBegin, [](size_t i) { return i == 2; }));
}

}  // namespace
}  // namespace accelerate
