#include "accelerate/host/rope_table.h"

#include <gtest/gtest.h>

#include <cmath>

namespace accelerate {
namespace {

TEST(RopeTable, PlainFrequenciesFallFromOne) {
  const auto frequencies = rope_frequencies({.base = 10000}, 8);
  ASSERT_EQ(frequencies.size(), 4u);
  EXPECT_DOUBLE_EQ(frequencies[0], 1.0);
  EXPECT_NEAR(frequencies[1], 0.1, 1e-15);
  EXPECT_NEAR(frequencies[3], 0.001, 1e-15);
}

TEST(RopeTable, LinearScalingDividesAll) {
  const auto plain = rope_frequencies({.base = 5000}, 16);
  const auto scaled = rope_frequencies({.base = 5000, .scaling = "linear", .factor = 4}, 16);
  for (size_t i = 0; i < plain.size(); ++i) EXPECT_DOUBLE_EQ(scaled[i], plain[i] / 4);
}

// Llama 3.1's own numbers (base 500000, factor 8, low 1, high 4, 8192 tokens, heads of 128): short waves stay, long ones
// are divided by 8, and those between 2048 and 8192 tokens are mixed.
TEST(RopeTable, Llama3ScalingKeepsShortWavesAndStretchesLongOnes) {
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

TEST(RopeTable, RowsAreFilledAsAsked) {
  auto table = RopeTable::create({{.base = 100}, 6}, 1000);
  ASSERT_TRUE(table.ok());
  EXPECT_EQ(RopeTable::bytes_needed({{.base = 100}, 6}, 1000), 1000u * 6 * 4);
  table->fill(10);
  table->fill(5);  // already there
  table->fill(1000);
  for (const uint32_t position : {0u, 9u, 10u, 999u}) {
    for (uint32_t i = 0; i < 3; ++i) {
      const double angle = position * std::pow(100.0, -2.0 * i / 6);
      EXPECT_NEAR(table->cosines(position)[i], std::cos(angle), 1e-6);
      EXPECT_NEAR(table->sines(position)[i], std::sin(angle), 1e-6);
    }
  }
}

}  // namespace
}  // namespace accelerate
