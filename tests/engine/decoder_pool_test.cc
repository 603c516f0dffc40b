#include "accelerate/engine/decoder_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/mortal_decoder.h"

namespace accelerate {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using namespace std::chrono_literals;

const PoolLimits kQuick{.breaker = {.backoff_first = 2ms, .backoff_max = 8ms, .starts_max = 4, .window = 10min, .rest = 30min, .healthy_after = 60s},
                        .moves_max = 3, .slot_faults_max = 3, .fault_window = 5min, .step_max = 1s, .start_max = 10s, .watch_period = 2ms};

// A pool over Targets a, b, c as far as there are fates; the first `running` of them run.
struct Pool {
  std::vector<std::shared_ptr<Fate>> fates;
  std::unique_ptr<DecoderPool> pool;
  explicit Pool(size_t candidates) {
    for (size_t i = 0; i < candidates; ++i) fates.push_back(std::make_shared<Fate>());
  }
  ~Pool() {
    pool.reset();
    for (const auto& fate : fates) EXPECT_EQ(fate->living, 0) << "a program outlived its pool";
  }
  static std::string target(size_t i) { return std::string(1, static_cast<char>('a' + i)) + "@cpu:0"; }
  void begin(Fallback fallback = Fallback::kAllow, size_t running = 1, const PoolLimits& limits = kQuick) {
    PoolParts parts{.name = "model", .candidates = {}, .running = {}, .fallback = fallback, .shrink = {}, .limits = limits};
    for (size_t i = 0; i < fates.size(); ++i) parts.candidates.push_back(mortal_candidate(target(i), fates[i]));
    for (size_t i = 0; i < running; ++i) parts.running.push_back(started_program(target(i), fates[i]));
    pool = std::make_unique<DecoderPool>(std::move(parts));
  }
  std::future<Told> ask(std::vector<uint32_t> prompt, size_t count, const std::atomic<bool>* cancel = nullptr) {
    std::future<Told> told;
    const auto taken = pool->submit(telling_job(std::move(prompt), count, told, cancel));
    EXPECT_TRUE(taken) << (taken ? "" : to_string(taken.error()));
    return told;
  }
  TargetStats of(size_t i) const { return pool->stats(0).targets.at(i); }
};

void expect_exact(const Told& told, std::vector<uint32_t> prompt, size_t count) {
  EXPECT_FALSE(told.error) << told.error->message;
  EXPECT_EQ(told.tokens, hash_answer(std::move(prompt), count));
}

TEST(DecoderPool, DeathAtEveryStepIsSeenInNoAnswer) {
  for (const Fate::End end : {Fate::End::kError, Fate::End::kLateError, Fate::End::kNan}) {
    for (int step = 0; step < 10; ++step) {
      SCOPED_TRACE(step);
      Pool pool(2);
      pool.fates[0]->end = end;
      pool.fates[0]->dies_at = step;
      pool.begin();
      std::vector<std::future<Told>> told;
      for (uint32_t i = 0; i < 6; ++i) told.push_back(pool.ask({i, 3}, 5));
      for (uint32_t i = 0; i < 6; ++i) expect_exact(told[i].get(), {i, 3}, 5);
    }
  }
}

TEST(DecoderPool, AMoveIsToldWithWhoAndWhy) {
  Pool pool(2);
  pool.fates[0]->dies_at = 3;
  pool.begin(Fallback::kNotify);
  const Told told = pool.ask({1, 2}, 8).get();
  expect_exact(told, {1, 2}, 8);
  EXPECT_THAT(told.targets, ElementsAre(std::pair(std::string("a@cpu:0"), size_t{0}), std::pair(std::string("b@cpu:0"), size_t{3})));
  ASSERT_EQ(told.moves.size(), 1u);
  EXPECT_EQ(told.moves[0].from, "a@cpu:0");
  EXPECT_EQ(told.moves[0].why, "[test] killed");
  EXPECT_TRUE(told.moves[0].announce);
  const PoolStats stats = pool.pool->stats(0);
  EXPECT_EQ(stats.answers_moved, 1u);
  EXPECT_EQ(stats.targets[0].failures, 1u);
  EXPECT_EQ(stats.targets[0].cause, "[test] killed");
  EXPECT_EQ(stats.targets[1].state, "running");
  EXPECT_EQ(stats.targets[1].starts, 1u);
  EXPECT_GE(stats.scheduler.generated_tokens, 5u) << "what the dead one computed still counts";
}

TEST(DecoderPool, TheOnlyTargetIsStartedAgain) {
  Pool pool(1);
  pool.fates[0]->dies_at = 4;
  pool.begin();
  const Told told = pool.ask({5}, 9).get();
  expect_exact(told, {5}, 9);
  EXPECT_EQ(pool.fates[0]->starts, 1);
  EXPECT_FALSE(told.moves.at(0).announce);
  EXPECT_THAT(told.targets, ElementsAre(std::pair(std::string("a@cpu:0"), size_t{0}), std::pair(std::string("a@cpu:0"), size_t{4})));
}

TEST(DecoderPool, WithFallbackForbiddenTheAnswerFailsAndTheNextOneIsServedByTheSameTarget) {
  Pool pool(2);
  pool.fates[0]->dies_at = 3;
  pool.begin(Fallback::kForbid);
  const Told told = pool.ask({5}, 9).get();
  ASSERT_TRUE(told.error);
  EXPECT_EQ(told.error->code, ErrorCode::kUnavailable);
  EXPECT_THAT(told.error->message, HasSubstr("a failure of a@cpu:0 after 3 tokens: [test] killed"));
  expect_exact(pool.ask({6}, 3).get(), {6}, 3);
  EXPECT_EQ(pool.fates[1]->starts, 0);
  EXPECT_EQ(pool.of(1).state, "stopped");
}

TEST(DecoderPool, WithNoTargetLeftEveryAnswerNamesEachCause) {
  Pool pool(2);
  pool.fates[0]->dies_at = 2;
  for (const auto& fate : pool.fates) {
    fate->starts_that_fail = 1000;
    fate->start_error = Error{ErrorCode::kUnavailable, "[test] no device"};
  }
  pool.begin();
  std::vector<std::future<Told>> told;
  for (uint32_t i = 0; i < 6; ++i) told.push_back(pool.ask({i}, 50));
  for (auto& one : told) {
    const Told end = one.get();
    ASSERT_TRUE(end.error);
    EXPECT_THAT(end.error->message, HasSubstr("no target is left for 'model'; got a@cpu:0: [test] no device; b@cpu:0: [test] no device"));
  }
  EXPECT_EQ(pool.fates[0]->starts, 3) << "and its first: four within the window";
  EXPECT_EQ(pool.fates[1]->starts, 4);
  EXPECT_EQ(pool.of(0).state, "resting");
  std::future<Told> late;
  EXPECT_EQ(pool.pool->submit(telling_job({1}, 1, late)).error().code, ErrorCode::kUnavailable);
}

TEST(DecoderPool, AnAnswerThatKillsEveryTargetEnds) {
  Pool pool(3);
  for (const auto& fate : pool.fates) {
    fate->dies_at = 4;  // the canary is one
    fate->every_program = true;
  }
  PoolLimits limits = kQuick;
  limits.breaker.starts_max = 100;
  pool.begin(Fallback::kAllow, 1, limits);
  const Told told = pool.ask({5}, 500).get();
  ASSERT_TRUE(told.error);
  EXPECT_THAT(told.error->message, HasSubstr("moves at most 3 times"));
  EXPECT_EQ(told.moves.size(), 3u);
}

TEST(DecoderPool, AHangMovesOn) {
  Pool pool(2);
  pool.fates[0]->end = Fate::End::kHang;
  pool.fates[0]->dies_at = 3;
  PoolLimits limits = kQuick;
  limits.step_max = 20ms;
  pool.begin(Fallback::kAllow, 1, limits);
  const Told told = pool.ask({5}, 9).get();
  expect_exact(told, {5}, 9);
  EXPECT_THAT(told.moves.at(0).why, HasSubstr("at most 20 ms"));
}

TEST(DecoderPool, TwoAtOnceAnswerForEachOther) {
  Pool pool(2);
  pool.fates[0]->step_time = pool.fates[1]->step_time = 200us;
  pool.fates[0]->dies_at = 20;
  pool.begin(Fallback::kAllow, 2);
  std::vector<std::future<Told>> told;
  for (uint32_t i = 0; i < 24; ++i) told.push_back(pool.ask({i, 1}, 30));
  for (uint32_t i = 0; i < 24; ++i) expect_exact(told[i].get(), {i, 1}, 30);
  EXPECT_GT(pool.fates[1]->steps, 0);
  EXPECT_GT(pool.fates[0]->steps, 10);
  for (int i = 0; i < 2000 && pool.of(0).state != "running"; ++i) std::this_thread::sleep_for(1ms);
  EXPECT_EQ(pool.of(0).state, "running") << "it is started again beside the other";
}

TEST(DecoderPool, TheDeathOfBothIsSurvivedToo) {
  Pool pool(2);
  pool.fates[0]->dies_at = 5;
  pool.fates[1]->dies_at = 9;
  pool.begin(Fallback::kAllow, 2);
  std::vector<std::future<Told>> told;
  for (uint32_t i = 0; i < 12; ++i) told.push_back(pool.ask({i, 1}, 20));
  for (uint32_t i = 0; i < 12; ++i) expect_exact(told[i].get(), {i, 1}, 20);
}

TEST(DecoderPool, AConversationStaysWhereItsPrefixIs) {
  Pool pool(2);
  pool.begin(Fallback::kAllow, 2);
  std::vector<uint32_t> prompt(64);
  for (uint32_t i = 0; i < prompt.size(); ++i) prompt[i] = i;
  // Both are measured first: without numbers there is no cost to compare.
  for (uint32_t i = 0; i < 8; ++i) pool.ask(std::vector<uint32_t>(40, i), 4).get();
  const Told first = pool.ask(prompt, 4).get();
  for (int turn = 0; turn < 5; ++turn) {
    prompt.push_back(static_cast<uint32_t>(turn));
    const Told told = pool.ask(prompt, 4).get();
    EXPECT_EQ(told.targets.at(0).first, first.targets.at(0).first);
    EXPECT_GE(told.cached, 64u);
  }
}

TEST(DecoderPool, OneWithoutNumbersHasASecondChanceWhereThereIsNoOther) {
  Pool pool(1);
  pool.fates[0]->end = Fate::End::kNan;
  pool.fates[0]->dies_at = 3;  // and ever after: the program gives no numbers any more
  pool.begin();
  const Told told = pool.ask({5}, 9).get();
  ASSERT_TRUE(told.error);
  EXPECT_THAT(told.error->message, HasSubstr("logits are numbers"));
  EXPECT_EQ(told.moves.size(), 1u) << "tried again once";
  EXPECT_EQ(pool.of(0).failures, 0u);
  expect_exact(pool.ask({5}, 9).get(), {5}, 9);
  EXPECT_EQ(pool.of(0).failures, 1u) << "with the third fault it was started again";
}

TEST(DecoderPool, ClosingEndsWhatRunsAndWhatWaits) {
  Pool pool(1);
  pool.fates[0]->dies_at = 2;
  pool.fates[0]->starts_that_fail = 1000;
  PoolLimits limits = kQuick;
  limits.breaker.backoff_first = limits.breaker.backoff_max = 1h;
  pool.begin(Fallback::kAllow, 1, limits);
  auto waiting = pool.ask({5}, 9);
  while (pool.of(0).failures == 0) std::this_thread::yield();
  while (pool.pool->stats(0).waiting == 0) std::this_thread::yield();
  EXPECT_EQ(pool.pool->stats(0).scheduler.queued, 1u);
  pool.pool->close();
  pool.pool->close();
  EXPECT_EQ(waiting.get().error->code, ErrorCode::kCancelled);
  std::future<Told> late;
  EXPECT_EQ(pool.pool->submit(telling_job({1}, 1, late)).error().code, ErrorCode::kUnavailable);
}

TEST(DecoderPool, TheContextIsThatOfWhoAnswers) {
  Pool pool(2);
  pool.fates[1]->context = 40;
  pool.fates[0]->dies_at = 3;
  pool.begin();
  EXPECT_EQ(pool.pool->context(), 512u);
  EXPECT_EQ(pool.pool->vocabulary(), 280u);
  expect_exact(pool.ask({5}, 9).get(), {5}, 9);
  EXPECT_EQ(pool.pool->context(), 40u);
}

}  // namespace
}  // namespace accelerate
