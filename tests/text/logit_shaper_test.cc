#include "accelerate/text/logit_shaper.h"

#include <gtest/gtest.h>

namespace accelerate {
namespace {

const std::vector<float> kRow = {1.0f, -1.0f, 2.0f, 0.5f};

std::vector<float> shaped(LogitShaper& shaper) {
  const std::span<const float> row = shaper.shaped(kRow);
  return {row.begin(), row.end()};
}

TEST(LogitShaper, AsksForNothingByDefaultAndCopiesNothing) {
  const std::vector<uint32_t> prompt = {0, 1};
  LogitShaper shaper({}, prompt);
  shaper.took(2);
  EXPECT_EQ(shaper.shaped(kRow).data(), kRow.data());
}

TEST(LogitShaper, FrequencyCountsAndPresenceDoesNot) {
  const std::vector<uint32_t> prompt = {3};
  LogitShaper shaper({.frequency_penalty = 0.5f, .presence_penalty = 0.25f}, prompt);
  EXPECT_EQ(shaped(shaper), kRow) << "the prompt is not counted";
  for (const uint32_t token : {0u, 0u, 0u, 2u}) shaper.took(token);
  EXPECT_EQ(shaped(shaper), (std::vector<float>{1.0f - 1.5f - 0.25f, -1.0f, 2.0f - 0.5f - 0.25f, 0.5f}));
  EXPECT_EQ(kRow[0], 1.0f) << "the row itself is left as it is";
}

TEST(LogitShaper, RepetitionDividesWhatIsPositiveAndMultipliesTheRest) {
  const std::vector<uint32_t> prompt = {1, 1};
  LogitShaper shaper({.repetition_penalty = 2.0f}, prompt);
  shaper.took(2);
  shaper.took(2);
  EXPECT_EQ(shaped(shaper), (std::vector<float>{1.0f, -2.0f, 1.0f, 0.5f})) << "once, however often the token came";
}

TEST(LogitShaper, BiasComesOnTopAndIdsBeyondTheRowAreIgnored) {
  const std::vector<uint32_t> prompt = {99};
  LogitShaper shaper({.frequency_penalty = 1.0f, .repetition_penalty = 2.0f, .logit_bias = {{0, -100.0f}, {3, 4.0f}, {99, 5.0f}}}, prompt);
  shaper.took(0);
  shaper.took(98);
  EXPECT_EQ(shaped(shaper), (std::vector<float>{1.0f / 2 - 1 - 100, -1.0f, 2.0f, 4.5f}));
}

}  // namespace
}  // namespace accelerate
