#include "accelerate/host/rope_table.h"

#include <cmath>
#include <numbers>

namespace accelerate {
namespace {

double llama3_scaled(double frequency, const RopeConfig& config) {
  const double wavelength = 2 * std::numbers::pi / frequency;
  const double original = config.original_context;
  if (wavelength < original / config.high_frequency_factor) return frequency;
  if (wavelength > original / config.low_frequency_factor) return frequency / config.factor;
  const double share = (original / wavelength - config.low_frequency_factor) / (config.high_frequency_factor - config.low_frequency_factor);
  return (1 - share) * frequency / config.factor + share * frequency;
}

}  // namespace

std::vector<double> rope_frequencies(const RopeConfig& config, uint32_t rotated) {
  std::vector<double> frequencies(rotated / 2);
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double frequency = std::pow(config.base, -2.0 * static_cast<double>(i) / rotated);
    frequencies[i] = config.scaling == "linear"   ? frequency / config.factor
                     : config.scaling == "llama3" ? llama3_scaled(frequency, config)
                                                  : frequency;
  }
  return frequencies;
}

uint64_t RopeTable::bytes_needed(const RopeTableSpec& spec, uint32_t positions_max) {
  return uint64_t{spec.rotated / 2} * 2 * sizeof(float) * positions_max;
}

Result<RopeTable> RopeTable::create(const RopeTableSpec& spec, uint32_t positions_max) {
  RopeTable table;
  table.frequencies_ = rope_frequencies(spec.config, spec.rotated);
  table.pairs_ = spec.rotated / 2;
  table.positions_max_ = positions_max;
  ACC_TRY(table.rows_, Buffer::allocate(bytes_needed(spec, positions_max)));
  return table;
}

void RopeTable::fill(uint32_t positions) {
  CHECK(positions <= positions_max_, "sequences are no longer than the context");
  for (; filled_ < positions; ++filled_) {
    float* row = rows_.as<float>() + size_t{filled_} * 2 * pairs_;
    for (uint32_t i = 0; i < pairs_; ++i) {
      const double angle = static_cast<double>(filled_) * frequencies_[i];
      row[i] = static_cast<float>(std::cos(angle));
      row[pairs_ + i] = static_cast<float>(std::sin(angle));
    }
  }
}

}  // namespace accelerate
