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
  void started() override { ++starts; }
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

std::future<Outcome> ask(Scheduler& scheduler, std::vector<uint32_t> prompt, size_t count, const std::atomic<bool>* cancel = nullptr) {
  std::promise<Outcome> promise;
  auto future = promise.get_future();
  auto job = std::make_unique<Job>();
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
  while (scheduler.load().running > 0) std::this_thread::yield();
  EXPECT_EQ(scheduler.load().capacity.slots_free, 4u);
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

}  // namespace
}  // namespace accelerate
