// Rope frequencies - the one home of the rotary embedding's formula: host/ turns it into tables, models/ recognises it.
//
//   std::vector<double> frequencies = rope_frequencies(config, /*rotated=*/64);   // 32, highest first
//
// Angle of pair i at position p: p * frequency_i, frequency_i = base^(-2i / rotated) (RoFormer, arXiv 2104.09864), divided by:
//   linear: factor (position interpolation, arXiv 2306.15595).
//   llama3: by wavelength w = 2 pi / frequency and the context c the model was first trained with: 1 where w < c / high,
//   factor where w > c / low, in between 1 / ((1 - s) / factor + s) with s = (c / w - low) / (high - low) (the rule of
//   Llama 3.1's reference code and config).
// Pure; thread-safe.
#pragma once

#include <cstdint>
#include <vector>

#include "accelerate/core/model.h"

namespace accelerate {

/// What the plain frequency of pair `pair` (0 to rotated / 2 - 1) is divided by; 1 for a scaling not named above.
double rope_divisor(const RopeConfig& config, uint32_t rotated, uint32_t pair);

/// rotated / 2 frequencies in radians a token, highest first.
std::vector<double> rope_frequencies(const RopeConfig& config, uint32_t rotated);

}  // namespace accelerate
