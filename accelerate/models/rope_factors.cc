#include "accelerate/models/rope_factors.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include <fmt/format.h>

#include "accelerate/core/rope.h"
#include "accelerate/models/builder.h"

namespace accelerate {
namespace {

constexpr double kTolerance = 1e-4;  // the tensor holds float32 made by float32 arithmetic

bool matches(const std::vector<float>& divisors, const RopeConfig& rope, uint32_t rotated) {
  for (uint32_t i = 0; i < divisors.size(); ++i) {
    const double expected = rope_divisor(rope, rotated, i);
    if (!(std::abs(divisors[i] - expected) <= kTolerance * expected)) return false;
  }
  return true;
}

}  // namespace

Result<RopeConfig> rope_from_factors(const TensorView& tensor, const RopeConfig& plain, uint32_t rotated) {
  if (tensor.dtype != DType::kF32 || tensor.element_count() != rotated / 2 || rotated < 2) {
    return Error{ErrorCode::kDataLoss, fmt::format("[models] '{}' holds {} F32 divisors, one per rope frequency; got {}", tensor.name,
                                                   rotated / 2, to_string(tensor))};
  }
  std::vector<float> divisors(rotated / 2);
  std::memcpy(divisors.data(), tensor.bytes.data(), tensor.bytes.size());
  if (plain.scaling == "none") {
    if (matches(divisors, plain, rotated)) return plain;
    RopeConfig scaled = plain;
    scaled.scaling = "llama3";
    scaled.factor = *std::max_element(divisors.begin(), divisors.end());  // the slowest frequencies are divided by all of it
    scaled.low_frequency_factor = 1;
    scaled.high_frequency_factor = 4;
    scaled.original_context = 8192;
    if (scaled.factor >= 1 && matches(divisors, scaled, rotated)) return scaled;
  }
  return Error{ErrorCode::kUnimplemented, fmt::format("[models] rope divisors are Llama 3's formula; got others in '{}' (first {}, "
                                                      "last {}, rope scaling '{}')", tensor.name, divisors.front(), divisors.back(),
                                                      shown(plain.scaling))};
}

}  // namespace accelerate
