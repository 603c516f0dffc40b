// Vector norms over a Simd struct. Included by norm_<isa>.cc only.
#pragma once

#include "accelerate/kernels/norm/norm.h"

namespace accelerate {

template <class S>
struct Norm {
  using F = typename S::F;

  /// Calls body(offset, lanes) for whole vectors and then for the rest.
  template <class Body>
  ACC_INLINE void over(uint32_t count, const Body& body) {
    uint32_t i = 0;
    for (; i + S::kWidth <= count; i += S::kWidth) body(i, S::kWidth);
    if (i < count) body(i, count - i);
  }
  ACC_INLINE F load(const float* p, uint32_t count) { return count == S::kWidth ? S::load(p) : S::load_part(p, count); }
  ACC_INLINE void store(float* p, F x, uint32_t count) { count == S::kWidth ? S::store(p, x) : S::store_part(p, x, count); }

  ACC_INLINE float sum(const float* x, uint32_t count) {
    F sums[2] = {S::zero(), S::zero()};
    over(count, [&](uint32_t i, uint32_t part) __attribute__((always_inline)) {
      F& to = sums[i / S::kWidth % 2];
      to = S::add(to, load(x + i, part));
    });
    return S::sum(S::add(sums[0], sums[1]));
  }
  /// Sum of (x - mean)^2; lanes past the end count as `mean`.
  ACC_INLINE float square_sum(const float* x, uint32_t count, float mean) {
    F sums[2] = {S::zero(), S::zero()};
    uint32_t i = 0;
    for (; i + 2 * S::kWidth <= count; i += 2 * S::kWidth) {
      const F a = S::sub(S::load(x + i), S::set(mean)), b = S::sub(S::load(x + i + S::kWidth), S::set(mean));
      sums[0] = S::fma(a, a, sums[0]);
      sums[1] = S::fma(b, b, sums[1]);
    }
    float rest = 0;
    if (i + S::kWidth <= count) {
      const F a = S::sub(S::load(x + i), S::set(mean));
      sums[0] = S::fma(a, a, sums[0]);
      i += S::kWidth;
    }
    for (; i < count; ++i) rest += (x[i] - mean) * (x[i] - mean);
    return S::sum(S::add(sums[0], sums[1])) + rest;
  }
  ACC_INLINE float inverse_root(float x) { return 1.0f / __builtin_sqrtf(x); }
};

template <class S>
void rms_norm_rows(const RmsNormTask& task, uint32_t row_begin, uint32_t row_end) {
  using N = Norm<S>;
  for (uint32_t row = row_begin; row < row_end; ++row) {
    for (uint32_t begin = 0; begin < task.width; begin += task.group) {
      const float* x = task.x + row * task.x_stride + begin;
      float* out = task.out + row * task.out_stride + begin;
      const float factor = N::inverse_root(N::square_sum(x, task.group, 0) / static_cast<float>(task.group) + task.epsilon);
      N::over(task.group, [&](uint32_t i, uint32_t part) __attribute__((always_inline)) {
        const typename S::F weight = S::add(N::load(task.weight + i, part), S::set(task.weight_offset));
        N::store(out + i, S::mul(S::mul(N::load(x + i, part), S::set(factor)), weight), part);
      });
    }
  }
}

template <class S>
void layer_norm_rows(const LayerNormTask& task, uint32_t row_begin, uint32_t row_end) {
  using N = Norm<S>;
  const float width = static_cast<float>(task.width);
  for (uint32_t row = row_begin; row < row_end; ++row) {
    const float* x = task.x + row * task.x_stride;
    float* out = task.out + row * task.out_stride;
    const float mean = N::sum(x, task.width) / width;
    const float factor = N::inverse_root(N::square_sum(x, task.width, mean) / width + task.epsilon);
    N::over(task.width, [&](uint32_t i, uint32_t part) __attribute__((always_inline)) {
      const typename S::F centered = S::mul(S::sub(N::load(x + i, part), S::set(mean)), S::set(factor));
      N::store(out + i, S::fma(centered, N::load(task.weight + i, part), N::load(task.bias + i, part)), part);
    });
  }
}

}  // namespace accelerate
