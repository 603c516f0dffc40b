#include "accelerate/kernels/isa/vector_avx512.h"

#include "accelerate/kernels/isa/entries.h"
#include "accelerate/kernels/attention/attention_body.h"

namespace accelerate::avx512 {

void kv_store(const KvLayout& layout, std::byte* page, uint32_t token, const float* k, const float* v) {
  kv_store_heads<Simd>(layout, page, token, k, v);
}
void attention(const AttentionTask& task, uint32_t head_begin, uint32_t head_end, std::byte* scratch) {
  attention_heads<Simd>(task, head_begin, head_end, scratch);
}

}  // namespace accelerate::avx512
