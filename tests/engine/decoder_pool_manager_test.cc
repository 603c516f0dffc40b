#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "accelerate/engine/decoder_pool.h"
#include "tests/engine/mortal_decoder.h"

namespace accelerate {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

PoolLimits quick() {
  PoolLimits limits;
  limits.breaker.backoff_first = limits.breaker.backoff_max = 2ms;
  limits.watch_period = 2ms;
  return limits;
}

template <class Condition> bool soon(Condition condition) {
  for (int i = 0; i < 4000 && !condition(); ++i) std::this_thread::sleep_for(1ms);
  return condition();
}

PoolParts parts_of(std::vector<std::pair<std::string, std::shared_ptr<Fate>>> targets, const PoolLimits& limits) {
  PoolParts parts{.name = "model", .candidates = {}, .running = {}, .shrink = {}, .limits = limits};
  for (auto& [target, fate] : targets) parts.candidates.push_back(mortal_candidate(target, fate));
  parts.running.push_back(started_program(targets[0].first, targets[0].second));
  return parts;
}

TEST(DecoderPoolManager, ADeathThatNobodySawIsFoundAndMended) {
  auto fate = std::make_shared<Fate>();
  DecoderPool pool(parts_of({{"a", fate}}, quick()));
  fate->gone = true;
  EXPECT_TRUE(soon([&] { return fate->starts == 1 && pool.stats(0).targets[0].state == "running"; }));
  EXPECT_THAT(pool.stats(0).targets[0].cause, HasSubstr("its program is gone"));
  std::future<Told> told;
  ASSERT_TRUE(pool.submit(telling_job({4}, 5, told)));
  EXPECT_EQ(told.get().tokens, hash_answer({4}, 5));
}

TEST(DecoderPoolManager, TheDeadGoBeforeTheNextIsLoaded) {
  auto dying = std::make_shared<Fate>(), next = std::make_shared<Fate>();
  dying->dies_at = 2;
  PoolParts parts = parts_of({{"a", dying}, {"b", next}}, quick());
  std::atomic<int> beside{-1};
  std::atomic<uint64_t> taken{99};
  parts.candidates[1].start = [&, next](const StartRequest& request) -> Result<std::unique_ptr<Program>> {
    beside = dying->living.load();
    taken = request.memory_taken;
    return std::unique_ptr<Program>(std::make_unique<MortalDecoder>(next, false));
  };
  DecoderPool pool(std::move(parts));
  std::future<Told> told;
  ASSERT_TRUE(pool.submit(telling_job({4}, 5, told)));
  EXPECT_EQ(told.get().tokens, hash_answer({4}, 5));
  EXPECT_EQ(beside, 0);
  EXPECT_EQ(taken, 0u);
}

TEST(DecoderPoolManager, AProgramOfAnotherVocabularyOrKindIsNoHeir) {
  auto dying = std::make_shared<Fate>(), right = std::make_shared<Fate>();
  dying->dies_at = 2;
  dying->starts_that_fail = 1000;
  PoolParts parts = parts_of({{"a", dying}, {"b", right}, {"c", right}}, quick());
  parts.candidates[1].start = [](const StartRequest&) { return Result<std::unique_ptr<Program>>(std::make_unique<CountingDecoder>()); };
  DecoderPool pool(std::move(parts));
  std::future<Told> told;
  ASSERT_TRUE(pool.submit(telling_job({4}, 5, told)));
  const Told end = told.get();
  EXPECT_EQ(end.tokens, hash_answer({4}, 5));
  EXPECT_EQ(end.targets.back().first, "c");
  const PoolStats stats = pool.stats(0);
  EXPECT_THAT(stats.targets[1].cause, HasSubstr("the same 280 tokens; b has 1000"));
  EXPECT_EQ(stats.targets[1].state, "resting") << "another try makes it no better";
}

TEST(DecoderPoolManager, ACanaryKeepsAProgramThatGivesNoNumbersAway) {
  auto dying = std::make_shared<Fate>(), broken = std::make_shared<Fate>(), good = std::make_shared<Fate>();
  dying->dies_at = 2;
  broken->dies_at = 0;
  broken->every_program = true;
  broken->end = Fate::End::kNan;
  DecoderPool pool(parts_of({{"a", dying}, {"b", broken}, {"c", good}}, quick()));
  std::future<Told> told;
  ASSERT_TRUE(pool.submit(telling_job({4}, 50, told)));
  const Told end = told.get();
  EXPECT_EQ(end.tokens, hash_answer({4}, 50));
  for (const auto& [target, from] : end.targets) EXPECT_NE(target, "b");
}

TEST(DecoderPoolManager, AStartThatTakesTooLongIsStopped) {
  auto dying = std::make_shared<Fate>();
  dying->dies_at = 2;
  PoolLimits limits = quick();
  limits.start_max = 10ms;
  limits.breaker.starts_max = 2;
  PoolParts parts = parts_of({{"a", dying}}, limits);
  parts.candidates[0].start = [](const StartRequest& request) -> Result<std::unique_ptr<Program>> {
    while (request.progress.update("packing", 0, 0, "bytes")) std::this_thread::sleep_for(1ms);
    return Error{ErrorCode::kCancelled, "[test] stopped"};
  };
  DecoderPool pool(std::move(parts));
  std::future<Told> told;
  ASSERT_TRUE(pool.submit(telling_job({4}, 5, told)));
  EXPECT_THAT(told.get().error->message, HasSubstr("a start takes at most 0 s"));
}

TEST(DecoderPoolManager, ClosingStopsAStart) {
  auto dying = std::make_shared<Fate>();
  dying->dies_at = 2;
  std::atomic<bool> starting{false};
  PoolParts parts = parts_of({{"a", dying}}, quick());
  parts.candidates[0].start = [&](const StartRequest& request) -> Result<std::unique_ptr<Program>> {
    starting = true;
    while (request.progress.update("packing", 0, 0, "bytes")) std::this_thread::sleep_for(1ms);
    return Error{ErrorCode::kCancelled, "[test] stopped"};
  };
  DecoderPool pool(std::move(parts));
  std::future<Told> told;
  ASSERT_TRUE(pool.submit(telling_job({4}, 5, told)));
  ASSERT_TRUE(soon([&] { return starting.load(); }));
  EXPECT_EQ(pool.stats(0).targets[0].state, "starting");
  pool.close();
  EXPECT_EQ(told.get().error->code, ErrorCode::kCancelled);
}

TEST(DecoderPoolManager, WhoLeavesWhileWaitingIsLetGo) {
  auto dying = std::make_shared<Fate>();
  dying->dies_at = 2;
  PoolLimits limits = quick();
  limits.breaker.backoff_first = limits.breaker.backoff_max = 1h;
  std::atomic<bool> cancel{false};
  DecoderPool pool(parts_of({{"a", dying}}, limits));
  std::future<Told> told;
  ASSERT_TRUE(pool.submit(telling_job({4}, 5, told, &cancel)));
  ASSERT_TRUE(soon([&] { return pool.stats(0).waiting == 1; }));
  cancel = true;
  EXPECT_EQ(told.get().error->code, ErrorCode::kCancelled);
  EXPECT_EQ(pool.stats(0).waiting, 0u);
}

TEST(DecoderPoolManager, ASwitchDropsNothing) {
  auto old = std::make_shared<Fate>(), next = std::make_shared<Fate>();
  old->step_time = std::chrono::milliseconds(2);
  DecoderPool pool(parts_of({{"a", old}, {"b", next}}, quick()));
  std::vector<std::future<Told>> told(8);
  for (uint32_t i = 0; i < 8; ++i) ASSERT_TRUE(pool.submit(telling_job({i, 4}, 40, told[i])));
  ASSERT_TRUE(soon([&] { return pool.stats(0).targets[0].running == 4; }));
  ASSERT_TRUE(pool.switch_to("b"));
  std::future<Told> after;
  ASSERT_TRUE(pool.submit(telling_job({99}, 5, after)));
  EXPECT_EQ(after.get().targets.at(0).first, "b") << "new requests go to the new one at once";
  size_t on_old = 0;
  for (uint32_t i = 0; i < 8; ++i) {
    const Told one = told[i].get();
    EXPECT_EQ(one.tokens, hash_answer({i, 4}, 40)) << i;
    EXPECT_EQ(one.targets.size(), 1u) << "what has begun stays";
    EXPECT_TRUE(one.moves.empty());
    on_old += one.targets[0].first == "a";
  }
  EXPECT_EQ(on_old, 4u);
  EXPECT_TRUE(soon([&] { return old->living == 0; })) << "and then it goes";
  EXPECT_EQ(pool.stats(0).answers_moved, 0u);
  EXPECT_TRUE(pool.switch_to("b")) << "there already";
  ASSERT_TRUE(pool.switch_to("a")) << "and back";
  std::future<Told> back;
  ASSERT_TRUE(pool.submit(telling_job({7}, 5, back)));
  EXPECT_EQ(back.get().targets.at(0).first, "a");
}

TEST(DecoderPoolManager, ASwitchThatFailsLeavesAllAsItWas) {
  auto old = std::make_shared<Fate>(), broken = std::make_shared<Fate>();
  broken->starts_that_fail = 1000;  // smaller ones, too
  broken->start_error = Error{ErrorCode::kResourceExhausted, "[test] out of memory"};
  DecoderPool pool(parts_of({{"a", old}, {"b", broken}}, quick()));
  const auto failed = pool.switch_to("b");
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().message, HasSubstr("stays where it is, b does not answer; got [test] out of memory"));
  EXPECT_THAT(pool.switch_to("c").error().message, HasSubstr("can be switched to a, b; got 'c'"));
  std::future<Told> told;
  ASSERT_TRUE(pool.submit(telling_job({7}, 5, told)));
  EXPECT_EQ(told.get().targets.at(0).first, "a");
  broken->starts_that_fail = 0;
  EXPECT_TRUE(pool.switch_to("b")) << "when there is memory";
  pool.close();
  EXPECT_EQ(pool.switch_to("a").error().code, ErrorCode::kCancelled);
}

}  // namespace
}  // namespace accelerate
