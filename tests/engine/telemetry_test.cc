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

}  // namespace
}  // namespace accelerate
