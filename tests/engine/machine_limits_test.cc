#include <chrono>

#include <gtest/gtest.h>

#include "accelerate/engine/bench.h"

namespace accelerate {
namespace {

TEST(MachineLimits, MeasuresPlausibleFiguresWithinItsTime) {
  const auto begin = std::chrono::steady_clock::now();
  const MachineLimits limits = measure_machine(1);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  EXPECT_EQ(limits.threads, 1u);
  // No machine this runs on reads slower than 0.2 GB/s or faster than 2 TB/s with one thread; the portable kernel
  // reaches at least 0.05 GFLOP/s even under a sanitizer.
  EXPECT_GT(limits.read_gbytes_per_s, 0.2);
  EXPECT_LT(limits.read_gbytes_per_s, 2000);
  EXPECT_GT(limits.f32_gflops, 0.05);
  EXPECT_LT(limits.f32_gflops, 2000);
  EXPECT_LT(seconds, 8) << "about one second alone on a machine; generous for a loaded one";
}

TEST(MachineLimits, ZeroThreadsMeansOne) { EXPECT_EQ(measure_machine(0).threads, 1u); }

}  // namespace
}  // namespace accelerate
