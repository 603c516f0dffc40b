// The vector matmul with float arithmetic, over a Simd struct of kernels/isa. Included by matmul_<isa>.cc only.
//
// Up to S::kRowsInPlace rows: weights are turned into (offset + q) by one shift and one logic operation and multiplied as they are; per group of
// 32 (16) the sum starts at -offset * sum(x), which takes the offset out again, and is scaled once. The offset is 2 to 3 times
// the largest |q|, so that costs about 2 bits of the sum's 24.
// More rows: 32 columns x up to kChunkBlocks * 32 k are expanded to floats in L1, then panels of x (prepared.h) pass over them
// with all sums in registers.
#pragma once

#include "accelerate/kernels/isa/unrolled.h"
#include "accelerate/kernels/matmul/layout.h"
#include "accelerate/kernels/matmul/matmul.h"
#include "accelerate/kernels/matmul/prepared.h"

namespace accelerate {

template <class S, WeightFormat kFormat>
struct Weights {
  using F = typename S::F;
  static constexpr BlockShape kShape = block_shape(kFormat);
  static constexpr bool kNibble = kShape.body == BlockBody::kNibble;
  static constexpr bool kQuantized = kNibble || kShape.body == BlockBody::kByte;
  static constexpr bool kMinimum = kFormat == WeightFormat::kQ4_1 || kFormat == WeightFormat::kQ5_1 ||
                                   kFormat == WeightFormat::kQ4_K || kFormat == WeightFormat::kQ5_K;
  static constexpr int kGroups = kFormat == WeightFormat::kQ6_K ? 2 : 1;  // scales per block
  static constexpr int kBits = kNibble ? 4 : kFormat == WeightFormat::kQ8_0 ? 8 : kFormat == WeightFormat::kQ6_K ? 6 : 5;
  static constexpr bool kSigned = !kNibble && !kMinimum;
  /// What unpacked() adds to q. Few bits, small offset: less of the sum's precision goes to it.
  static constexpr float kOffset = static_cast<float>((1 << kBits) + (kSigned || kFormat == WeightFormat::kQ4_0 ? 1 << (kBits - 1) : 0));
  static constexpr int kRowDepth = kNibble ? 8 : 4;                       // k of a row of dwords
  static constexpr int kRows = 32 / kRowDepth;

  /// k (0..31) of the weight that unpacked<kIndex> of dword row `row` gives.
  static constexpr int depth_of(int row, int index) { return kNibble ? 8 * row + (index < 4 ? 2 * index : 2 * (index - 4) + 1) : 4 * row + index; }
  template <int kIndex>
  ACC_INLINE F unpacked(typename S::I dwords) {
    return S::template field<kIndex * (kNibble ? 4 : 8), kBits, kSigned>(dwords);
  }
  ACC_INLINE F scale(const std::byte* header, const std::byte* block, uint32_t column, int group) {
    const std::byte* scales = block + kShape.body_bytes;
    if constexpr (kFormat == WeightFormat::kQ4_K || kFormat == WeightFormat::kQ5_K) {
      return S::mul(S::half(header + 2 * column), S::unsigned_bytes(scales + column));
    } else if constexpr (kFormat == WeightFormat::kQ6_K) {
      return S::mul(S::half(header + 2 * column), S::signed_bytes(scales + 32 * group + column));
    } else {
      return S::half(scales + 2 * column);
    }
  }
  ACC_INLINE F minimum(const std::byte* header, const std::byte* block, uint32_t column) {  // what is added to scale * q
    const std::byte* scales = block + kShape.body_bytes;
    if constexpr (kFormat == WeightFormat::kQ4_K || kFormat == WeightFormat::kQ5_K) {
      return S::sub(S::zero(), S::mul(S::half(header + 64 + 2 * column), S::unsigned_bytes(scales + 32 + column)));
    } else {
      return S::half(scales + 64 + 2 * column);
    }
  }
  /// Plain formats: the weights of element k; kOdd = k % 2.
  template <int kOdd>
  ACC_INLINE F plain(const std::byte* block, uint32_t k, uint32_t column) {
    if constexpr (kFormat == WeightFormat::kF32) return S::load(reinterpret_cast<const float*>(block) + 32 * k + column);
    else if constexpr (kFormat == WeightFormat::kF16) return S::half(block + 2 * (32 * k + column));
    else if constexpr (kOdd == 0) return S::pair_low(S::load_dwords(block + 4 * (32 * (k / 2) + column)));
    else return S::pair_high(S::load_dwords(block + 4 * (32 * (k / 2) + column)));
  }
};

/// A thread's view of one matmul call.
struct MatmulView {
  const MatmulTask& task;
  StripLayout layout;
  PreparedLayout prepared;
  const float* rows() const { return reinterpret_cast<const float*>(task.prepared); }
};

/// Adds bias and `add`, and stores sums of one vector of columns; `count` of them exist.
template <class S>
[[gnu::always_inline]] inline void store_sums(const MatmulTask& task, uint32_t row, uint32_t column, typename S::F sums, uint32_t count) {
  float* out = task.out + row * task.out_stride + column;
  if (count >= S::kWidth) {
    if (task.bias) sums = S::add(sums, S::load(task.bias + column));
    if (task.add) sums = S::add(sums, S::load(out));
    S::store(out, sums);
  } else if (count > 0) {
    if (task.bias) sums = S::add(sums, S::load_part(task.bias + column, count));
    if (task.add) sums = S::add(sums, S::load_part(out, count));
    S::store_part(out, sums, count);
  }
}

inline constexpr uint32_t kPassVectors = 2;  // vectors of columns that share each broadcast of x

inline constexpr uint32_t kPrefetchBytes = 2304;  // ahead of the block in work; from 4.6 KB on decode loses up to 17 %

/// `kM` rows times 2 vectors of columns, weights read in place.
template <class S, WeightFormat kFormat, int kM>
struct RowBlock {
  using F = typename S::F;
  using W = Weights<S, kFormat>;
  uint32_t row;          // of the first
  const float* x;        // [kM][depth]
  const float* sums16;   // [kM][depth / 16]
  uint32_t depth;

  using Tile = F[kM][kPassVectors];

  ACC_INLINE void quantized_block(const RowBlock& self, const std::byte* header, const std::byte* block, uint32_t index, uint32_t column, Tile& totals) {
    unrolled<W::kGroups>([&](auto group) __attribute__((always_inline)) {
      Tile sums;
      float x_sums[kM];
      unrolled<kM>([&](auto m) __attribute__((always_inline)) {
        const float* at = self.sums16 + m * (self.depth / 16) + 2 * index;
        x_sums[m] = W::kGroups == 2 ? at[group] : at[0] + at[1];
        unrolled<kPassVectors>([&](auto v) __attribute__((always_inline)) { sums[m][v] = S::set(-W::kOffset * x_sums[m]); });
      });
      for (int row = group * W::kRows / W::kGroups; row < (group + 1) * W::kRows / W::kGroups; ++row) {
        typename S::I dwords[kPassVectors];
        unrolled<kPassVectors>([&](auto v) __attribute__((always_inline)) { dwords[v] = S::load_dwords(block + 4 * (32 * row + column + v * S::kWidth)); });
        unrolled<W::kRowDepth>([&](auto element) __attribute__((always_inline)) {
          F weights[kPassVectors];
          unrolled<kPassVectors>([&](auto v) __attribute__((always_inline)) { weights[v] = W::template unpacked<element>(dwords[v]); });
          multiply(sums, weights, self.x + index * 32 + W::depth_of(row, element), self.depth);
        });
      }
      unrolled<kPassVectors>([&](auto v) __attribute__((always_inline)) {
        const F scale = W::scale(header, block, column + v * S::kWidth, group);
        unrolled<kM>([&](auto m) __attribute__((always_inline)) { totals[m][v] = S::fma(scale, sums[m][v], totals[m][v]); });
        if constexpr (W::kMinimum) {
          const F minimum = W::minimum(header, block, column + v * S::kWidth);
          unrolled<kM>([&](auto m) __attribute__((always_inline)) { totals[m][v] = S::fma(minimum, S::set(x_sums[m]), totals[m][v]); });
        }
      });
    });
  }

  ACC_INLINE void plain_block(const RowBlock& self, const std::byte* block, uint32_t index, uint32_t column, Tile& totals) {
    for (uint32_t row = 0; row < 16; ++row) {
      unrolled<2>([&](auto odd) __attribute__((always_inline)) {
        F weights[kPassVectors];
        unrolled<kPassVectors>([&](auto v) __attribute__((always_inline)) { weights[v] = W::template plain<odd>(block, 2 * row + odd, column + v * S::kWidth); });
        multiply(totals, weights, self.x + index * 32 + 2 * row + odd, self.depth);
      });
    }
  }

  /// sums[m] += weights * x[m * depth]
  ACC_INLINE void multiply(Tile& sums, const F (&weights)[kPassVectors], const float* x, uint32_t depth) {
    unrolled<kM>([&](auto m) __attribute__((always_inline)) {
      const F value = S::set(x[m * depth]);
      unrolled<kPassVectors>([&](auto v) __attribute__((always_inline)) { sums[m][v] = S::fma(weights[v], value, sums[m][v]); });
    });
  }

  void pass(const MatmulView& view, const std::byte* strip, uint32_t column, uint32_t strip_column, uint32_t column_end) const {
    Tile totals;
    each<kM, kPassVectors>([&](auto m, auto v) __attribute__((always_inline)) { totals[m][v] = S::zero(); });
    const std::byte* header = strip;
    const std::byte* block = strip + W::kShape.header_bytes;
    for (uint32_t index = 0; index < view.layout.blocks; ++index) {
      if constexpr (W::kShape.header_bytes != 0) {
        if (index % kBlocksPerHeader == 0 && index != 0) {
          header = block;
          block += W::kShape.header_bytes;
        }
      }
      for (uint32_t line = 0; line < W::kShape.block_bytes; line += 64) S::prefetch(block + kPrefetchBytes + line);
      if constexpr (W::kQuantized) quantized_block(*this, header, block, index, strip_column, totals);
      else plain_block(*this, block, index, strip_column, totals);
      block += W::kShape.block_bytes;
    }
    each<kM, kPassVectors>([&](auto m, auto v) __attribute__((always_inline)) {
      const uint32_t at = column + strip_column + v * S::kWidth;
      store_sums<S>(view.task, row + m, at, totals[m][v], at < column_end ? column_end - at : 0);
    });
  }
};

/// All rows in blocks of equal height, at most S::kBlockRows. A strip is read from memory by the first block only: it fits L1
/// or L2 (32 columns x 576 k of nibbles: 11 KiB).
template <class S, WeightFormat kFormat>
void rows_in_place(const MatmulView& view, uint32_t column_begin, uint32_t column_end) {
  const uint32_t m = view.task.input.m, blocks = (m + S::kBlockRows - 1) / S::kBlockRows;
  const float* x = view.rows();
  const float* sums = reinterpret_cast<const float*>(view.task.prepared + view.prepared.sums_offset);
  const uint32_t depth = view.prepared.depth;
  const std::byte* strip = view.task.weight->data() + size_t{column_begin / kBlockColumns} * view.layout.strip_bytes;
  for (uint32_t column = column_begin; column < column_end; column += kBlockColumns, strip += view.layout.strip_bytes) {
    for (uint32_t block = 0; block < blocks; ++block) {
      const uint32_t begin = m * block / blocks, end = m * (block + 1) / blocks;
      with_count<S::kBlockRows>(end - begin, [&](auto rows) __attribute__((always_inline)) {
        const RowBlock<S, kFormat, rows> work{begin, x + size_t{begin} * depth, sums + size_t{begin} * (depth / 16), depth};
        for (uint32_t part = 0; part < kBlockColumns; part += kPassVectors * S::kWidth) work.pass(view, strip, column, part, column_end);
      });
    }
  }
}

inline constexpr uint32_t kChunkBlocks = 4;  // 32 columns x 128 k of floats: 16 KiB, half of the smallest L1

/// Weights of one block as floats: out[k][32 columns].
template <class S, WeightFormat kFormat>
[[gnu::always_inline]] inline void expand_to_floats(const std::byte* header, const std::byte* block, float* out) {
  using W = Weights<S, kFormat>;
  for (uint32_t column = 0; column < kBlockColumns; column += S::kWidth) {
    if constexpr (W::kQuantized) {
      unrolled<W::kGroups>([&](auto group) __attribute__((always_inline)) {
        const typename S::F scale = W::scale(header, block, column, group);
        typename S::F shift = S::mul(scale, S::set(-W::kOffset));
        if constexpr (W::kMinimum) shift = S::add(shift, W::minimum(header, block, column));
        for (int row = group * W::kRows / W::kGroups; row < (group + 1) * W::kRows / W::kGroups; ++row) {
          const typename S::I dwords = S::load_dwords(block + 4 * (32 * row + column));
          unrolled<W::kRowDepth>([&](auto element) __attribute__((always_inline)) {
            S::store(out + 32 * W::depth_of(row, element) + column, S::fma(W::template unpacked<element>(dwords), scale, shift));
          });
        }
      });
    } else {
      for (uint32_t k = 0; k < 32; k += 2) {
        S::store(out + 32 * k + column, W::template plain<0>(block, k, column));
        S::store(out + 32 * (k + 1) + column, W::template plain<1>(block, k + 1, column));
      }
    }
  }
}

/// Where a panel's sums come from and go to.
struct PanelTarget {
  const MatmulTask& task;
  uint32_t row, column, column_end;
  bool first_chunk;
};

/// Stores a panel's sums, on top of what earlier chunks of k left.
template <class S, int kM>
[[gnu::always_inline]] inline void store_panel(const PanelTarget& to, typename S::F (&sums)[kM][kPassVectors]) {
  MatmulTask task = to.task;
  if (!to.first_chunk) {
    task.bias = nullptr;
    task.add = true;
  }
  each<kM, kPassVectors>([&](auto m, auto v) __attribute__((always_inline)) {
    const uint32_t at = to.column + v * S::kWidth;
    store_sums<S>(task, to.row + m, at, sums[m][v], at < to.column_end ? to.column_end - at : 0);
  });
}

/// kM rows of a panel times 2 vectors of columns over `depth` k.
template <class S, int kM>
void panel_kernel(const float* x, uint32_t x_step, const float* weights, uint32_t depth, const PanelTarget& to) {
  using F = typename S::F;
  F sums[kM][kPassVectors];
  each<kM, kPassVectors>([&](auto m, auto v) __attribute__((always_inline)) { sums[m][v] = S::zero(); });
  for (uint32_t k = 0; k < depth; ++k) {
    F w[kPassVectors];
    unrolled<kPassVectors>([&](auto v) __attribute__((always_inline)) { w[v] = S::load(weights + v * S::kWidth); });
    unrolled<kM>([&](auto m) __attribute__((always_inline)) {
      const F value = S::set(x[m]);
      unrolled<kPassVectors>([&](auto v) __attribute__((always_inline)) { sums[m][v] = S::fma(w[v], value, sums[m][v]); });
    });
    x += x_step;
    weights += kBlockColumns;
  }
  store_panel<S, kM>(to, sums);
}

template <class S, WeightFormat kFormat>
void many_rows(const MatmulView& view, uint32_t column_begin, uint32_t column_end) {
  alignas(64) float expanded[kChunkBlocks * kBlockDepth * kBlockColumns];
  const PreparedLayout& prepared = view.prepared;
  const uint32_t chunks = (view.layout.blocks + kChunkBlocks - 1) / kChunkBlocks;
  for (uint32_t column = column_begin; column < column_end; column += kBlockColumns) {
    const std::byte* strip = view.task.weight->data() + size_t{column / kBlockColumns} * view.layout.strip_bytes;
    for (uint32_t chunk = 0; chunk < chunks; ++chunk) {
      const uint32_t begin = view.layout.blocks * chunk / chunks, end = view.layout.blocks * (chunk + 1) / chunks;
      for (uint32_t block = begin; block < end; ++block) {
        expand_to_floats<S, kFormat>(strip + view.layout.header_offset(block), strip + view.layout.block_offset(block),
                                     expanded + (block - begin) * kBlockDepth * kBlockColumns);
      }
      for (uint32_t panel = 0; panel < prepared.panels; ++panel) {
        const uint32_t row = panel * prepared.panel_rows;
        const uint32_t rows = row + prepared.panel_rows <= view.task.input.m ? prepared.panel_rows : view.task.input.m - row;
        const float* x = view.rows() + (size_t{panel} * prepared.depth + begin * kBlockDepth) * prepared.panel_rows;
        for (uint32_t part = 0; part < kBlockColumns; part += kPassVectors * S::kWidth) {
          const PanelTarget to{view.task, row, column + part, column_end, chunk == 0};
          with_count<S::kPanelRows>(rows, [&](auto m) __attribute__((always_inline)) {
            panel_kernel<S, m>(x, prepared.panel_rows, expanded + part, (end - begin) * kBlockDepth, to);
          });
        }
      }
    }
  }
}

template <class S, WeightFormat kFormat>
void matmul_format(const MatmulView& view, uint32_t column_begin, uint32_t column_end) {
  if (view.task.input.m <= S::kRowsInPlace || view.task.input.rowwise) rows_in_place<S, kFormat>(view, column_begin, column_end);
  else many_rows<S, kFormat>(view, column_begin, column_end);
}

template <class S>
void matmul_vector(const MatmulTask& task, uint32_t column_begin, uint32_t column_end) {
  using enum WeightFormat;
  const WeightFormat format = task.weight->format();
  const MatmulView view{task, StripLayout::of(format, task.weight->k()), PreparedLayout::of(task.input.m, task.input.k, S::kPanelRows, task.input.rowwise)};
  switch (format) {
    case kF32: return matmul_format<S, kF32>(view, column_begin, column_end);
    case kF16: return matmul_format<S, kF16>(view, column_begin, column_end);
    case kBF16: return matmul_format<S, kBF16>(view, column_begin, column_end);
    case kQ8_0: return matmul_format<S, kQ8_0>(view, column_begin, column_end);
    case kQ5_0: return matmul_format<S, kQ5_0>(view, column_begin, column_end);
    case kQ4_0: return matmul_format<S, kQ4_0>(view, column_begin, column_end);
    case kQ4_1: return matmul_format<S, kQ4_1>(view, column_begin, column_end);
    case kQ5_1: return matmul_format<S, kQ5_1>(view, column_begin, column_end);
    case kQ4_K: return matmul_format<S, kQ4_K>(view, column_begin, column_end);
    case kQ5_K: return matmul_format<S, kQ5_K>(view, column_begin, column_end);
    case kQ6_K: return matmul_format<S, kQ6_K>(view, column_begin, column_end);
  }
}

/// Rows with sums of 16, or panels, whichever matmul_vector will read.
template <class S>
void prepare_floats(const MatmulInput& input, std::byte* scratch, uint32_t row_begin, uint32_t row_end) {
  const PreparedLayout layout = PreparedLayout::of(input.m, input.k, S::kPanelRows, input.rowwise);
  float* floats = reinterpret_cast<float*>(scratch);
  for (uint32_t row = row_begin; row < row_end; ++row) {
    const float* x = input.x + row * input.x_stride;
    if (input.m > S::kRowsInPlace && !input.rowwise) {
      float* to = floats + size_t{row / layout.panel_rows} * layout.depth * layout.panel_rows + row % layout.panel_rows;
      for (uint32_t k = 0; k < layout.depth; ++k) to[size_t{k} * layout.panel_rows] = k < input.k ? x[k] : 0.0f;
      continue;
    }
    float* to = floats + size_t{row} * layout.depth;
    float* sums = reinterpret_cast<float*>(scratch + layout.sums_offset) + size_t{row} * (layout.depth / 16);
    for (uint32_t k = 0; k < layout.depth; k += 16) {
      typename S::F sum = S::zero();
      for (uint32_t i = k; i < k + 16; i += S::kWidth) {
        const typename S::F value = i + S::kWidth <= input.k ? S::load(x + i) : i < input.k ? S::load_part(x + i, input.k - i) : S::zero();
        S::store(to + i, value);
        sum = S::add(sum, value);
      }
      sums[k / 16] = S::sum(sum);
    }
  }
}

}  // namespace accelerate
