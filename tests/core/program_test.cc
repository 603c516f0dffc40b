#include "accelerate/core/program.h"

#include <gtest/gtest.h>

namespace accelerate {
namespace {

TEST(StepControl, StopsForTheFlagAndForTheDeadline) {
  std::atomic<bool> stop{false};
  StepControl control;
  EXPECT_FALSE(control.should_stop());
  control.stop = &stop;
  EXPECT_FALSE(control.should_stop());
  control.deadline = std::chrono::steady_clock::now() + std::chrono::hours(1);
  EXPECT_FALSE(control.should_stop());
  stop = true;
  EXPECT_TRUE(control.should_stop());
  stop = false;
  control.deadline = std::chrono::steady_clock::now() - std::chrono::milliseconds(1);
  EXPECT_TRUE(control.should_stop());
}

}  // namespace
}  // namespace accelerate
