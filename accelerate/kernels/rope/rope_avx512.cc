#include "accelerate/kernels/isa/vector_avx512.h"

#include "accelerate/kernels/isa/entries.h"
#include "accelerate/kernels/rope/rope_body.h"

namespace accelerate::avx512 {

void rope(const RopeTask& task, uint32_t row_begin, uint32_t row_end) { rope_rows<Simd>(task, row_begin, row_end); }

}  // namespace accelerate::avx512
