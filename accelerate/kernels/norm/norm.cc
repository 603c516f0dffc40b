// Portable norms. Sixteen partial sums keep the error of long rows small and are what the vector forms have too.
#include "accelerate/kernels/norm/norm.h"

#include <cmath>

#include "accelerate/kernels/isa/entries.h"

namespace accelerate::portable {
namespace {

constexpr uint32_t kPartialSums = 16;

float sum_of(const float (&partial)[kPartialSums]) {
  float total = 0;
  for (float value : partial) total += value;
  return total;
}

/// Sum of (x - mean)^2.
float square_sum(const float* x, uint32_t count, float mean) {
  float partial[kPartialSums] = {};
  for (uint32_t i = 0; i < count; ++i) partial[i % kPartialSums] += (x[i] - mean) * (x[i] - mean);
  return sum_of(partial);
}

}  // namespace

void rms_norm(const RmsNormTask& task, uint32_t row_begin, uint32_t row_end) {
  for (uint32_t row = row_begin; row < row_end; ++row) {
    for (uint32_t begin = 0; begin < task.width; begin += task.group) {
      const float* x = task.x + row * task.x_stride + begin;
      float* out = task.out + row * task.out_stride + begin;
      const float mean_square = square_sum(x, task.group, 0) / static_cast<float>(task.group);
      const float factor = 1.0f / std::sqrt(mean_square + task.epsilon);
      for (uint32_t i = 0; i < task.group; ++i) out[i] = x[i] * factor * (task.weight[i] + task.weight_offset);
    }
  }
}

void layer_norm(const LayerNormTask& task, uint32_t row_begin, uint32_t row_end) {
  for (uint32_t row = row_begin; row < row_end; ++row) {
    const float* x = task.x + row * task.x_stride;
    float* out = task.out + row * task.out_stride;
    float partial[kPartialSums] = {};
    for (uint32_t i = 0; i < task.width; ++i) partial[i % kPartialSums] += x[i];
    const float mean = sum_of(partial) / static_cast<float>(task.width);
    const float variance = square_sum(x, task.width, mean) / static_cast<float>(task.width);
    const float factor = 1.0f / std::sqrt(variance + task.epsilon);
    for (uint32_t i = 0; i < task.width; ++i) out[i] = (x[i] - mean) * factor * task.weight[i] + task.bias[i];
  }
}

}  // namespace accelerate::portable
