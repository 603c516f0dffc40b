// The portable matmul: floats, blocks expanded one by one, x read in place. The reference of the vector forms.
#include "accelerate/kernels/matmul/matmul.h"

#include <algorithm>
#include <cstring>

#include "accelerate/kernels/isa/entries.h"
#include "accelerate/kernels/matmul/expand.h"
#include "accelerate/kernels/matmul/prepared.h"

namespace accelerate {

size_t matmul_scratch_bytes(uint32_t m, uint32_t k, bool rowwise) { return PreparedLayout::of(m, k, kPanelRowsMin, rowwise).bytes; }

namespace portable {
namespace {

constexpr uint32_t kRowChunk = 16;  // rows that share one expansion of a block; their sums stay in L1 (2 KiB)

void store_rows(const MatmulTask& task, uint32_t row, uint32_t rows, uint32_t column, uint32_t columns,
                const float (&sums)[kRowChunk][kBlockColumns]) {
  for (uint32_t r = 0; r < rows; ++r) {
    float* out = task.out + (row + r) * task.out_stride + column;
    for (uint32_t c = 0; c < columns; ++c) {
      const float value = sums[r][c] + (task.bias ? task.bias[column + c] : 0.0f);
      out[c] = task.add ? out[c] + value : value;
    }
  }
}

template <WeightFormat F>
void strip_times_rows(const MatmulTask& task, const StripLayout& layout, uint32_t column, uint32_t columns, uint32_t row) {
  const MatmulInput& in = task.input;
  const std::byte* strip = task.weight->data() + size_t{column / kBlockColumns} * layout.strip_bytes;
  const uint32_t rows = std::min(kRowChunk, in.m - row);
  float sums[kRowChunk][kBlockColumns] = {};
  float weights[kBlockDepth][kBlockColumns];
  for (uint32_t block = 0; block < layout.blocks; ++block) {
    expand_block<F>({strip + layout.header_offset(block), strip + layout.block_offset(block)}, weights);
    const uint32_t depth = std::min(kBlockDepth, in.k - block * kBlockDepth);
    for (uint32_t r = 0; r < rows; ++r) {
      const float* x = in.x + (row + r) * in.x_stride + size_t{block} * kBlockDepth;
      float partial[kBlockColumns] = {};
      for (uint32_t k = 0; k < depth; ++k) {
        for (uint32_t c = 0; c < kBlockColumns; ++c) partial[c] += x[k] * weights[k][c];
      }
      for (uint32_t c = 0; c < kBlockColumns; ++c) sums[r][c] += partial[c];
    }
  }
  store_rows(task, row, rows, column, columns, sums);
}

}  // namespace

void matmul_prepare(const MatmulInput&, std::byte*, uint32_t, uint32_t) {}  // x is read in place

void matmul(const MatmulTask& task, uint32_t column_begin, uint32_t column_end) {
  const StripLayout layout = StripLayout::of(task.weight->format(), task.weight->k());
  with_format(task.weight->format(), [&]<WeightFormat F>() {
    for (uint32_t column = column_begin; column < column_end; column += kBlockColumns) {
      const uint32_t columns = std::min(kBlockColumns, column_end - column);
      for (uint32_t row = 0; row < task.input.m; row += kRowChunk) strip_times_rows<F>(task, layout, column, columns, row);
    }
  });
}

}  // namespace portable
}  // namespace accelerate
