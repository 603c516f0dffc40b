// exp, tanh, erfc on vectors, over a Simd struct. Polynomials are Remez-like fits made for this file (relative error in
// brackets); arguments are reduced with two-part constants, so errors do not grow with the argument.
#pragma once

#include "accelerate/kernels/isa/intrinsics.h"

namespace accelerate {

template <class S>
struct VectorMath {
  using F = typename S::F;

  /// e^x, relative error under 2e-7; 0 below -104, infinity above 88.8, NaN stays.
  ACC_INLINE F exp(F x) {
    x = S::min(S::set(89.0f), S::max(S::set(-104.0f), x));  // the second operand passes when it is NaN
    const F n = S::round(S::mul(x, S::set(0x1.715476p+0f)));
    F f = S::fma(x, S::set(0x1.715476p+0f), S::sub(S::zero(), n));
    f = S::fma(x, S::set(0x1.4ae0cp-26f), f);  // the rest of log2(e)
    F p = S::set(0.00015345808f);              // 2^f on [-0.5, 0.5] [2e-9]
    p = S::fma(p, f, S::set(0.0013399931f));
    p = S::fma(p, f, S::set(0.009618489f));
    p = S::fma(p, f, S::set(0.055503286f));
    p = S::fma(p, f, S::set(0.24022646f));
    p = S::fma(p, f, S::set(0.6931472f));
    p = S::fma(p, f, S::set(1.0f));
    return S::times_power_of_2(p, n);
  }

  ACC_INLINE F negative(F x) { return S::mul(x, S::set(-1.0f)); }

  ACC_INLINE F tanh(F x) {
    const F size = S::absolute(x), square = S::mul(x, x);
    F p = S::set(0.016315436f);  // tanh(x) / x in x^2, |x| < 0.55 [3e-8]
    p = S::fma(p, square, S::set(-0.052589316f));
    p = S::fma(p, square, S::set(0.13318877f));
    p = S::fma(p, square, S::set(-0.33332795f));
    p = S::fma(p, square, S::set(0.99999994f));
    const F far = S::sub(S::set(1.0f), S::div(S::set(2.0f), S::add(exp(S::add(size, size)), S::set(1.0f))));
    const F signed_far = S::select(S::less(x, S::zero()), negative(far), far);
    return S::select(S::less(size, S::set(0.55f)), S::mul(x, p), signed_far);
  }

  ACC_INLINE F silu(F x) { return S::div(x, S::add(S::set(1.0f), exp(negative(x)))); }

  ACC_INLINE F gelu_tanh(F x) {  // x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3)
    const F inner = S::fma(S::mul(S::set(0.044715f), S::mul(x, x)), x, x);
    return S::div(x, S::add(S::set(1.0f), exp(S::mul(inner, S::set(-1.5957691216f)))));
  }

  /// 0.5 x erfc(-x / sqrt 2): erfc(z) = e^(-z^2) t P(t), t = 1 / (1 + 0.4 z), z >= 0 [7e-9]; the other half by symmetry.
  ACC_INLINE F gelu_erf(F x) {
    const F size = S::min(S::set(15.0f), S::absolute(x));  // e^(-15^2 / 2) is 0 in float; NaN passes
    const F t = S::div(S::set(1.0f), S::fma(size, S::set(0.4f * 0.70710678f), S::set(1.0f)));
    F p = S::set(-0.030391835f);
    p = S::fma(p, t, S::set(0.20236179f));
    p = S::fma(p, t, S::set(-0.50908315f));
    p = S::fma(p, t, S::set(0.56120265f));
    p = S::fma(p, t, S::set(-0.29588193f));
    p = S::fma(p, t, S::set(0.27828667f));
    p = S::fma(p, t, S::set(0.12751378f));
    p = S::fma(p, t, S::set(0.21538694f));
    p = S::fma(p, t, S::set(0.22489521f));
    p = S::fma(p, t, S::set(0.22570986f));
    const F half = S::mul(size, S::set(-0.5f)), exponent = S::mul(half, size);
    const F rest = S::fma(half, size, negative(exponent));  // what rounding the exponent lost
    F gauss = exp(exponent);
    gauss = S::fma(gauss, rest, gauss);
    const F tail = S::mul(S::mul(gauss, t), S::mul(p, S::set(0.5f)));  // erfc(|x| / sqrt 2) / 2
    return S::mul(x, S::select(S::less(x, S::zero()), tail, S::sub(S::set(1.0f), tail)));
  }
};

}  // namespace accelerate
