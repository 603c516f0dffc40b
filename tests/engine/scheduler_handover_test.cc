#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "accelerate/engine/scheduler.h"
#include "tests/engine/mortal_decoder.h"

namespace accelerate {
namespace {

using namespace std::chrono_literals;

// Takes what a scheduler gives back and hands it to the next one.
struct Heir {
  CountingDecoder program;
  std::unique_ptr<Scheduler> scheduler;
  std::mutex mutex;
  std::vector<Orphans::Reason> reasons;
  std::vector<std::string> whys;
  Heir() {
    program.vocabulary_value = 280;
    program.next_token = hash_token;
    scheduler = std::make_unique<Scheduler>(program, SchedulerOptions{.target = "heir"});
  }
  std::function<void(Orphans)> take() {
    return [this](Orphans orphans) {
      std::lock_guard lock(mutex);
      reasons.push_back(orphans.reason);
      whys.push_back(orphans.why.message);
      for (auto& job : orphans.jobs) {
        EXPECT_FALSE(job->slot);
        EXPECT_EQ(job->computed, 0u);
        EXPECT_TRUE(scheduler->submit(std::move(job)));
      }
    };
  }
};

std::vector<std::future<Told>> ask(Scheduler& scheduler, size_t requests, size_t tokens, Scheduler* heir = nullptr) {
  std::vector<std::future<Told>> told(requests);
  for (size_t i = 0; i < requests; ++i) {
    auto job = telling_job({static_cast<uint32_t>(i), 7, 9}, tokens, told[i]);
    if (scheduler.submit(std::move(job))) continue;
    EXPECT_NE(job, nullptr) << "what is refused stays the caller's";
    EXPECT_TRUE(heir && heir->submit(std::move(job))) << "died already";
  }
  return told;
}

void expect_exact(std::vector<std::future<Told>>& told, size_t tokens) {
  for (size_t i = 0; i < told.size(); ++i) {
    const Told one = told[i].get();
    EXPECT_FALSE(one.error) << one.error->message;
    EXPECT_EQ(one.tokens, hash_answer({static_cast<uint32_t>(i), 7, 9}, tokens)) << i;
  }
}

TEST(SchedulerHandover, DeathAtEveryStepLosesAndRepeatsNothing) {
  for (const Fate::End end : {Fate::End::kError, Fate::End::kLateError}) {
    for (int step = 0; step < 14; ++step) {
      SCOPED_TRACE(step);
      Heir heir;
      auto fate = std::make_shared<Fate>();
      fate->end = end;
      fate->dies_at = step;
      MortalDecoder program(fate, true);
      Scheduler scheduler(program, {.target = "dying", .on_orphans = heir.take()});
      auto told = ask(scheduler, 6, 6, heir.scheduler.get());  // four at once, two behind them
      expect_exact(told, 6);
      while (!scheduler.idle()) std::this_thread::yield();  // an answer ends before its job does
    }
  }
}

TEST(SchedulerHandover, AHangIsAnEnd) {
  Heir heir;
  auto fate = std::make_shared<Fate>();
  fate->end = Fate::End::kHang;
  fate->dies_at = 3;
  MortalDecoder program(fate, true);
  Scheduler scheduler(program, {.on_orphans = heir.take(), .step_max = 30ms});
  auto told = ask(scheduler, 2, 6);
  expect_exact(told, 6);
  EXPECT_THAT(heir.whys.at(0), ::testing::HasSubstr("a step takes at most 30 ms"));
  std::future<Told> late;
  auto job = telling_job({1}, 1, late);
  EXPECT_EQ(scheduler.submit(std::move(job)).error().code, ErrorCode::kDeadlineExceeded);
}

TEST(SchedulerHandover, RowsThatAreNoNumbersNeverReachAnAnswer) {
  Heir heir;
  auto fate = std::make_shared<Fate>();
  fate->end = Fate::End::kNan;
  fate->dies_at = 4;
  MortalDecoder program(fate, true);
  Scheduler scheduler(program, {.on_orphans = heir.take()});
  auto told = ask(scheduler, 1, 8);
  expect_exact(told, 8);
  ASSERT_EQ(heir.reasons.size(), 1u);
  EXPECT_EQ(heir.reasons[0], Orphans::Reason::kFault);
  EXPECT_THAT(heir.whys[0], ::testing::HasSubstr("logits are numbers"));
}

TEST(SchedulerHandover, WithoutAnHeirTheyFail) {
  auto fate = std::make_shared<Fate>();
  fate->end = Fate::End::kNan;
  fate->dies_at = 2;
  MortalDecoder program(fate, true);
  Scheduler scheduler(program);
  auto told = ask(scheduler, 1, 8);
  EXPECT_EQ(told[0].get().error->code, ErrorCode::kInternal);
}

TEST(SchedulerHandover, AbandonedInTheMiddleOfAStep) {
  Heir heir;
  auto fate = std::make_shared<Fate>();
  fate->step_time = 2ms;
  MortalDecoder program(fate, true);
  Scheduler scheduler(program, {.on_orphans = heir.take()});
  auto told = ask(scheduler, 6, 30);
  while (fate->steps < 5) std::this_thread::yield();
  scheduler.abandon({ErrorCode::kUnavailable, "[test] enough"});
  expect_exact(told, 30);
  EXPECT_EQ(heir.whys.at(0), "[test] enough");
  EXPECT_TRUE(scheduler.idle()) << "gave all back";
}

TEST(SchedulerHandover, AbandonedAndClosedAtOnceStillGivesBack) {
  Heir heir;
  auto fate = std::make_shared<Fate>();
  fate->step_time = 2ms;
  MortalDecoder program(fate, true);
  Scheduler scheduler(program, {.on_orphans = heir.take()});
  auto told = ask(scheduler, 2, 30);
  while (fate->steps < 3) std::this_thread::yield();
  scheduler.abandon({ErrorCode::kUnavailable, "[test] enough"});
  scheduler.close();
  expect_exact(told, 30);
}

TEST(SchedulerHandover, DrainingEndsWhatHasBegunAndGivesBackTheRest) {
  Heir heir;
  auto fate = std::make_shared<Fate>();
  fate->step_time = 4ms;
  MortalDecoder program(fate, true);
  Scheduler scheduler(program, {.target = "old", .on_orphans = heir.take()});
  auto told = ask(scheduler, 6, 20);
  while (scheduler.stats().running < 4) std::this_thread::yield();
  scheduler.drain();
  std::future<Told> late;
  EXPECT_EQ(scheduler.submit(telling_job({1}, 1, late)).error().code, ErrorCode::kUnavailable);
  size_t old = 0;
  for (size_t i = 0; i < told.size(); ++i) {
    const Told one = told[i].get();
    EXPECT_EQ(one.tokens, hash_answer({static_cast<uint32_t>(i), 7, 9}, 20)) << i;
    ASSERT_EQ(one.targets.size(), 1u) << "nothing moves in the middle";
    old += one.targets[0].first == "old";
  }
  EXPECT_EQ(old, 4u);
  while (!scheduler.idle()) std::this_thread::yield();
  EXPECT_EQ(heir.reasons.at(0), Orphans::Reason::kDrained);
}

}  // namespace
}  // namespace accelerate
