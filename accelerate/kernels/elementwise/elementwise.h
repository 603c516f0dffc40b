// Elementwise kernels: activations. Formulas: SiLU x*sigmoid(x) (arXiv 1702.03118); GELU (arXiv 1606.08415) exact with erf
// and its tanh form 0.5x(1+tanh(sqrt(2/pi)(x+0.044715x^3))). Vector forms stay within 2e-6 relative
// (or 1e-13 absolute) of the exact value; NaN stays NaN.
#pragma once

#include <cstdint>

namespace accelerate {

/// Same order as core's Activation (kernels is core's sibling and may not include it; host/ maps them).
enum class UnaryFunction : uint8_t { kSilu, kGeluTanh, kGeluErf, kRelu, kTanh };

}  // namespace accelerate
