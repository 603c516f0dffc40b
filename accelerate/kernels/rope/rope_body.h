// Vector rotary embedding over a Simd struct. Included by rope_<isa>.cc only.
#pragma once

#include "accelerate/kernels/rope/rope.h"

namespace accelerate {

template <class S>
ACC_INLINE void rotate_halves(float* x, uint32_t pairs, const float* cosine, const float* sine) {
  uint32_t i = 0;
  for (; i + S::kWidth <= pairs; i += S::kWidth) {
    const typename S::F a = S::load(x + i), b = S::load(x + pairs + i), c = S::load(cosine + i), s = S::load(sine + i);
    S::store(x + i, S::fnma(b, s, S::mul(a, c)));
    S::store(x + pairs + i, S::fma(b, c, S::mul(a, s)));
  }
  for (; i < pairs; ++i) {
    const float a = x[i], b = x[pairs + i];
    x[i] = a * cosine[i] - b * sine[i];
    x[pairs + i] = a * sine[i] + b * cosine[i];
  }
}

template <class S>
ACC_INLINE void rotate_neighbours(float* x, uint32_t pairs, const float* cosine, const float* sine) {
  uint32_t i = 0;
  for (; i + S::kWidth / 2 <= pairs; i += S::kWidth / 2) {
    const typename S::F pair = S::load(x + 2 * i);
    const typename S::F crossed = S::mul(S::swap_pairs(pair), S::load_twice(sine + i));
    S::store(x + 2 * i, S::multiply_subtract_add(pair, S::load_twice(cosine + i), crossed));
  }
  for (; i < pairs; ++i) {
    const float a = x[2 * i], b = x[2 * i + 1];
    x[2 * i] = a * cosine[i] - b * sine[i];
    x[2 * i + 1] = a * sine[i] + b * cosine[i];
  }
}

template <class S>
void rope_rows(const RopeTask& task, uint32_t row_begin, uint32_t row_end) {
  const uint32_t pairs = task.rotated / 2;
  for (uint32_t row = row_begin; row < row_end; ++row) {
    for (uint32_t head = 0; head < task.heads; ++head) {
      float* x = task.x + row * task.x_stride + size_t{head} * task.head_width;
      if (task.interleaved) rotate_neighbours<S>(x, pairs, task.cosines[row], task.sines[row]);
      else rotate_halves<S>(x, pairs, task.cosines[row], task.sines[row]);
    }
  }
}

}  // namespace accelerate
