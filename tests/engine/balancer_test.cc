#include "accelerate/engine/balancer.h"

#include <vector>

#include <gtest/gtest.h>

namespace accelerate {
namespace {

constexpr RequestDemand kChat{.prompt_tokens = 400, .answer_tokens = 100};

TargetLoad load(double prompt_tokens_per_s, double step_s) {
  return {.takes_requests = true, .speed = SpeedAverages(prompt_tokens_per_s, step_s), .slots = 4, .running = 0, .queued = 0, .prompt_tokens_ahead = 0, .cached_tokens = 0, .up_s = 1000};
}

TEST(SpeedAverages, FollowWhatIsMeasured) {
  SpeedAverages speed;
  speed.observe(0, 4, 0.02);
  EXPECT_DOUBLE_EQ(speed.step_s(), 0.02) << "the first sample is the average";
  speed.observe(0, 4, 0.07);
  EXPECT_NEAR(speed.step_s(), 0.03, 1e-12);
  speed.observe(100, 0, 0.5);
  EXPECT_DOUBLE_EQ(speed.prompt_tokens_per_s(), 200);
  speed.observe(100, 1, 0.53);
  EXPECT_NEAR(speed.prompt_tokens_per_s(), 200, 1e-9) << "a mixed step: less what its answers take";
  speed.observe(3, 0, 0.5);
  EXPECT_NEAR(speed.prompt_tokens_per_s(), 200, 1e-9) << "three tokens say nothing";
  speed.observe(0, 1, 0);
  EXPECT_NEAR(speed.step_s(), 0.03, 1e-12);
}

TEST(Balancer, ExpectsWhatTheNumbersSay) {
  TargetLoad one = load(200, 0.01);
  EXPECT_NEAR(*expected_seconds(one, kChat), 2 + 1, 1e-9);
  one.cached_tokens = 300;
  EXPECT_NEAR(*expected_seconds(one, kChat), 0.5 + 1, 1e-9);
  one.prompt_tokens_ahead = 200;
  EXPECT_NEAR(*expected_seconds(one, kChat), 1.5 + 1, 1e-9);
  one.running = 4, one.queued = 3;  // four answers stand before it, four places
  EXPECT_NEAR(*expected_seconds(one, kChat), 1.5 + 1 + 1, 1e-9);
  one.up_s = 0;
  EXPECT_NEAR(*expected_seconds(one, kChat), 3.5 * kSlowStartFactor, 1e-9);
  EXPECT_FALSE(expected_seconds(load(0, 0.01), kChat));
}

TEST(Balancer, TakesWhereItEndsFirst) {
  std::vector<TargetLoad> loads = {load(200, 0.02), load(1000, 0.01), load(100, 0.005)};
  EXPECT_EQ(choose_target(loads, kChat), 1u);
  EXPECT_EQ(choose_target(loads, {.prompt_tokens = 10, .answer_tokens = 500}), 2u) << "long answers to short prompts";
  loads[1].takes_requests = false;
  EXPECT_EQ(choose_target(loads, kChat), 0u) << "2 + 2 s against 4 + 0.5 s";
  loads[0].takes_requests = loads[2].takes_requests = false;
  EXPECT_FALSE(choose_target(loads, kChat)) << "draining ones take nothing";
  EXPECT_FALSE(choose_target({}, kChat));
}

TEST(Balancer, AConversationStaysUnlessTheQueueCostsMore) {
  std::vector<TargetLoad> loads = {load(200, 0.01), load(200, 0.01)};
  loads[1].cached_tokens = 350;
  EXPECT_EQ(choose_target(loads, kChat), 1u);
  loads[1].prompt_tokens_ahead = 300;
  EXPECT_EQ(choose_target(loads, kChat), 1u) << "350 tokens saved, 300 to wait for";
  loads[1].prompt_tokens_ahead = 400;
  EXPECT_EQ(choose_target(loads, kChat), 0u);
}

TEST(Balancer, ANewTargetGetsItsShareLittleByLittle) {
  std::vector<TargetLoad> loads = {load(200, 0.01), load(200, 0.01)};
  loads[1].up_s = 0;
  EXPECT_EQ(choose_target(loads, kChat), 0u);
  loads[0].running = 4, loads[0].queued = 8;  // ten seconds of queue make even a doubted one better
  loads[0].prompt_tokens_ahead = 2000;
  EXPECT_EQ(choose_target(loads, kChat), 1u);
  loads[0] = load(200, 0.01);
  loads[0].prompt_tokens_ahead = 100;
  loads[1].up_s = kSlowStart_s;
  EXPECT_EQ(choose_target(loads, kChat), 1u) << "trusted by now";
}

TEST(Balancer, WithoutMeasurementsRequestsAreSpread) {
  std::vector<TargetLoad> loads = {load(0, 0), load(0, 0)};
  EXPECT_EQ(choose_target(loads, kChat), 0u);
  loads[0].running = 1;
  EXPECT_EQ(choose_target(loads, kChat), 1u);
  loads[0] = load(200, 0.01);
  loads[0].running = 4;
  EXPECT_EQ(choose_target(loads, kChat), 1u) << "taken for as fast as the one that is known, and idle";
}

}  // namespace
}  // namespace accelerate
