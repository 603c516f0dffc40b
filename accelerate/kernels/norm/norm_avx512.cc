#include "accelerate/kernels/isa/vector_avx512.h"

#include "accelerate/kernels/isa/entries.h"
#include "accelerate/kernels/norm/norm_body.h"

namespace accelerate::avx512 {

void rms_norm(const RmsNormTask& task, uint32_t row_begin, uint32_t row_end) { rms_norm_rows<Simd>(task, row_begin, row_end); }
void layer_norm(const LayerNormTask& task, uint32_t row_begin, uint32_t row_end) { layer_norm_rows<Simd>(task, row_begin, row_end); }

}  // namespace accelerate::avx512
