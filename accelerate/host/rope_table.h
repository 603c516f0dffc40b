// RopeTable - cosines and sines of the rotary embedding, one row a position, filled as sequences grow.
//
//   ACC_TRY(RopeTable table, RopeTable::create(spec, context));
//   table.fill(position + 1);
//   task.cosines[row] = table.cosines(position);
//
// Angle of pair i at position p: p * frequency_i, frequency_i = base^(-2i / rotated) (RoFormer, arXiv 2104.09864), then scaled:
//   linear: frequency / factor (position interpolation, arXiv 2306.15595).
//   llama3: by wavelength w = 2 pi / frequency and the context c the model was first trained with: w < c / high keeps the
//   frequency, w > c / low divides it by factor, in between both are mixed with s = (c / w - low) / (high - low) as
//   (1 - s) frequency / factor + s frequency (the rule of Llama 3.1's reference code and config).
// Frequencies and angles are double; a table of 8192 positions x 32 pairs takes 2 MiB, of which only filled rows are
// resident. fill() by one thread while nobody reads; reading by any number.
#pragma once

#include <vector>

#include "accelerate/base/buffer.h"
#include "accelerate/host/plan.h"

namespace accelerate {

/// rotated / 2 frequencies, highest first.
std::vector<double> rope_frequencies(const RopeConfig& config, uint32_t rotated);

class RopeTable {
 public:
  static Result<RopeTable> create(const RopeTableSpec& spec, uint32_t positions_max);
  static uint64_t bytes_needed(const RopeTableSpec& spec, uint32_t positions_max);

  /// Makes rows [0, positions) valid; at most positions_max.
  void fill(uint32_t positions);
  /// rotated / 2 floats; `position` has been filled.
  const float* cosines(uint32_t position) const { return rows_.as<float>() + size_t{position} * 2 * pairs_; }
  const float* sines(uint32_t position) const { return cosines(position) + pairs_; }
  uint64_t bytes() const { return rows_.size(); }

 private:
  std::vector<double> frequencies_;
  Buffer rows_;  // [position][cosines, sines]
  uint32_t pairs_ = 0, filled_ = 0, positions_max_ = 0;
};

}  // namespace accelerate
