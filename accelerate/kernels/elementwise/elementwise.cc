#include "accelerate/kernels/elementwise/elementwise.h"

#include <cmath>
#include <cstddef>

#include "accelerate/kernels/isa/entries.h"

namespace accelerate::portable {
namespace {

float value_of(UnaryFunction activation, float x) {
  switch (activation) {
    case UnaryFunction::kSilu: return x / (1.0f + std::exp(-x));
    case UnaryFunction::kGeluTanh: {  // 0.5 (1 + tanh u) = 1 / (1 + exp(-2u)), without the cancellation of the left side
      const double u = 0.79788456080286535588 * (x + 0.044715 * x * x * x);
      return static_cast<float>(x / (1.0 + std::exp(-2.0 * u)));
    }
    case UnaryFunction::kGeluErf: return static_cast<float>(0.5 * x * std::erfc(-0.70710678118654752440 * x));
    case UnaryFunction::kRelu: return x > 0 || std::isnan(x) ? x : 0.0f;
    case UnaryFunction::kTanh: return std::tanh(x);
  }
  return x;
}

}  // namespace

void add(const float* a, const float* b, float* out, size_t count) {
  for (size_t i = 0; i < count; ++i) out[i] = a[i] + b[i];
}

void activate(UnaryFunction activation, const float* x, float* out, size_t count) {
  for (size_t i = 0; i < count; ++i) out[i] = value_of(activation, x[i]);
}

void activate_multiply(UnaryFunction activation, const float* gate, const float* up, float* out, size_t count) {
  for (size_t i = 0; i < count; ++i) out[i] = value_of(activation, gate[i]) * up[i];
}

bool all_finite(const float* x, size_t count) {
  bool finite = true;
  for (size_t i = 0; i < count; ++i) finite &= std::isfinite(x[i]);
  return finite;
}

}  // namespace accelerate::portable
