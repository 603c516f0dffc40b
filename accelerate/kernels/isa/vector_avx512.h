// Vector operations of AVX-512 (F, BW, DQ, VL) for the kernel bodies, which are templates over this struct and vector_avx2.h's.
//
// Include only in _avx512.cc and _avx512bf16.cc files.
#pragma once

#include <cstddef>
#include <cstdint>

#include "accelerate/kernels/isa/intrinsics.h"

namespace accelerate::avx512 {

struct Simd {
  using F = __m512;
  using I = __m512i;
  static constexpr uint32_t kWidth = 16;
  static constexpr uint32_t kPanelRows = 14;     // 14 x 2 sums, 2 weights, 1 x: 31 of 32 registers
  static constexpr uint32_t kBlockRows = 8;      // 8 x 2 sums, 2 weights; the totals, touched once per 32 k, may spill
  static constexpr uint32_t kRowsInPlace = 32;   // from there on expanding weights once is as fast
  static constexpr uint32_t kAttentionRows = 6;  // 6 x 4 sums, 4 of K or V, 1 broadcast

  ACC_INLINE F zero() { return _mm512_setzero_ps(); }
  ACC_INLINE F set(float x) { return _mm512_set1_ps(x); }
  ACC_INLINE F load(const float* p) { return _mm512_loadu_ps(p); }
  ACC_INLINE void store(float* p, F x) { _mm512_storeu_ps(p, x); }
  ACC_INLINE F load_part(const float* p, uint32_t count) { return _mm512_maskz_loadu_ps(mask(count), p); }
  ACC_INLINE void store_part(float* p, F x, uint32_t count) { _mm512_mask_storeu_ps(p, mask(count), x); }
  ACC_INLINE F add(F a, F b) { return _mm512_add_ps(a, b); }
  ACC_INLINE F sub(F a, F b) { return _mm512_sub_ps(a, b); }
  ACC_INLINE F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  ACC_INLINE F div(F a, F b) { return _mm512_div_ps(a, b); }
  ACC_INLINE F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }    // a b + c
  ACC_INLINE F fnma(F a, F b, F c) { return _mm512_fnmadd_ps(a, b, c); }  // c - a b
  ACC_INLINE F max(F a, F b) { return _mm512_max_ps(a, b); }              // b when either is NaN
  ACC_INLINE F min(F a, F b) { return _mm512_min_ps(a, b); }
  ACC_INLINE float sum(F a) { return _mm512_reduce_add_ps(a); }
  ACC_INLINE float maximum(F a) { return _mm512_reduce_max_ps(a); }

  ACC_INLINE void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }

  using Mask = __mmask16;
  ACC_INLINE Mask less(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
  ACC_INLINE F select(Mask mask, F yes, F no) { return _mm512_mask_blend_ps(mask, no, yes); }
  ACC_INLINE F absolute(F x) { return _mm512_abs_ps(x); }
  ACC_INLINE F sqrt(F x) { return _mm512_sqrt_ps(x); }
  ACC_INLINE F round(F x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  ACC_INLINE F times_power_of_2(F x, F n) { return _mm512_scalef_ps(x, n); }  // x 2^n, n whole
  ACC_INLINE void store_half(void* p, F x) {
    _mm256_storeu_si256(static_cast<__m256i*>(p), _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }

  // pairs (a, b) in neighbouring lanes
  ACC_INLINE F swap_pairs(F x) { return _mm512_permute_ps(x, 0xb1); }
  ACC_INLINE F multiply_subtract_add(F a, F b, F c) { return _mm512_fmaddsub_ps(a, b, c); }  // even lanes a b - c, odd a b + c
  ACC_INLINE F load_twice(const float* p) {                                                  // p0 p0 p1 p1 ... of 8 floats
    const I order = _mm512_set_epi32(7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0);
    return _mm512_permutexvar_ps(order, _mm512_castps256_ps512(_mm256_loadu_ps(p)));
  }

  // packed weights
  ACC_INLINE I load_dwords(const void* p) { return _mm512_loadu_si512(p); }
  ACC_INLINE F half(const void* p) { return _mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p))); }
  ACC_INLINE F unsigned_bytes(const void* p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p))));
  }
  ACC_INLINE F signed_bytes(const void* p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p))));
  }
  ACC_INLINE F pair_low(I x) { return _mm512_castsi512_ps(_mm512_slli_epi32(x, 16)); }
  ACC_INLINE F pair_high(I x) { return _mm512_castsi512_ps(_mm512_and_si512(x, _mm512_set1_epi32(static_cast<int>(0xffff0000u)))); }
  /// 2^kBits + the field of kBits bits at bit kAt of each dword (kFlip: with its top bit flipped, so that a signed field of
  /// value q gives 2^kBits + 2^(kBits - 1) + q): the field becomes the top of the mantissa of 2^kBits. One shift and one logic
  /// operation, no table.
  template <int kAt, int kBits, bool kFlip>
  ACC_INLINE F field(I x) {
    constexpr int kShift = kAt + kBits - 23;
    constexpr int kMask = ((1 << kBits) - 1) << (23 - kBits);
    constexpr int kBase = ((127 + kBits) << 23) ^ (kFlip ? 1 << 22 : 0);
    const I moved = kShift < 0 ? _mm512_slli_epi32(x, kShift < 0 ? -kShift : 0) : _mm512_srli_epi32(x, kShift < 0 ? 0 : kShift);
    return _mm512_castsi512_ps(_mm512_ternarylogic_epi32(moved, _mm512_set1_epi32(kMask), _mm512_set1_epi32(kBase), 0x6a));  // (a & b) ^ c
  }

 private:
  ACC_INLINE __mmask16 mask(uint32_t count) { return static_cast<__mmask16>((1u << count) - 1); }
};

}  // namespace accelerate::avx512
