// Every kernel of every instruction set, declared once and expanded per namespace. The signatures are KernelTable's.
#pragma once

#include "accelerate/kernels/kernel_table.h"

#define ACC_DECLARE_MATMUL_KERNELS                                                                                   \
  void matmul_prepare(const MatmulInput& input, std::byte* scratch, uint32_t row_begin, uint32_t row_end);           \
  void matmul(const MatmulTask& task, uint32_t column_begin, uint32_t column_end);

#define ACC_DECLARE_OTHER_KERNELS                                                                                    \
  void rms_norm(const RmsNormTask& task, uint32_t row_begin, uint32_t row_end);                                      \
  void layer_norm(const LayerNormTask& task, uint32_t row_begin, uint32_t row_end);                                  \
  void rope(const RopeTask& task, uint32_t row_begin, uint32_t row_end);                                             \
  void kv_store(const KvLayout& layout, std::byte* page, uint32_t token_in_page, const float* k, const float* v);    \
  void attention(const AttentionTask& task, uint32_t head_begin, uint32_t head_end, std::byte* scratch);             \
  void add(const float* a, const float* b, float* out, size_t count);                                                \
  void activate(UnaryFunction activation, const float* x, float* out, size_t count);                                 \
  void activate_multiply(UnaryFunction activation, const float* gate, const float* up, float* out, size_t count);    \
  bool all_finite(const float* x, size_t count);

namespace accelerate::portable {
ACC_DECLARE_MATMUL_KERNELS
ACC_DECLARE_OTHER_KERNELS
}  // namespace accelerate::portable
namespace accelerate::avx2 {
ACC_DECLARE_MATMUL_KERNELS
ACC_DECLARE_OTHER_KERNELS
}  // namespace accelerate::avx2
namespace accelerate::avx512 {
ACC_DECLARE_MATMUL_KERNELS
ACC_DECLARE_OTHER_KERNELS
}  // namespace accelerate::avx512
namespace accelerate::avx512bf16 {  // the rest is avx512's
ACC_DECLARE_MATMUL_KERNELS
}  // namespace accelerate::avx512bf16
