// Attention over paged K and V, with online softmax (arXiv 1805.02867, 2205.14135), for prefill, decode and encoders.
//
// A page holds kKvPageTokens tokens of one layer. Layout, per KV head: K as [token/16][head_width][16 tokens], so that 16
// scores are one vector without a horizontal sum; then V as [token][head_width]. Elements are f32 or f16 (KvLayout::half).
// Tokens of a page that were never stored may hold anything finite or not: kernels never let them reach a result.
#pragma once

#include <cstddef>
#include <cstdint>

namespace accelerate {

inline constexpr uint32_t kKvPageTokens = 64;

struct KvLayout {
  uint32_t kv_heads, head_width;  // head_width is a multiple of 16 (the host pads)
  bool half;                      // f16 elements; else f32
};
/// Bytes of one page of one layer: K and V of all KV heads.
size_t kv_page_bytes(const KvLayout& layout);

struct AttentionTask {
  KvLayout layout;
  const float* q; size_t q_stride;   // `rows` consecutive query tokens of one sequence; heads * head_width floats each
  float* out; size_t out_stride;
  uint32_t rows;
  uint32_t position;                 // of row 0 in the sequence
  const std::byte* const* pages;     // page i holds tokens [64 i, 64 i + 64) of the sequence
  uint32_t length;                   // tokens stored, all rows' own included
  uint32_t heads;                    // query heads; a multiple of layout.kv_heads
  float scale, softcap;              // softcap 0 = none
  bool causal;                       // row r sees positions <= position + r; else all `length`
  uint32_t window;                   // and only the last `window` of those; 0 = all
};
/// Scratch a call of KernelTable::attention needs, for any number of rows and length.
size_t attention_scratch_bytes(const AttentionTask& task);

}  // namespace accelerate
