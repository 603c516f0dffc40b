#include "accelerate/base/numbers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace accelerate {
namespace {

// The value of a half by the definition of the format (IEEE 754-2019, 3.4), in doubles: no bit tricks.
double half_value(uint16_t half) {
  const double sign = half & 0x8000 ? -1.0 : 1.0;
  const int exponent = half >> 10 & 31, mantissa = half & 1023;
  if (exponent == 31) return mantissa ? std::nan("") : sign * INFINITY;
  if (exponent == 0) return sign * std::ldexp(mantissa, -24);
  return sign * std::ldexp(1024 + mantissa, exponent - 25);
}

double bf16_value(uint16_t bits) {
  const double sign = bits & 0x8000 ? -1.0 : 1.0;
  const int exponent = bits >> 7 & 255, mantissa = bits & 127;
  if (exponent == 255) return mantissa ? std::nan("") : sign * INFINITY;
  if (exponent == 0) return sign * std::ldexp(mantissa, -133);
  return sign * std::ldexp(128 + mantissa, exponent - 134);
}

// Round to nearest, ties to even, by search among all finite magnitudes: magnitudes rise with their bits. What lies half
// a step or more beyond the largest finite value is infinite.
template <double (*Value)(uint16_t)>
uint16_t rounded_by_search(float value, uint16_t infinity) {
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const double magnitude = std::fabs(static_cast<double>(value));
  uint32_t low = 0, high = infinity;  // Value(low) <= magnitude < Value(high), infinity read as one step beyond
  while (high - low > 1) {
    const uint32_t middle = (low + high) / 2;
    (Value(static_cast<uint16_t>(middle)) <= magnitude ? low : high) = middle;
  }
  const double below = Value(static_cast<uint16_t>(low));
  const double step = low + 1 < infinity ? Value(static_cast<uint16_t>(low + 1)) - below : below - Value(static_cast<uint16_t>(low - 1));
  const double fraction = (magnitude - below) / step;
  const bool up = fraction > 0.5 || (fraction == 0.5 && (low & 1));
  return static_cast<uint16_t>(sign | (low + up));
}

std::vector<float> hard_floats() {
  std::vector<float> values = {0.0f, -0.0f, 65504.0f, 65519.99f, 65520.0f, 65536.0f, 3.4e38f, -3.4e38f, 0x1p-24f, 0x1p-25f, 0x1.000002p-25f,
                               0x1.8p-24f, 0x1p-14f, 0x1.ffcp-15f, 0x1.ffep-15f, 0x1.fffffep-15f, 1e-45f, 0x1.fffffep127f, 0x1.fep127f, 0x1.ffp127f};
  for (uint32_t half = 0; half < 0x7c00; ++half) {  // every half, every middle between two, and their neighbours
    const auto middle = static_cast<float>((half_value(static_cast<uint16_t>(half)) + half_value(static_cast<uint16_t>(half + 1))) / 2);
    if (!std::isfinite(middle)) continue;
    for (const float value : {middle, std::nextafter(middle, 0.0f), std::nextafter(middle, 1e9f)}) values.push_back(half & 1 ? value : -value);
  }
  std::mt19937 random(7);
  for (int i = 0; i < 200'000; ++i) values.push_back(std::bit_cast<float>(static_cast<uint32_t>(random())));
  return values;
}

TEST(Numbers, EveryHalfHasItsValueAndComesBack) {
  for (uint32_t half = 0; half < 65536; ++half) {
    const auto bits = static_cast<uint16_t>(half);
    const float value = f16_to_f32(bits);
    const double expected = half_value(bits);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(value)) << half;
      const uint16_t back = f32_to_f16(value);
      ASSERT_TRUE(std::isnan(half_value(back))) << half;
      ASSERT_EQ(back & 0x8000, bits & 0x8000) << half;
      continue;
    }
    ASSERT_EQ(value, static_cast<float>(expected)) << half;
    ASSERT_EQ(std::signbit(value), (half & 0x8000) != 0) << half;
    ASSERT_EQ(f32_to_f16(value), bits);
  }
}

TEST(Numbers, EveryBfloatHasItsValueAndComesBack) {
  for (uint32_t i = 0; i < 65536; ++i) {
    const auto bits = static_cast<uint16_t>(i);
    const float value = bf16_to_f32(bits);
    const double expected = bf16_value(bits);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(value) && std::isnan(bf16_value(f32_to_bf16(value)))) << i;
      continue;
    }
    ASSERT_EQ(static_cast<double>(value), expected) << i;
    ASSERT_EQ(f32_to_bf16(value), bits);
  }
}

TEST(Numbers, ToHalfRoundsToNearestEven) {
  for (const float value : hard_floats()) {
    if (std::isnan(value)) {
      ASSERT_TRUE(std::isnan(half_value(f32_to_f16(value))));
      continue;
    }
    if (std::isinf(value)) continue;  // among all halves above
    ASSERT_EQ(f32_to_f16(value), rounded_by_search<half_value>(value, 0x7c00)) << std::hexfloat << value;
  }
}

TEST(Numbers, ToBfloatRoundsToNearestEven) {
  std::vector<float> values = hard_floats();
  for (uint32_t i = 0; i < 0x7f80; i += 3) {  // middles
    values.push_back(std::bit_cast<float>(i << 16 | 0x8000u));
    values.push_back(-std::bit_cast<float>(i << 16 | 0x8001u));
    values.push_back(std::bit_cast<float>(i << 16 | 0x7fffu));
  }
  for (const float value : values) {
    if (std::isnan(value)) {
      ASSERT_TRUE(std::isnan(bf16_value(f32_to_bf16(value))));
      continue;
    }
    if (std::isinf(value)) continue;
    ASSERT_EQ(f32_to_bf16(value), rounded_by_search<bf16_value>(value, 0x7f80)) << std::hexfloat << value;
  }
}

TEST(Numbers, ANanWhosePayloadIsInTheLowBitsStaysANan) {
  const float low_payload = std::bit_cast<float>(0x7f800001u);
  EXPECT_TRUE(std::isnan(bf16_value(f32_to_bf16(low_payload))));
  EXPECT_TRUE(std::isnan(half_value(f32_to_f16(low_payload))));
}

}  // namespace
}  // namespace accelerate
