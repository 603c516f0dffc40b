// Vector elementwise kernels over a Simd struct. Included by elementwise_<isa>.cc only.
#pragma once

#include "accelerate/kernels/elementwise/elementwise.h"
#include "accelerate/kernels/isa/vector_math.h"

namespace accelerate {

/// out = body(a[, b]) for whole vectors, then for the rest.
template <class S, class Body>
ACC_INLINE void map_floats(const float* a, const float* b, float* out, size_t count, const Body& body) {
  size_t i = 0;
  for (; i + S::kWidth <= count; i += S::kWidth) S::store(out + i, body(S::load(a + i), S::load(b + i)));
  if (const uint32_t rest = static_cast<uint32_t>(count - i); rest != 0) {
    S::store_part(out + i, body(S::load_part(a + i, rest), S::load_part(b + i, rest)), rest);
  }
}

/// Calls body with a function object for `activation`.
template <class S, class Body>
ACC_INLINE void with_activation(UnaryFunction activation, const Body& body) {
  using F = typename S::F;
  using Math = VectorMath<S>;
  switch (activation) {
    case UnaryFunction::kSilu: return body([](F x) __attribute__((always_inline)) { return Math::silu(x); });
    case UnaryFunction::kGeluTanh: return body([](F x) __attribute__((always_inline)) { return Math::gelu_tanh(x); });
    case UnaryFunction::kGeluErf: return body([](F x) __attribute__((always_inline)) { return Math::gelu_erf(x); });
    case UnaryFunction::kRelu: return body([](F x) __attribute__((always_inline)) { return S::max(S::zero(), x); });  // NaN passes
    case UnaryFunction::kTanh: return body([](F x) __attribute__((always_inline)) { return Math::tanh(x); });
  }
}

template <class S>
void add_floats(const float* a, const float* b, float* out, size_t count) {
  map_floats<S>(a, b, out, count, [](auto x, auto y) __attribute__((always_inline)) { return S::add(x, y); });
}

template <class S>
void activate_floats(UnaryFunction activation, const float* x, float* out, size_t count) {
  with_activation<S>(activation, [&](auto function) __attribute__((always_inline)) {
    map_floats<S>(x, x, out, count, [&](auto value, auto) __attribute__((always_inline)) { return function(value); });
  });
}

template <class S>
void activate_multiply_floats(UnaryFunction activation, const float* gate, const float* up, float* out, size_t count) {
  with_activation<S>(activation, [&](auto function) __attribute__((always_inline)) {
    map_floats<S>(gate, up, out, count, [&](auto a, auto b) __attribute__((always_inline)) { return S::mul(function(a), b); });
  });
}

template <class S>
bool all_finite_floats(const float* x, size_t count) {
  typename S::F sums = S::zero();  // x * 0 is 0 for every finite x and NaN for the others
  size_t i = 0;
  for (; i + S::kWidth <= count; i += S::kWidth) sums = S::fma(S::load(x + i), S::zero(), sums);
  if (i < count) sums = S::fma(S::load_part(x + i, static_cast<uint32_t>(count - i)), S::zero(), sums);
  return S::sum(sums) == 0.0f;
}

}  // namespace accelerate
