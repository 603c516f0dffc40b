#include "accelerate/engine/scheduler.h"

#include <algorithm>
#include <future>
#include <numeric>

#include <gtest/gtest.h>

#include "accelerate/base/limits.h"
#include "counting_decoder.h"

namespace accelerate {
namespace {

using namespace std::chrono_literals;

// Greedy; keeps what it chose and how it ended.
struct Outcome {
  std::vector<uint32_t> tokens;
  std::optional<Error> error;
  uint32_t cached = 0;
  std::vector<size_t> prompt_rows;
};

class Recorder final : public Answer {
 public:
  Recorder(size_t count, std::promise<Outcome> done, const std::atomic<bool>* cancel = nullptr)
      : count_(count), done_(std::move(done)), cancel_(cancel) {}
  bool take(std::span<const float> logits) override {
    outcome_.tokens.push_back(static_cast<uint32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin()));
    if (outcome_.tokens.size() < count_) return true;
    done_.set_value(outcome_);
    return false;
  }
  uint32_t last_token() const override { return outcome_.tokens.back(); }
  bool cancelled() const override { return cancel_ && cancel_->load(); }
  void take_prompt(size_t index, std::span<const float>) override { outcome_.prompt_rows.push_back(index); }
  void started(uint32_t cached) override {
    if (starts++ == 0) outcome_.cached = cached;
  }
  void fail(Error error) override {
    outcome_.error = std::move(error);
    done_.set_value(outcome_);
  }
  int starts = 0;

 private:
  size_t count_;
  Outcome outcome_;
  std::promise<Outcome> done_;
  const std::atomic<bool>* cancel_;
};

struct Wish {
  std::string client;
  int32_t priority = 0;
  bool prompt_rows = false;
};

std::future<Outcome> ask(Scheduler& scheduler, std::vector<uint32_t> prompt, size_t count, const std::atomic<bool>* cancel = nullptr,
                         const Wish& wish = {}) {
  std::promise<Outcome> promise;
  auto future = promise.get_future();
  auto job = std::make_unique<Job>();
  job->client = wish.client;
  job->priority = wish.priority;
  job->prompt_rows = wish.prompt_rows;
  job->tokens = std::move(prompt);
  job->answer = std::make_unique<Recorder>(count, std::move(promise), cancel);
  EXPECT_TRUE(scheduler.submit(std::move(job)).ok());
  return future;
}

std::vector<uint32_t> counting(uint32_t first, size_t count) {
  std::vector<uint32_t> tokens(count);
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

TEST(Scheduler, AnswersOne) {
  CountingDecoder program;
  Scheduler scheduler(program);
  const Outcome outcome = ask(scheduler, {5, 6, 7}, 4).get();
  EXPECT_FALSE(outcome.error);
  EXPECT_EQ(outcome.tokens, counting(8, 4));
}

TEST(Scheduler, SplitsPromptsThatAreLongerThanABatch) {
  CountingDecoder program;
  Scheduler scheduler(program);
  const Outcome outcome = ask(scheduler, counting(0, 200), 2).get();
  EXPECT_EQ(outcome.tokens, counting(200, 2));
  EXPECT_EQ(program.steps, 5u);  // 200 = 64 + 64 + 64 + 8, then one token
}

TEST(Scheduler, BatchesMoreRequestsThanSlots) {
  CountingDecoder program;
  program.step_time = 200us;
  Scheduler scheduler(program);
  std::vector<std::future<Outcome>> outcomes;
  for (uint32_t i = 0; i < 16; ++i) outcomes.push_back(ask(scheduler, {i * 50}, 20));
  for (uint32_t i = 0; i < 16; ++i) EXPECT_EQ(outcomes[i].get().tokens, counting(i * 50 + 1, 20)) << i;
  EXPECT_EQ(program.batched_max, 4u);
}

TEST(Scheduler, PreemptsTheYoungestWhenKvRunsOutAndLosesNothing) {
  CountingDecoder program;
  program.kv_tokens = 64;  // each request alone needs 44; four start together
  Scheduler scheduler(program);
  std::vector<std::future<Outcome>> outcomes;
  for (uint32_t i = 0; i < 4; ++i) outcomes.push_back(ask(scheduler, counting(i * 100, 4), 40));
  for (uint32_t i = 0; i < 4; ++i) {
    const Outcome outcome = outcomes[i].get();
    EXPECT_FALSE(outcome.error) << outcome.error->message;
    EXPECT_EQ(outcome.tokens, counting(i * 100 + 4, 40)) << i;
  }
  EXPECT_GT(program.tokens_computed, 4u * 43) << "nothing was recomputed: the test did not run out of KV";
}

TEST(Scheduler, ARequestThatCannotFitAloneFailsAndOthersGoOn) {
  CountingDecoder program;
  program.kv_tokens = 64;
  Scheduler scheduler(program);
  auto large = ask(scheduler, counting(0, 100), 4);
  auto small = ask(scheduler, {1}, 4);
  const Outcome outcome = large.get();
  ASSERT_TRUE(outcome.error);
  EXPECT_EQ(outcome.error->code, ErrorCode::kResourceExhausted);
  EXPECT_EQ(small.get().tokens, counting(2, 4));
}

TEST(Scheduler, CancellationFreesTheSlotWithinAStep) {
  CountingDecoder program;
  program.step_time = 1ms;
  Scheduler scheduler(program);
  std::atomic<bool> cancel{false};
  auto endless = ask(scheduler, {1}, 100000, &cancel);
  while (program.steps < 3) std::this_thread::yield();
  cancel = true;
  const uint64_t at = program.steps;
  const Outcome outcome = endless.get();
  ASSERT_TRUE(outcome.error);
  EXPECT_EQ(outcome.error->code, ErrorCode::kCancelled);
  EXPECT_LE(program.steps - at, 2u);
  while (scheduler.stats().running > 0) std::this_thread::yield();
  EXPECT_EQ(scheduler.stats().capacity.slots_free, 4u);
}

TEST(Scheduler, QueuedRequestsCanBeCancelledToo) {
  CountingDecoder program;
  program.limits_value.slots_max = 1;
  program.step_time = 1ms;
  Scheduler scheduler(program);
  std::atomic<bool> cancel{false};
  auto first = ask(scheduler, {1}, 50);
  auto waiting = ask(scheduler, {1}, 50, &cancel);
  cancel = true;
  EXPECT_TRUE(waiting.get().error);
  EXPECT_EQ(first.get().tokens, counting(2, 50));
}

TEST(Scheduler, ADeadProgramFailsAllAndRefusesMore) {
  CountingDecoder program;
  program.step_error = Error{ErrorCode::kInternal, "[test] gone"};
  Scheduler scheduler(program);
  const Outcome outcome = ask(scheduler, {1}, 4).get();
  ASSERT_TRUE(outcome.error);
  EXPECT_EQ(outcome.error->code, ErrorCode::kInternal);
  auto job = std::make_unique<Job>();
  job->tokens = {1};
  job->answer = std::make_unique<Recorder>(1, std::promise<Outcome>());
  const Result<void> refused = scheduler.submit(std::move(job));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInternal);
}

// The rows of a step came, one answer ended with its row, and then the program died: that answer stays ended.
TEST(Scheduler, AnAnswerThatEndedBeforeTheErrorIsNotEndedTwice) {
  for (const ErrorCode code : {ErrorCode::kInternal, ErrorCode::kCancelled}) {
    CountingDecoder program;
    program.late_error = Error{code, "[test] gone"};
    std::future<Outcome> ended;
    {
      Scheduler scheduler(program);
      ended = ask(scheduler, {1}, 1);
      EXPECT_FALSE(ended.get().error);
    }
  }
}

TEST(Scheduler, ManyMayCloseAtOnce) {
  CountingDecoder program;
  Scheduler scheduler(program);
  std::vector<std::thread> closers;
  for (int i = 0; i < 8; ++i) closers.emplace_back([&] { scheduler.close(); });
  for (std::thread& closer : closers) closer.join();
}

TEST(Scheduler, TheQueueHasALimit) {
  CountingDecoder program;
  program.limits_value.slots_max = 1;
  program.step_time = 1s;
  Scheduler scheduler(program);
  std::vector<std::future<Outcome>> outcomes;
  for (uint32_t i = 0; i < limits::kQueuedRequestsMax; ++i) outcomes.push_back(ask(scheduler, {1}, 1000));
  bool refused = false;
  for (int i = 0; i < 3 && !refused; ++i) {  // one or two of them have left the queue for the slot
    auto job = std::make_unique<Job>();
    job->tokens = {1};
    job->answer = std::make_unique<Recorder>(1, std::promise<Outcome>());
    const Result<void> result = scheduler.submit(std::move(job));
    refused = !result && result.error().code == ErrorCode::kResourceExhausted;
  }
  EXPECT_TRUE(refused);
  scheduler.close();
  for (auto& outcome : outcomes) EXPECT_EQ(outcome.get().error->code, ErrorCode::kCancelled);
}

// What the next turns of a chat, a second client and a repeated request need is there already.
TEST(Scheduler, ReusesWhatIsComputed) {
  CountingDecoder program;
  program.limits_value.slots_kept_max = 8;
  program.limits_value.fork = ForkKind::kShared;
  Scheduler scheduler(program);
  EXPECT_EQ(ask(scheduler, counting(0, 100), 5).get().cached, 0u);  // holds 0 .. 103
  const Outcome next_turn = ask(scheduler, counting(0, 150), 5).get();
  EXPECT_EQ(next_turn.cached, 104u);
  EXPECT_EQ(next_turn.tokens, counting(150, 5));
  const Outcome again = ask(scheduler, counting(0, 100), 5).get();
  EXPECT_EQ(again.cached, 99u) << "the last token's logits are wanted";
  EXPECT_EQ(again.tokens, counting(100, 5));
  EXPECT_EQ(ask(scheduler, counting(500, 100), 5).get().cached, 0u);
  const SchedulerStats stats = scheduler.stats();
  EXPECT_EQ(stats.prefix_hits, 2u);
  EXPECT_EQ(stats.prefix_misses, 2u);
  EXPECT_EQ(stats.prompt_tokens_cached, 104u + 99u);
  EXPECT_EQ(program.tokens_computed, 104u + 46 + 4 + 1 + 4 + 104);
}

TEST(Scheduler, PromptsThatComeTogetherComputeTheirSharedBeginningOnce) {
  CountingDecoder program;
  program.limits_value.slots_kept_max = 8;
  program.limits_value.fork = ForkKind::kShared;
  program.step_time = 1ms;
  Scheduler scheduler(program);
  std::vector<std::future<Outcome>> outcomes;
  for (int i = 0; i < 4; ++i) outcomes.push_back(ask(scheduler, counting(0, 200), 3));
  uint32_t cached = 0;
  for (auto& outcome : outcomes) {
    const Outcome got = outcome.get();
    EXPECT_EQ(got.tokens, counting(200, 3));
    cached += got.cached;
  }
  EXPECT_GE(cached, 3u * (200 - PrefixCache::kTokensMin));
}

TEST(Scheduler, KeptSequencesGiveWayToRequests) {
  CountingDecoder program;
  program.kv_tokens = 256;
  program.limits_value.slots_kept_max = 8;
  program.limits_value.fork = ForkKind::kShared;
  Scheduler scheduler(program);
  for (uint32_t i = 0; i < 6; ++i) {
    const Outcome outcome = ask(scheduler, counting(i * 150, 140), 4).get();
    EXPECT_FALSE(outcome.error) << outcome.error->message;
    EXPECT_EQ(outcome.tokens, counting(i * 150 + 140, 4));
  }
  EXPECT_GT(scheduler.stats().evictions, 0u);
  EXPECT_EQ(scheduler.stats().preemptions, 0u);
}

TEST(Scheduler, ReuseCanBeOff) {
  CountingDecoder program;
  program.limits_value.slots_kept_max = 8;
  program.limits_value.fork = ForkKind::kShared;
  Scheduler scheduler(program, {.reuse_prefixes = false});
  ask(scheduler, counting(0, 100), 5).get();
  EXPECT_EQ(ask(scheduler, counting(0, 100), 5).get().cached, 0u);
  scheduler.close();
  EXPECT_EQ(program.open_slots(), 0u);
}

TEST(Scheduler, RowsOfThePromptComeInOrderAndOnce) {
  CountingDecoder program;
  program.limits_value.slots_kept_max = 8;
  program.limits_value.fork = ForkKind::kShared;
  Scheduler scheduler(program);
  ask(scheduler, counting(0, 100), 2).get();
  const Outcome outcome = ask(scheduler, counting(0, 100), 2, nullptr, {.client = "", .prompt_rows = true}).get();
  EXPECT_EQ(outcome.cached, 0u) << "every row is wanted, so every token is computed";
  std::vector<size_t> expected(99);
  std::iota(expected.begin(), expected.end(), size_t{0});
  EXPECT_EQ(outcome.prompt_rows, expected);
  EXPECT_EQ(outcome.tokens, counting(100, 2));
}

TEST(Scheduler, AMoreUrgentRequestTakesTheSlotOfALessUrgentOne) {
  CountingDecoder program;
  program.limits_value.slots_max = 1;
  program.step_time = 1ms;
  Scheduler scheduler(program);
  auto slow = ask(scheduler, counting(0, 20), 200);
  while (program.steps < 5) std::this_thread::yield();
  auto urgent = ask(scheduler, counting(300, 4), 5, nullptr, {.client = "", .priority = -1});
  EXPECT_EQ(urgent.get().tokens, counting(304, 5));
  EXPECT_EQ(slow.wait_for(0ms), std::future_status::timeout) << "the urgent one came first";
  EXPECT_EQ(slow.get().tokens, counting(20, 200)) << "and the other one lost nothing";
  EXPECT_EQ(scheduler.stats().preemptions, 1u);
}

TEST(Scheduler, AClientWithManyRequestsDoesNotKeepOthersWaiting) {
  CountingDecoder program;
  program.limits_value.slots_max = 1;
  program.step_time = 200us;
  Scheduler scheduler(program);
  std::vector<std::future<Outcome>> greedy;
  for (int i = 0; i < 10; ++i) greedy.push_back(ask(scheduler, {1}, 20, nullptr, {.client = "greedy"}));
  EXPECT_FALSE(ask(scheduler, {1}, 20, nullptr, {.client = "modest"}).get().error);
  const auto done = std::count_if(greedy.begin(), greedy.end(), [](auto& one) { return one.wait_for(0ms) == std::future_status::ready; });
  EXPECT_LE(done, 2) << "the one that ran when it came, and at most one more";
}

TEST(Scheduler, WhoCanGetNoSlotAtAllIsToldSo) {
  CountingDecoder program;
  program.limits_value.slots_max = 1;
  ASSERT_TRUE(program.open().ok());  // somebody else's, for ever
  Scheduler scheduler(program);
  const Outcome outcome = ask(scheduler, {1}, 5).get();
  ASSERT_TRUE(outcome.error);
  EXPECT_EQ(outcome.error->code, ErrorCode::kResourceExhausted);
}

TEST(Scheduler, CountsWhatItDoes) {
  CountingDecoder program;
  Scheduler scheduler(program);
  ask(scheduler, counting(0, 100), 5).get();
  while (scheduler.stats().running > 0) std::this_thread::yield();
  const SchedulerStats stats = scheduler.stats();
  EXPECT_EQ(stats.prompt_tokens, 100u);
  EXPECT_EQ(stats.generated_tokens, 4u) << "the last token is said, not computed";
  EXPECT_EQ(stats.steps, 6u);
  EXPECT_EQ(stats.step_s.count(), 6u);
  EXPECT_EQ(stats.batch_tokens.sum(), 104);
  EXPECT_EQ(stats.queue_s.count(), 1u);
  EXPECT_EQ(stats.kv_tokens_active, 0u);
}

TEST(Scheduler, ShowsWhoWaitsInTheOrderOfService) {
  CountingDecoder program;
  program.limits_value.slots_max = 1;
  program.step_time = 20ms;
  Scheduler scheduler(program);
  std::atomic<bool> cancel{false};
  std::vector<std::future<Outcome>> outcomes;
  outcomes.push_back(ask(scheduler, {1}, 1000, &cancel, {.client = "first", .priority = -9}));
  while (scheduler.stats().running == 0) std::this_thread::yield();
  for (const int32_t priority : {3, 1, 2}) outcomes.push_back(ask(scheduler, {1}, 1000, &cancel, {.client = "c", .priority = priority}));
  const std::vector<QueuedRequest> queued = scheduler.queued(2);
  ASSERT_EQ(queued.size(), 2u);
  EXPECT_EQ(queued[0].priority, 1);
  EXPECT_EQ(queued[1].priority, 2);
  EXPECT_EQ(queued[0].client, "c");
  cancel = true;
  for (auto& outcome : outcomes) outcome.get();
}

}  // namespace
}  // namespace accelerate
