// Matmul with VDPBF16PS for kDefault: activations (and, for many rows, weights) rounded to bf16, sums in float. Zen 4 runs it
// at the rate of FMA with twice the work in each. kExact, and few rows of formats that gain nothing, go to the float kernels.
#include "accelerate/kernels/isa/vector_avx512.h"

#include "accelerate/kernels/isa/entries.h"
#include "accelerate/kernels/matmul/matmul_body.h"

namespace accelerate::avx512bf16 {
namespace {

/// avx512's vectors under a name of this file: its templates must not be merged with those of matmul_avx512.cc.
struct Simd : avx512::Simd {
  ACC_INLINE F dot(F sums, I a, I b) { return _mm512_dpbf16_ps(sums, (__m512bh)a, (__m512bh)b); }
  ACC_INLINE I pair(uint32_t bits) { return _mm512_set1_epi32(static_cast<int>(bits)); }
  /// bf16 pairs (low[i], high[i]), rounded to nearest even.
  ACC_INLINE I pairs(F low, F high) {
    const I order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3,
                                     18, 2, 17, 1, 16, 0);
    return _mm512_permutexvar_epi16(order, (I)_mm512_cvtne2ps_pbh(high, low));
  }
  /// bf16 of 16 floats in order.
  ACC_INLINE __m256i bf16(F x) { return (__m256i)_mm512_cvtneps_pbh(x); }
  /// Pairs (16 + nibble kIndex, 16 + nibble kIndex + 4): k = 2 kIndex and 2 kIndex + 1 of the dword.
  template <int kIndex>
  ACC_INLINE I nibble_pairs(I x) {
    constexpr int kShift = 4 * kIndex - 3;
    const I moved = kShift < 0 ? _mm512_slli_epi32(x, kShift < 0 ? -kShift : 0) : _mm512_srli_epi32(x, kShift < 0 ? 0 : kShift);
    return _mm512_ternarylogic_epi32(moved, _mm512_set1_epi32(0x00780078), _mm512_set1_epi32(0x41804180), 0xea);  // (a & b) | c
  }
  ACC_INLINE void store_dwords(uint32_t* p, I x) { _mm512_storeu_si512(p, x); }
};

/// kM rows of a nibble format, or of BF16, weights read in place.
template <WeightFormat kFormat, int kM>
struct RowBlockOfPairs {
  using F = Simd::F;
  using W = Weights<Simd, kFormat>;
  uint32_t row;        // of the first
  const uint32_t* x;   // bf16 pairs [kM][depth / 2]
  const float* sums32; // of the rounded values, [kM][depth / 32]
  uint32_t depth;

  using Tile = F[kM][2];

  ACC_INLINE void nibble_block(const RowBlockOfPairs& self, const std::byte* header, const std::byte* block, uint32_t index, Tile& totals) {
    Tile sums;
    float x_sums[kM];
    unrolled<kM>([&](auto m) __attribute__((always_inline)) {
      x_sums[m] = self.sums32[m * (self.depth / 32) + index];
      sums[m][0] = sums[m][1] = Simd::set(-W::kOffset * x_sums[m]);
    });
    for (uint32_t row = 0; row < 4; ++row) {
      const Simd::I left = Simd::load_dwords(block + 128 * row), right = Simd::load_dwords(block + 128 * row + 64);
      unrolled<4>([&](auto element) __attribute__((always_inline)) {
        multiply(sums, Simd::nibble_pairs<element>(left), Simd::nibble_pairs<element>(right), self.x + index * 16 + row * 4 + element, self.depth / 2);
      });
    }
    unrolled<2>([&](auto v) __attribute__((always_inline)) {
      const F scale = W::scale(header, block, 16 * v, 0);
      unrolled<kM>([&](auto m) __attribute__((always_inline)) { totals[m][v] = Simd::fma(scale, sums[m][v], totals[m][v]); });
      if constexpr (W::kMinimum) {
        const F minimum = W::minimum(header, block, 16 * v);
        unrolled<kM>([&](auto m) __attribute__((always_inline)) { totals[m][v] = Simd::fma(minimum, Simd::set(x_sums[m]), totals[m][v]); });
      }
    });
  }

  ACC_INLINE void pair_block(const RowBlockOfPairs& self, const std::byte* block, uint32_t index, Tile& totals) {
    for (uint32_t row = 0; row < 16; ++row) {
      multiply(totals, Simd::load_dwords(block + 128 * row), Simd::load_dwords(block + 128 * row + 64), self.x + index * 16 + row, self.depth / 2);
    }
  }

  /// sums[m] += weights * x[m * step]
  ACC_INLINE void multiply(Tile& sums, Simd::I left, Simd::I right, const uint32_t* x, uint32_t step) {
    unrolled<kM>([&](auto m) __attribute__((always_inline)) {
      const Simd::I value = Simd::pair(x[m * step]);
      sums[m][0] = Simd::dot(sums[m][0], left, value);
      sums[m][1] = Simd::dot(sums[m][1], right, value);
    });
  }

  void strip(const MatmulView& view, const std::byte* block, uint32_t column, uint32_t column_end) const {
    Tile totals;
    each<kM, 2>([&](auto m, auto v) __attribute__((always_inline)) { totals[m][v] = Simd::zero(); });
    const std::byte* header = block;
    for (uint32_t index = 0; index < view.layout.blocks; ++index) {
      if constexpr (W::kShape.header_bytes != 0) {
        if (index % kBlocksPerHeader == 0) {
          header = block;
          block += W::kShape.header_bytes;
        }
      }
      for (uint32_t line = 0; line < W::kShape.block_bytes; line += 64) Simd::prefetch(block + kPrefetchBytes + line);
      if constexpr (W::kNibble) nibble_block(*this, header, block, index, totals);
      else pair_block(*this, block, index, totals);
      block += W::kShape.block_bytes;
    }
    each<kM, 2>([&](auto m, auto v) __attribute__((always_inline)) {
      const uint32_t at = column + 16 * v;
      store_sums<Simd>(view.task, row + m, at, totals[m][v], at < column_end ? column_end - at : 0);
    });
  }
};

constexpr uint32_t kPairRowsInPlace = 64;  // with exact weights this is as fast as panels of rounded ones up to about 100 rows

template <WeightFormat kFormat>
void rows_of_pairs_in_place(const MatmulView& view, uint32_t column_begin, uint32_t column_end) {
  const uint32_t m = view.task.input.m, blocks = (m + Simd::kBlockRows - 1) / Simd::kBlockRows, depth = view.prepared.depth;
  const uint32_t* x = reinterpret_cast<const uint32_t*>(view.task.prepared + view.prepared.pairs_offset);
  const float* sums = reinterpret_cast<const float*>(view.task.prepared + view.prepared.pair_sums_offset);
  const std::byte* strip = view.task.weight->data() + size_t{column_begin / kBlockColumns} * view.layout.strip_bytes;
  for (uint32_t column = column_begin; column < column_end; column += kBlockColumns, strip += view.layout.strip_bytes) {
    for (uint32_t block = 0; block < blocks; ++block) {
      const uint32_t begin = m * block / blocks, end = m * (block + 1) / blocks;
      with_count<Simd::kBlockRows>(end - begin, [&](auto rows) __attribute__((always_inline)) {
        const RowBlockOfPairs<kFormat, rows> work{begin, x + size_t{begin} * (depth / 2), sums + size_t{begin} * (depth / 32), depth};
        work.strip(view, strip, column, column_end);
      });
    }
  }
}

inline constexpr uint32_t kChunkBlocksOfPairs = 8;  // 32 columns x 256 k of bf16: 16 KiB, half of the smallest L1

/// Weights of one block as bf16 pairs: out[k / 2][32 columns].
template <WeightFormat kFormat>
[[gnu::always_inline]] inline void expand_to_pairs(const std::byte* header, const std::byte* block, uint32_t* out) {
  using W = Weights<Simd, kFormat>;
  for (uint32_t column = 0; column < kBlockColumns; column += 16) {
    if constexpr (W::kQuantized) {
      unrolled<W::kGroups>([&](auto group) __attribute__((always_inline)) {
        const Simd::F scale = W::scale(header, block, column, group);
        Simd::F shift = Simd::mul(scale, Simd::set(-W::kOffset));
        if constexpr (W::kMinimum) shift = Simd::add(shift, W::minimum(header, block, column));
        for (int row = group * W::kRows / W::kGroups; row < (group + 1) * W::kRows / W::kGroups; ++row) {
          const Simd::I dwords = Simd::load_dwords(block + 4 * (32 * row + column));
          unrolled<W::kRowDepth / 2>([&](auto pair) __attribute__((always_inline)) {
            constexpr int kLow = W::kNibble ? pair : 2 * pair, kHigh = W::kNibble ? pair + 4 : 2 * pair + 1;
            Simd::store_dwords(out + 32 * (W::depth_of(row, kLow) / 2) + column,
                               Simd::pairs(Simd::fma(W::template unpacked<kLow>(dwords), scale, shift),
                                           Simd::fma(W::template unpacked<kHigh>(dwords), scale, shift)));
          });
        }
      });
    } else {
      for (uint32_t pair = 0; pair < 16; ++pair) {
        const Simd::I value = kFormat == WeightFormat::kBF16
                                  ? Simd::load_dwords(block + 4 * (32 * pair + column))
                                  : Simd::pairs(W::template plain<0>(block, 2 * pair, column), W::template plain<1>(block, 2 * pair + 1, column));
        Simd::store_dwords(out + 32 * pair + column, value);
      }
    }
  }
}

template <int kM>
void pair_panel_kernel(const uint32_t* x, uint32_t x_step, const uint32_t* weights, uint32_t pairs, const PanelTarget& to) {
  Simd::F sums[kM][2];
  each<kM, 2>([&](auto m, auto v) __attribute__((always_inline)) { sums[m][v] = Simd::zero(); });
  for (uint32_t k = 0; k < pairs; ++k) {
    const Simd::I left = Simd::load_dwords(weights), right = Simd::load_dwords(weights + 16);
    unrolled<kM>([&](auto m) __attribute__((always_inline)) {
      const Simd::I value = Simd::pair(x[m]);
      sums[m][0] = Simd::dot(sums[m][0], left, value);
      sums[m][1] = Simd::dot(sums[m][1], right, value);
    });
    x += x_step;
    weights += kBlockColumns;
  }
  store_panel<Simd, kM>(to, sums);
}

template <WeightFormat kFormat>
void many_rows_of_pairs(const MatmulView& view, uint32_t column_begin, uint32_t column_end) {
  alignas(64) uint32_t expanded[kChunkBlocksOfPairs * kBlockDepth / 2 * kBlockColumns];
  const PreparedLayout& prepared = view.prepared;
  const uint32_t chunks = (view.layout.blocks + kChunkBlocksOfPairs - 1) / kChunkBlocksOfPairs;
  for (uint32_t column = column_begin; column < column_end; column += kBlockColumns) {
    const std::byte* strip = view.task.weight->data() + size_t{column / kBlockColumns} * view.layout.strip_bytes;
    for (uint32_t chunk = 0; chunk < chunks; ++chunk) {
      const uint32_t begin = view.layout.blocks * chunk / chunks, end = view.layout.blocks * (chunk + 1) / chunks;
      for (uint32_t block = begin; block < end; ++block) {
        expand_to_pairs<kFormat>(strip + view.layout.header_offset(block), strip + view.layout.block_offset(block),
                                 expanded + (block - begin) * (kBlockDepth / 2) * kBlockColumns);
      }
      for (uint32_t panel = 0; panel < prepared.panels; ++panel) {
        const uint32_t row = panel * prepared.panel_rows;
        const uint32_t rows = row + prepared.panel_rows <= view.task.input.m ? prepared.panel_rows : view.task.input.m - row;
        const uint32_t* x = reinterpret_cast<const uint32_t*>(view.task.prepared) +
                            (size_t{panel} * prepared.depth + begin * kBlockDepth) / 2 * prepared.panel_rows;
        const PanelTarget to{view.task, row, column, column_end, chunk == 0};
        with_count<Simd::kPanelRows>(rows, [&](auto m) __attribute__((always_inline)) {
          pair_panel_kernel<m>(x, prepared.panel_rows, expanded, (end - begin) * kBlockDepth / 2, to);
        });
      }
    }
  }
}

template <WeightFormat kFormat>
void matmul_pairs(const MatmulView& view, uint32_t column_begin, uint32_t column_end) {
  constexpr bool kInPlace = Weights<Simd, kFormat>::kNibble || kFormat == WeightFormat::kBF16;
  if constexpr (kInPlace) {
    if (view.task.input.m <= kPairRowsInPlace || view.task.input.rowwise) return rows_of_pairs_in_place<kFormat>(view, column_begin, column_end);
  } else {  // one block of rows is bound by memory with wider weights: floats cost nothing
    if (view.task.input.m <= Simd::kBlockRows || view.task.input.rowwise) return avx512::matmul(view.task, column_begin, column_end);
  }
  many_rows_of_pairs<kFormat>(view, column_begin, column_end);
}

/// Copies a row of k floats as bf16, padded to whole blocks, and the sums of 32 of what was stored.
void prepare_row(const float* x, uint32_t k, uint32_t depth, __m256i* to, float* sums) {
  for (uint32_t block = 0; block < depth; block += 32) {
    Simd::F sum = Simd::zero();
    for (uint32_t at = block; at < block + 32; at += 16) {
      const Simd::F value = at + 16 <= k ? Simd::load(x + at) : at < k ? Simd::load_part(x + at, k - at) : Simd::zero();
      const __m256i rounded = Simd::bf16(value);
      _mm256_storeu_si256(to++, rounded);
      sum = Simd::add(sum, _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(rounded), 16)));
    }
    sums[block / 32] = Simd::sum(sum);
  }
}

void prepare_panel_row(const MatmulInput& input, const PreparedLayout& layout, uint32_t row, uint32_t* panels) {
  const float* x = input.x + row * input.x_stride;
  uint32_t* to = panels + size_t{row / layout.panel_rows} * layout.depth / 2 * layout.panel_rows + row % layout.panel_rows;
  for (uint32_t at = 0; at < layout.depth; at += 16) {
    const Simd::F value = at + 16 <= input.k ? Simd::load(x + at) : at < input.k ? Simd::load_part(x + at, input.k - at) : Simd::zero();
    alignas(32) uint32_t pairs[8];
    _mm256_store_si256(reinterpret_cast<__m256i*>(pairs), Simd::bf16(value));
    for (uint32_t pair : pairs) {
      *to = pair;
      to += layout.panel_rows;
    }
  }
}

}  // namespace

void matmul_prepare(const MatmulInput& input, std::byte* scratch, uint32_t row_begin, uint32_t row_end) {
  const PreparedLayout layout = PreparedLayout::of(input.m, input.k, Simd::kPanelRows, input.rowwise);
  if (input.mode == MatmulMode::kExact || input.m <= Simd::kBlockRows || input.rowwise) avx512::matmul_prepare(input, scratch, row_begin, row_end);
  if (input.mode == MatmulMode::kExact) return;
  for (uint32_t row = row_begin; row < row_end; ++row) {
    if (input.m <= kPairRowsInPlace || input.rowwise) {
      prepare_row(input.x + row * input.x_stride, input.k, layout.depth,
                  reinterpret_cast<__m256i*>(scratch + layout.pairs_offset + size_t{row} * layout.depth * 2),
                  reinterpret_cast<float*>(scratch + layout.pair_sums_offset) + size_t{row} * (layout.depth / 32));
    }
    if (input.m > Simd::kBlockRows && !input.rowwise) prepare_panel_row(input, layout, row, reinterpret_cast<uint32_t*>(scratch));
  }
}

void matmul(const MatmulTask& task, uint32_t column_begin, uint32_t column_end) {
  if (task.input.mode == MatmulMode::kExact) return avx512::matmul(task, column_begin, column_end);
  using enum WeightFormat;
  const WeightFormat format = task.weight->format();
  const MatmulView view{task, StripLayout::of(format, task.weight->k()), PreparedLayout::of(task.input.m, task.input.k, Simd::kPanelRows, task.input.rowwise)};
  switch (format) {
    case kF32: return matmul_pairs<kF32>(view, column_begin, column_end);
    case kF16: return matmul_pairs<kF16>(view, column_begin, column_end);
    case kBF16: return matmul_pairs<kBF16>(view, column_begin, column_end);
    case kQ8_0: return matmul_pairs<kQ8_0>(view, column_begin, column_end);
    case kQ4_0: return matmul_pairs<kQ4_0>(view, column_begin, column_end);
    case kQ4_1: return matmul_pairs<kQ4_1>(view, column_begin, column_end);
    case kQ5_0: return matmul_pairs<kQ5_0>(view, column_begin, column_end);
    case kQ5_1: return matmul_pairs<kQ5_1>(view, column_begin, column_end);
    case kQ4_K: return matmul_pairs<kQ4_K>(view, column_begin, column_end);
    case kQ5_K: return matmul_pairs<kQ5_K>(view, column_begin, column_end);
    case kQ6_K: return matmul_pairs<kQ6_K>(view, column_begin, column_end);
  }
}

}  // namespace accelerate::avx512bf16
