#include "accelerate/kernels/isa/vector_avx2.h"

#include "accelerate/kernels/isa/entries.h"
#include "accelerate/kernels/matmul/matmul_body.h"

namespace accelerate::avx2 {

void matmul_prepare(const MatmulInput& input, std::byte* scratch, uint32_t row_begin, uint32_t row_end) {
  prepare_floats<Simd>(input, scratch, row_begin, row_end);
}
void matmul(const MatmulTask& task, uint32_t column_begin, uint32_t column_end) { matmul_vector<Simd>(task, column_begin, column_end); }

}  // namespace accelerate::avx2
