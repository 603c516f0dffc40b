#include "accelerate/core/rope.h"

#include <cmath>

#include <gtest/gtest.h>

namespace accelerate {
namespace {

TEST(Rope, PlainFrequenciesFallFromOne) {
  const auto frequencies = rope_frequencies({.base = 10000}, 8);
  ASSERT_EQ(frequencies.size(), 4u);
  EXPECT_DOUBLE_EQ(frequencies[0], 1.0);
  EXPECT_NEAR(frequencies[1], 0.1, 1e-15);
  EXPECT_NEAR(frequencies[3], 0.001, 1e-15);
}

TEST(Rope, LinearScalingDividesAll) {
  const auto plain = rope_frequencies({.base = 5000}, 16);
  const auto scaled = rope_frequencies({.base = 5000, .scaling = "linear", .factor = 4}, 16);
  for (size_t i = 0; i < plain.size(); ++i) EXPECT_DOUBLE_EQ(scaled[i], plain[i] / 4);
}

// Llama 3.1's own numbers (base 500000, factor 8, low 1, high 4, 8192 tokens, heads of 128): short waves stay, long ones
// are divided by 8, and those between 2048 and 8192 tokens are mixed.
TEST(Rope, Llama3ScalingKeepsShortWavesAndStretchesLongOnes) {
  const RopeConfig config{.base = 500000, .scaling = "llama3", .factor = 8, .low_frequency_factor = 1, .high_frequency_factor = 4, .original_context = 8192};
  const auto plain = rope_frequencies({.base = 500000}, 128), scaled = rope_frequencies(config, 128);
  for (size_t i = 0; i < 64; ++i) {
    const double wavelength = 2 * M_PI / plain[i];
    if (wavelength < 2048) {
      EXPECT_DOUBLE_EQ(scaled[i], plain[i]) << i;
    } else if (wavelength > 8192) {
      EXPECT_DOUBLE_EQ(scaled[i], plain[i] / 8) << i;
    } else {
      EXPECT_LT(scaled[i], plain[i]) << i;
      EXPECT_GT(scaled[i], plain[i] / 8) << i;
    }
  }
  EXPECT_NEAR(scaled[32], 0.000524846, 1e-8);  // wavelength 4442.9: share (8192 / 4442.9 - 1) / 3 = 0.28128; 0.28128 f + 0.71872 f / 8
}

/// Values by hand: wavelengths shorter than 8192 / 4 are kept, longer than 8192 divided, between them a ramp in turns.
TEST(Rope, DivisorsFollowTheFormula) {
  const RopeConfig rope{.base = 10000, .scaling = "llama3", .factor = 8, .original_context = 8192};
  EXPECT_EQ(rope_divisor(rope, 128, 0), 1.0);    // wavelength 6.28
  EXPECT_EQ(rope_divisor(rope, 128, 63), 8.0);   // wavelength 54410
  // Pair 44: frequency 10000^(-88/128) = 0.00177828, wavelength 3533.3, turns 2.31853, smooth 0.439511.
  EXPECT_NEAR(rope_divisor(rope, 128, 44), 1 / ((1 - 0.439511) / 8 + 0.439511), 1e-4);
}

}  // namespace
}  // namespace accelerate
