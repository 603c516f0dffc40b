#include "accelerate/kernels/rope/rope.h"

#include <cstddef>

#include "accelerate/kernels/isa/entries.h"

namespace accelerate::portable {

void rope(const RopeTask& task, uint32_t row_begin, uint32_t row_end) {
  const uint32_t pairs = task.rotated / 2;
  const uint32_t step = task.interleaved ? 2 : 1, partner = task.interleaved ? 1 : pairs;
  for (uint32_t row = row_begin; row < row_end; ++row) {
    const float* cosine = task.cosines[row];
    const float* sine = task.sines[row];
    for (uint32_t head = 0; head < task.heads; ++head) {
      float* x = task.x + row * task.x_stride + size_t{head} * task.head_width;
      for (uint32_t i = 0; i < pairs; ++i) {
        const float a = x[i * step], b = x[i * step + partner];
        x[i * step] = a * cosine[i] - b * sine[i];
        x[i * step + partner] = a * sine[i] + b * cosine[i];
      }
    }
  }
}

}  // namespace accelerate::portable
