// Matmul: out = x * W^T (+ bias), with W in the file's own quantization, repacked once at load.
//
//   ACC_TRY(PackedMatrix w, PackedMatrix::allocate(WeightFormat::kQ4_1, n, k));
//   pack_rows(w, source, 0, n);                              // any split of n into ranges of 16 rows, any threads
//   MatmulInput in{x, x_stride, m, k, MatmulMode::kDefault};
//   table.matmul_prepare(in, scratch, 0, m);                 // split by rows; then all threads meet at a barrier
//   table.matmul({&w, bias, in, scratch, out, out_stride, add}, 0, n);   // split by columns, multiples of kColumnBlock
//
// One layout for every instruction set: tiles of 16 columns (output neurons) x 32 k, lane = column, so a vector register
// holds one k (or pair, or byte quad) of 16 columns and no horizontal sums are needed. Weights keep their bits:
//   nibble: Q4_0 Q4_1 Q4_K, 256 B a tile;   int8: Q8_0, and Q5_x/Q6_K widened, 512 B;   f16, bf16, f32 as they are
// with scales (and minima) per group of 32 (Q6_K: 16) k exactly as the source has them. N and K are padded with zeros.
// Few rows (decode) read the tiles directly with float activations. Many rows (prefill) expand a panel of columns once
// per row block, to float (kExact) or to what the table finds fastest (kDefault; bf16 where the CPU's bf16 dot product
// beats FMA). Which of the two sums a row is made of shows in its last bits: `rowwise` reads in place however many rows
// there are.
#pragma once

#include <cstddef>
#include <cstdint>

#include "accelerate/base/buffer.h"
#include "accelerate/base/result.h"

namespace accelerate {

inline constexpr uint32_t kColumnBlock = 32;  // column ranges of matmul() begin and end at multiples of this (or at n)

/// Formats a matrix can come in; values equal core's DType (host/ checks that at compile time).
enum class WeightFormat : uint8_t { kF32, kF16, kBF16, kQ8_0, kQ4_0, kQ4_1, kQ5_0, kQ5_1, kQ4_K, kQ5_K, kQ6_K };

enum class MatmulMode : uint8_t { kDefault, kExact };

/// W [n, k] in tile order. Immutable after packing; owns its memory.
class PackedMatrix {
 public:
  /// resource_exhausted if there is no memory; invalid_argument if k is no multiple of the format's block.
  static Result<PackedMatrix> allocate(WeightFormat format, uint32_t n, uint32_t k);
  /// The same in `memory`, bytes_needed() zeroed bytes at a multiple of 64 that outlive the matrix: for callers that keep
  /// all matrices of a model in one allocation (whole huge pages, nothing lost to rounding).
  static Result<PackedMatrix> place(WeightFormat format, uint32_t n, uint32_t k, std::byte* memory);
  /// Bytes allocate() would take.
  static size_t bytes_needed(WeightFormat format, uint32_t n, uint32_t k);

  WeightFormat format() const { return format_; }
  uint32_t n() const { return n_; }
  uint32_t k() const { return k_; }
  const std::byte* data() const { return data_; }
  std::byte* data() { return data_; }
  size_t size_bytes() const { return bytes_needed(format_, n_, k_); }

 private:
  Buffer buffer_;  // empty when placed
  std::byte* data_ = nullptr;
  WeightFormat format_ = WeightFormat::kF32;
  uint32_t n_ = 0, k_ = 0;
};

/// Repacks source rows [row_begin, row_end) (GGUF row order: row n holds its k elements) into `matrix`. row_begin is a
/// multiple of 16. `source` points at row 0 of the whole matrix. Thread-safe for disjoint ranges.
void pack_rows(PackedMatrix& matrix, const std::byte* source, uint32_t row_begin, uint32_t row_end);
/// The same where `rows` points at row `row_begin`: for rows that were made a few at a time.
void pack_row_range(PackedMatrix& matrix, const std::byte* rows, uint32_t row_begin, uint32_t row_end);

/// Row `row` back as k floats, from the packed form: for embedding tables that share the head's packed copy, and tests.
void unpack_row(const PackedMatrix& matrix, uint32_t row, float* out);

struct MatmulInput {
  const float* x; size_t x_stride;  // m rows of k floats
  uint32_t m, k;
  MatmulMode mode;
  bool rowwise = false;             // a row's result depends on that row alone, bit for bit, not on m: never by panels
};
/// Scratch for matmul_prepare, shared by all threads of the call, 64-byte aligned. May be 0 (few rows are read in place).
size_t matmul_scratch_bytes(uint32_t m, uint32_t k, bool rowwise = false);

struct MatmulTask {
  const PackedMatrix* weight;
  const float* bias;                // n floats or null
  MatmulInput input;
  const std::byte* prepared;        // the scratch that matmul_prepare filled for `input`
  float* out; size_t out_stride;    // m rows of n floats
  bool add;                         // out += instead of out =
};

}  // namespace accelerate
