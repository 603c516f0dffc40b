#include "accelerate/engine/telemetry.h"

#include <gtest/gtest.h>

namespace accelerate {
namespace {

TEST(Histogram, CountsUpToEachBoundAndAboveAll) {
  static constexpr double kBounds[] = {1, 2};
  Histogram histogram(kBounds);
  for (const double value : {0.5, 1.0, 1.5, 7.0}) histogram.observe(value);
  EXPECT_EQ(std::vector<uint64_t>(histogram.counts().begin(), histogram.counts().end()), (std::vector<uint64_t>{2, 1, 1}));
  EXPECT_EQ(histogram.count(), 4u);
  EXPECT_EQ(histogram.sum(), 10);
}

TEST(Histogram, AddsAnother) {
  static constexpr double kBounds[] = {1, 2};
  Histogram one(kBounds), other(kBounds);
  one.observe(0.5);
  other.observe(1.5);
  other.observe(9);
  one.add(other);
  EXPECT_EQ(std::vector<uint64_t>(one.counts().begin(), one.counts().end()), (std::vector<uint64_t>{1, 1, 1}));
  EXPECT_EQ(one.sum(), 11);
}

TEST(SchedulerStats, SumsCountersAndForgetsWhatIsOver) {
  SchedulerStats one, other;
  one.steps = 3, one.running = 1, one.capacity.kv_tokens_total = 100;
  other.steps = 4, other.running = 2, other.queued = 5, other.step_mean_s = 0.5, other.prompt_tokens_ahead = 9;
  other.capacity.kv_tokens_total = 50;
  one.add(other);
  EXPECT_EQ(one.steps, 7u);
  EXPECT_EQ(one.running, 3u);
  EXPECT_EQ(one.queued, 5u);
  EXPECT_EQ(one.capacity.kv_tokens_total, 150u);
  one.forget_present();
  EXPECT_EQ(one.steps, 7u);
  EXPECT_EQ(one.running + one.queued + one.prompt_tokens_ahead + one.capacity.kv_tokens_total, 0u);
}

}  // namespace
}  // namespace accelerate
