#include "accelerate/kernels/isa/vector_avx512.h"

#include "accelerate/kernels/isa/entries.h"
#include "accelerate/kernels/elementwise/elementwise_body.h"

namespace accelerate::avx512 {

void add(const float* a, const float* b, float* out, size_t count) { add_floats<Simd>(a, b, out, count); }
void activate(UnaryFunction activation, const float* x, float* out, size_t count) { activate_floats<Simd>(activation, x, out, count); }
void activate_multiply(UnaryFunction activation, const float* gate, const float* up, float* out, size_t count) {
  activate_multiply_floats<Simd>(activation, gate, up, out, count);
}
bool all_finite(const float* x, size_t count) { return all_finite_floats<Simd>(x, count); }

}  // namespace accelerate::avx512
