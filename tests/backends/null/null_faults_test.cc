#include "accelerate/backends/null/null_faults.h"

#include <gtest/gtest.h>

#include <thread>

namespace accelerate {
namespace {

TEST(NullFaults, AHangEndsByStopOrDeadline) {
  const NullScript script{.fault = NullFault::kHang, .fault_step = 0};
  {
    NullFaults faults(script);
    std::atomic<bool> stop{false};
    std::thread later([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      stop = true;
    });
    EXPECT_EQ(faults.begin({.stop = &stop}).error().code, ErrorCode::kCancelled);
    later.join();
    EXPECT_TRUE(faults.begin({}).ok());  // the next call is a good one
  }
  NullFaults faults(script);
  EXPECT_EQ(faults.begin({.deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(5)}).error().code, ErrorCode::kDeadlineExceeded);
}

TEST(NullFaults, TheDelayIsWaited) {
  const NullScript script{.step_delay = std::chrono::milliseconds(3)};
  NullFaults faults(script);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(faults.begin({}).ok());
  EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(3));
}

TEST(NullFaults, SaysWhichFaultIsNow) {
  const NullScript script{.fault = NullFault::kSlotError, .fault_step = 1};
  NullFaults faults(script);
  ASSERT_TRUE(faults.begin({}).ok());
  EXPECT_EQ(faults.now(), NullFault::kNone);
  ASSERT_TRUE(faults.begin({}).ok());
  EXPECT_EQ(faults.now(), NullFault::kSlotError);
}

}  // namespace
}  // namespace accelerate
