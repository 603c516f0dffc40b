// Vector operations of AVX2 + FMA + F16C for the kernel bodies; the same interface as vector_avx512.h.
//
// Include only in _avx2.cc files.
#pragma once

#include <cstddef>
#include <cstdint>

#include "accelerate/kernels/isa/intrinsics.h"

namespace accelerate::avx2 {

struct Simd {
  using F = __m256;
  using I = __m256i;
  static constexpr uint32_t kWidth = 8;
  static constexpr uint32_t kPanelRows = 6;      // 6 x 2 sums, 2 weights, 1 x: 15 of 16 registers
  static constexpr uint32_t kBlockRows = 6;      // 6 x 2 sums, 2 weights; the totals, touched once per 32 k, may spill
  static constexpr uint32_t kRowsInPlace = 24;   // from there on expanding weights once is as fast
  static constexpr uint32_t kAttentionRows = 2;  // 2 x 4 sums, 4 of K or V, 1 broadcast

  ACC_INLINE F zero() { return _mm256_setzero_ps(); }
  ACC_INLINE F set(float x) { return _mm256_set1_ps(x); }
  ACC_INLINE F load(const float* p) { return _mm256_loadu_ps(p); }
  ACC_INLINE void store(float* p, F x) { _mm256_storeu_ps(p, x); }
  ACC_INLINE F load_part(const float* p, uint32_t count) { return _mm256_maskload_ps(p, lanes(count)); }
  ACC_INLINE void store_part(float* p, F x, uint32_t count) { _mm256_maskstore_ps(p, lanes(count), x); }
  ACC_INLINE F add(F a, F b) { return _mm256_add_ps(a, b); }
  ACC_INLINE F sub(F a, F b) { return _mm256_sub_ps(a, b); }
  ACC_INLINE F mul(F a, F b) { return _mm256_mul_ps(a, b); }
  ACC_INLINE F div(F a, F b) { return _mm256_div_ps(a, b); }
  ACC_INLINE F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  ACC_INLINE F fnma(F a, F b, F c) { return _mm256_fnmadd_ps(a, b, c); }
  ACC_INLINE F max(F a, F b) { return _mm256_max_ps(a, b); }
  ACC_INLINE F min(F a, F b) { return _mm256_min_ps(a, b); }
  ACC_INLINE float sum(F a) {
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
  }
  ACC_INLINE float maximum(F a) {
    __m128 x = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
  }
  ACC_INLINE void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }

  using Mask = __m256;
  ACC_INLINE Mask less(F a, F b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
  ACC_INLINE F select(Mask mask, F yes, F no) { return _mm256_blendv_ps(no, yes, mask); }
  ACC_INLINE F absolute(F x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x); }
  ACC_INLINE F sqrt(F x) { return _mm256_sqrt_ps(x); }
  ACC_INLINE F round(F x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  /// In two steps, so that |n| up to 254 neither overflows an exponent nor skips the denormals.
  ACC_INLINE F times_power_of_2(F x, F n) {
    const I whole = _mm256_cvtps_epi32(n), first = _mm256_srai_epi32(whole, 1);
    return mul(mul(x, power_of_2(first)), power_of_2(_mm256_sub_epi32(whole, first)));
  }
  ACC_INLINE void store_half(void* p, F x) {
    _mm_storeu_si128(static_cast<__m128i*>(p), _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }

  ACC_INLINE F swap_pairs(F x) { return _mm256_permute_ps(x, 0xb1); }
  ACC_INLINE F multiply_subtract_add(F a, F b, F c) { return _mm256_fmaddsub_ps(a, b, c); }
  ACC_INLINE F load_twice(const float* p) {  // p0 p0 p1 p1 p2 p2 p3 p3
    return _mm256_permutevar8x32_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), _mm256_set_epi32(3, 3, 2, 2, 1, 1, 0, 0));
  }

  ACC_INLINE I load_dwords(const void* p) { return _mm256_loadu_si256(static_cast<const I*>(p)); }
  ACC_INLINE F half(const void* p) { return _mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i*>(p))); }
  ACC_INLINE F unsigned_bytes(const void* p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(static_cast<const __m128i*>(p))));
  }
  ACC_INLINE F signed_bytes(const void* p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(static_cast<const __m128i*>(p))));
  }
  ACC_INLINE F pair_low(I x) { return _mm256_castsi256_ps(_mm256_slli_epi32(x, 16)); }
  ACC_INLINE F pair_high(I x) { return _mm256_castsi256_ps(_mm256_and_si256(x, _mm256_set1_epi32(static_cast<int>(0xffff0000u)))); }
  /// See vector_avx512.h.
  template <int kAt, int kBits, bool kFlip>
  ACC_INLINE F field(I x) {
    constexpr int kShift = kAt + kBits - 23;
    constexpr int kMask = ((1 << kBits) - 1) << (23 - kBits);
    constexpr int kBase = ((127 + kBits) << 23) ^ (kFlip ? 1 << 22 : 0);
    const I moved = kShift < 0 ? _mm256_slli_epi32(x, kShift < 0 ? -kShift : 0) : _mm256_srli_epi32(x, kShift < 0 ? 0 : kShift);
    return _mm256_castsi256_ps(_mm256_xor_si256(_mm256_and_si256(moved, _mm256_set1_epi32(kMask)), _mm256_set1_epi32(kBase)));
  }

 private:
  ACC_INLINE I lanes(uint32_t count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0));
  }
  ACC_INLINE F power_of_2(I n) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23)); }
};

}  // namespace accelerate::avx2
