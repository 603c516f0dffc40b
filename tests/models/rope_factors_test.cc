#include "accelerate/models/rope_factors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "accelerate/core/rope.h"

namespace accelerate {
namespace {

constexpr uint32_t kRotated = 64;

struct Divisors {
  std::vector<float> values;
  TensorView view() const {
    return {.name = "rope_freqs.weight", .dtype = DType::kF32, .shape = {values.size()}, .bytes = std::as_bytes(std::span(values))};
  }
};

TEST(RopeFactors, RecognisesLlama3) {
  RopeConfig plain{.base = 500000};
  RopeConfig scaled{.base = 500000, .scaling = "llama3", .factor = 32, .original_context = 8192};
  Divisors divisors;
  for (uint32_t i = 0; i < kRotated / 2; ++i) divisors.values.push_back(static_cast<float>(rope_divisor(scaled, kRotated, i)));
  const auto rope = rope_from_factors(divisors.view(), plain, kRotated);
  ASSERT_TRUE(rope.ok()) << rope.error().message;
  EXPECT_EQ(rope->scaling, "llama3");
  EXPECT_NEAR(rope->factor, 32, 1e-4);
  EXPECT_EQ(rope->original_context, 8192u);
  divisors.values[20] *= 1.01f;
  EXPECT_EQ(rope_from_factors(divisors.view(), plain, kRotated).error().code, ErrorCode::kUnimplemented);
}

TEST(RopeFactors, OnesChangeNothing) {
  const Divisors ones{std::vector<float>(kRotated / 2, 1.0f)};
  EXPECT_EQ(rope_from_factors(ones.view(), {}, kRotated)->scaling, "none");
}

TEST(RopeFactors, RefusesOtherSizesTypesAndDoubleScaling) {
  Divisors ones{std::vector<float>(kRotated / 2, 1.0f)};
  EXPECT_EQ(rope_from_factors(ones.view(), {}, 32).error().code, ErrorCode::kDataLoss);
  TensorView halves = ones.view();
  halves.dtype = DType::kI32;
  EXPECT_EQ(rope_from_factors(halves, {}, kRotated).error().code, ErrorCode::kDataLoss);
  EXPECT_EQ(rope_from_factors(ones.view(), {.scaling = "linear", .factor = 2}, kRotated).error().code, ErrorCode::kUnimplemented);
  ones.values[3] = NAN;
  EXPECT_FALSE(rope_from_factors(ones.view(), {}, kRotated).ok());
}

}  // namespace
}  // namespace accelerate
