// Normalization kernels. RMSNorm: arXiv 1910.07467; LayerNorm: arXiv 1607.06450. Sums in float, 16 partial sums or more.
#pragma once

#include <cstddef>
#include <cstdint>

namespace accelerate {

/// Row r, group g: out = x / sqrt(mean(x^2) + epsilon) * (weight + weight_offset). `out` may be `x`.
struct RmsNormTask {
  const float* x; size_t x_stride;      // floats from row to row
  float* out; size_t out_stride;
  const float* weight;                  // `group` floats, used for every group of the row
  uint32_t width, group;                // width is a multiple of group
  float epsilon, weight_offset;
};
/// out = (x - mean) / sqrt(variance + epsilon) * weight + bias. `out` may be `x`.
struct LayerNormTask {
  const float* x; size_t x_stride;
  float* out; size_t out_stride;
  const float* weight; const float* bias;
  uint32_t width;
  float epsilon;
};

}  // namespace accelerate
