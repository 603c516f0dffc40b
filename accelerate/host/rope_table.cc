#include "accelerate/host/rope_table.h"

#include <cmath>

#include "accelerate/core/rope.h"

namespace accelerate {
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
