// RopeTable - cosines and sines of the rotary embedding, one row a position, filled as sequences grow.
//
//   ACC_TRY(RopeTable table, RopeTable::create(spec, context));
//   table.fill(position + 1);
//   task.cosines[row] = table.cosines(position);
//
// Angle of pair i at position p: p * rope_frequencies()[i] (core/rope.h). Frequencies and angles are double; a table of 8192 positions x 32 pairs takes 2 MiB, of which only filled rows are
// resident. fill() by one thread while nobody reads; reading by any number.
#pragma once

#include <vector>

#include "accelerate/base/buffer.h"
#include "accelerate/host/plan.h"

namespace accelerate {

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
