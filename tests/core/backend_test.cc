#include "accelerate/core/backend.h"

#include <gtest/gtest.h>

namespace accelerate {
namespace {

TEST(Backend, TargetsAndVerdictsHaveNames) {
  EXPECT_EQ(to_string(Device{.kind = "npu", .index = 2}), "npu:2");
  EXPECT_EQ(to_string(Target{.backend = "max", .device = {.kind = "cpu"}}), "max@cpu:0");
  EXPECT_EQ(verdict_state_name(Verdict::State::kAvailable), "available");
  EXPECT_EQ(verdict_state_name(Verdict::State::kBroken), "broken");
  EXPECT_EQ(verdict_state_name(Verdict::State::kAbsent), "absent");
}

TEST(Backend, NothingIsClaimedByDefault) {
  EXPECT_EQ(Verdict{}.state, Verdict::State::kAbsent);
  EXPECT_FALSE(Support{}.yes);
  EXPECT_EQ((MemoryEstimate{.weights = 1, .kv = 20, .buffers = 300}.total()), 321u);
}

TEST(Backend, NoProgressNeverStops) {
  EXPECT_TRUE(no_progress().update("tensors", 1, 0, "tensors"));
  EXPECT_EQ(&no_progress(), &no_progress());
}

}  // namespace
}  // namespace accelerate
