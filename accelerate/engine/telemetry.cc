#include "accelerate/engine/telemetry.h"

#include <algorithm>
#include <numeric>

namespace accelerate {

void Histogram::observe(double value) {
  ++counts_[static_cast<size_t>(std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin())];
  sum_ += value;
}

uint64_t Histogram::count() const { return std::accumulate(counts_.begin(), counts_.end(), uint64_t{0}); }

}  // namespace accelerate
