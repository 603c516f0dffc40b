#include "accelerate/core/rope.h"

#include <cmath>
#include <numbers>

namespace accelerate {
namespace {

double plain_frequency(const RopeConfig& config, uint32_t rotated, uint32_t pair) {
  return std::pow(config.base, -2.0 * pair / rotated);
}

}  // namespace

double rope_divisor(const RopeConfig& config, uint32_t rotated, uint32_t pair) {
  if (config.scaling == "linear") return config.factor;
  if (config.scaling != "llama3") return 1;
  const double wavelength = 2 * std::numbers::pi / plain_frequency(config, rotated, pair);
  const double turns = config.original_context / wavelength;
  if (turns > config.high_frequency_factor) return 1;
  if (turns < config.low_frequency_factor) return config.factor;
  const double share = (turns - config.low_frequency_factor) / (config.high_frequency_factor - config.low_frequency_factor);
  return 1 / ((1 - share) / config.factor + share);
}

std::vector<double> rope_frequencies(const RopeConfig& config, uint32_t rotated) {
  std::vector<double> frequencies(rotated / 2);
  for (uint32_t i = 0; i < frequencies.size(); ++i) frequencies[i] = plain_frequency(config, rotated, i) / rope_divisor(config, rotated, i);
  return frequencies;
}

}  // namespace accelerate
