#include "accelerate/engine/logits_comparison.h"

#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

namespace accelerate {
namespace {

TEST(LogitsComparison, EqualRowsHaveNoDistanceWhateverIsAdded) {
  const std::vector<float> row{1, -2, 3}, shifted{101, 98, 103};
  LogitsComparator comparator;
  comparator.add(row, row);
  comparator.add(row, shifted);
  const LogitsComparison result = comparator.result();
  EXPECT_EQ(result.rows, 2u);
  EXPECT_NEAR(result.kl_mean, 0, 1e-12);
  EXPECT_EQ(result.top1_agreement, 1);
  EXPECT_GT(result.cosine_distance_max, 0.1) << "the softmax does not see a shift, the rows do";
}

// p = (1/2, 1/2), q = (3/4, 1/4): D = 1/2 log(2/3) + 1/2 log 2.
TEST(LogitsComparison, DivergenceByHand) {
  const std::vector<float> p{0, 0}, q{std::log(3.0f), 0};
  LogitsComparator comparator;
  comparator.add(p, q);
  EXPECT_NEAR(comparator.result().kl_mean, 0.5 * std::log(2.0 / 3) + 0.5 * std::log(2.0), 1e-7);
  comparator.add(p, p);
  EXPECT_NEAR(comparator.result().kl_max, 2 * comparator.result().kl_mean, 1e-12);
}

TEST(LogitsComparison, CosineByHand) {
  EXPECT_NEAR(cosine_distance(std::vector<float>{1, 0}, std::vector<float>{1, 1}), 1 - std::sqrt(0.5), 1e-12);
  EXPECT_NEAR(cosine_distance(std::vector<float>{1, 0}, std::vector<float>{-1, 0}), 2, 1e-12);
  EXPECT_EQ(cosine_distance(std::vector<float>{0, 0}, std::vector<float>{0, 0}), 0);
  EXPECT_EQ(cosine_distance(std::vector<float>{0, 0}, std::vector<float>{1, 0}), 1);
}

TEST(LogitsComparison, NotANumberIsInfinitelyFar) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    LogitsComparator comparator;
    comparator.add(std::vector<float>{1, 2}, std::vector<float>{1, bad});
    EXPECT_TRUE(std::isinf(comparator.result().kl_mean));
    EXPECT_TRUE(std::isinf(comparator.result().cosine_distance_max));
    EXPECT_EQ(comparator.result().top1_agreement, 0);
  }
}

TEST(LogitsComparison, Top1IsAShareOfRows) {
  LogitsComparator comparator;
  comparator.add(std::vector<float>{1, 2}, std::vector<float>{2, 1});
  comparator.add(std::vector<float>{1, 2}, std::vector<float>{1, 2});
  EXPECT_EQ(comparator.result().top1_agreement, 0.5);
  EXPECT_EQ(LogitsComparator().result().rows, 0u);
}

}  // namespace
}  // namespace accelerate
