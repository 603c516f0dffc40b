#include <algorithm>
#include <cstring>
#include <limits>

#include <fmt/format.h>

#include "accelerate/base/check.h"
#include "accelerate/base/numbers.h"
#include "accelerate/kernels/matmul/expand.h"
#include "accelerate/kernels/matmul/layout.h"
#include "accelerate/kernels/matmul/matmul.h"
#include "accelerate/kernels/quantize/dequantize.h"

namespace accelerate {
namespace {

/// Where one column's pieces of one block go.
struct ColumnTarget {
  std::byte* header;
  std::byte* block;
  uint32_t column;  // 0..31

  void put_dword(uint32_t row, uint32_t value) const { std::memcpy(block + 4 * (32 * row + column), &value, 4); }
  void put_u16(std::byte* at, uint32_t index, uint16_t value) const { std::memcpy(at + 64 * index + 2 * column, &value, 2); }
  void put_bytes(const int8_t* quants) const {  // 32 int8
    for (uint32_t row = 0; row < 8; ++row) std::memcpy(block + 4 * (32 * row + column), quants + 4 * row, 4);
  }
};

/// Low nibbles of 8 bytes (elements k .. k+7) as a dword in the block's order; what stands above the nibbles is dropped.
uint32_t nibble_dword(uint64_t bytes) {
  const auto squeeze = [](uint64_t x) {  // nibbles at bits 0, 16, 32, 48 to 16 bits
    x &= 0x000f000f000f000full;
    return static_cast<uint32_t>((x | x >> 12 | x >> 24 | x >> 36) & 0xffffu);
  };
  return squeeze(bytes) | squeeze(bytes >> 8) << 16;
}

/// 32 nibbles: 16 bytes shifted right by `first_shift`, then 16 bytes shifted by `second_shift`.
struct NibbleSource {
  const uint8_t* first;
  int first_shift;
  const uint8_t* second;
  int second_shift;
};

void put_nibbles(const ColumnTarget& to, const NibbleSource& from) {
  for (uint32_t half = 0; half < 2; ++half) {
    uint64_t a, b;
    std::memcpy(&a, from.first + 8 * half, 8);
    std::memcpy(&b, from.second + 8 * half, 8);
    to.put_dword(half, nibble_dword(a >> from.first_shift));
    to.put_dword(2 + half, nibble_dword(b >> from.second_shift));
  }
}

void five_bits(const uint8_t (&high)[4], const uint8_t* low, int offset, int8_t* out) {
  for (uint32_t i = 0; i < 16; ++i) {
    out[i] = static_cast<int8_t>(((low[i] & 15) | ((high[i / 8] >> (i % 8)) & 1) << 4) - offset);
    out[i + 16] = static_cast<int8_t>(((low[i] >> 4) | ((high[2 + i / 8] >> (i % 8)) & 1) << 4) - offset);
  }
}

template <class Block>
Block load(const std::byte* source) {
  Block block;
  std::memcpy(&block, source, sizeof(Block));
  return block;
}

void pack_q4(const ColumnTarget& to, const std::byte* source, WeightFormat format) {
  if (format == WeightFormat::kQ4_0) {
    const auto b = load<BlockQ4_0>(source);
    put_nibbles(to, {b.qs, 0, b.qs, 4});
    to.put_u16(to.block + 512, 0, b.d);
  } else {
    const auto b = load<BlockQ4_1>(source);
    put_nibbles(to, {b.qs, 0, b.qs, 4});
    to.put_u16(to.block + 512, 0, b.d);
    to.put_u16(to.block + 512, 1, b.m);
  }
}

void pack_byte_block(const ColumnTarget& to, const std::byte* source, WeightFormat format) {
  int8_t quants[32];
  if (format == WeightFormat::kQ8_0) {
    const auto b = load<BlockQ8_0>(source);
    to.put_bytes(b.qs);
    to.put_u16(to.block + 1024, 0, b.d);
  } else if (format == WeightFormat::kQ5_0) {
    const auto b = load<BlockQ5_0>(source);
    five_bits(b.qh, b.qs, 16, quants);
    to.put_bytes(quants);
    to.put_u16(to.block + 1024, 0, b.d);
  } else {
    const auto b = load<BlockQ5_1>(source);
    five_bits(b.qh, b.qs, 0, quants);
    to.put_bytes(quants);
    to.put_u16(to.block + 1024, 0, b.d);
    to.put_u16(to.block + 1024, 1, b.m);
  }
}

/// Group `group` (32 k) of a K-quant super-block.
void pack_super_group(const ColumnTarget& to, const std::byte* source, WeightFormat format, uint32_t group) {
  if (format == WeightFormat::kQ6_K) {
    const auto b = load<BlockQ6_K>(source);
    if (group == 0) to.put_u16(to.header, 0, b.d);
    int8_t quants[32];
    const uint32_t half = group / 4, row = group % 4;
    for (uint32_t i = 0; i < 32; ++i) {
      const uint32_t low = (b.ql[64 * half + 32 * (row % 2) + i] >> (4 * (row / 2))) & 15u;
      quants[i] = static_cast<int8_t>(static_cast<int>(low | ((b.qh[32 * half + i] >> (2 * row)) & 3u) << 4) - 32);
    }
    to.put_bytes(quants);
    std::memcpy(to.block + 1024 + to.column, &b.scales[2 * group], 1);
    std::memcpy(to.block + 1024 + 32 + to.column, &b.scales[2 * group + 1], 1);
    return;
  }
  const bool four = format == WeightFormat::kQ4_K;
  uint16_t d[2];
  uint8_t scales[12];
  std::memcpy(d, source, 4);
  std::memcpy(scales, source + 4, 12);
  if (group == 0) {
    to.put_u16(to.header, 0, d[0]);
    to.put_u16(to.header, 1, d[1]);
  }
  const SixBitPair pair = six_bit_pair(scales, group);
  uint8_t low[32];
  std::memcpy(low, source + (four ? 16 : 48) + 32 * (group / 2), 32);
  if (four) {
    const int shift = 4 * static_cast<int>(group % 2);
    put_nibbles(to, {low, shift, low + 16, shift});
  } else {
    uint8_t high[32];
    std::memcpy(high, source + 16, 32);
    int8_t quants[32];
    for (uint32_t i = 0; i < 32; ++i) {
      quants[i] = static_cast<int8_t>(((low[i] >> (4 * (group % 2))) & 15) | ((high[i] >> group) & 1) << 4);
    }
    to.put_bytes(quants);
  }
  const uint32_t scales_at = four ? 512 : 1024;
  to.block[scales_at + to.column] = static_cast<std::byte>(pair.scale);
  to.block[scales_at + 32 + to.column] = static_cast<std::byte>(pair.minimum);
}

/// A block's 32 plain values; `count` of them exist, the rest of the block stays zero.
void pack_plain(const ColumnTarget& to, const std::byte* source, WeightFormat format, uint32_t count) {
  for (uint32_t k = 0; k < count; ++k) {
    if (format == WeightFormat::kF32) {
      std::memcpy(to.block + 4 * (32 * k + to.column), source + 4 * k, 4);
    } else if (format == WeightFormat::kF16) {
      std::memcpy(to.block + 2 * (32 * k + to.column), source + 2 * k, 2);
    } else {
      std::memcpy(to.block + 4 * (32 * (k / 2) + to.column) + 2 * (k % 2), source + 2 * k, 2);
    }
  }
}

void pack_column(const StripLayout& layout, WeightFormat format, const std::byte* row, uint32_t k, std::byte* strip, uint32_t column) {
  const WeightFormatTraits traits = weight_format_traits(format);
  for (uint32_t block = 0; block < layout.blocks; ++block) {
    const ColumnTarget to{strip + layout.header_offset(block), strip + layout.block_offset(block), column};
    const std::byte* source = row + size_t{block} * kBlockDepth / traits.block_elements * traits.block_bytes;
    if (traits.block_elements == 1) {
      pack_plain(to, source, format, std::min(kBlockDepth, k - block * kBlockDepth));
    } else if (traits.block_elements == 256) {
      pack_super_group(to, source, format, block % kBlocksPerHeader);
    } else if (layout.shape.body == BlockBody::kNibble) {
      pack_q4(to, source, format);
    } else {
      pack_byte_block(to, source, format);
    }
  }
}

template <WeightFormat F>
void unpack_column(const StripLayout& layout, const std::byte* strip, uint32_t column, uint32_t k, float* out) {
  for (uint32_t block = 0; block < layout.blocks; ++block) {
    const PackedBlock packed{strip + layout.header_offset(block), strip + layout.block_offset(block)};
    const uint32_t count = std::min(kBlockDepth, k - block * kBlockDepth);
    for (uint32_t i = 0; i < count; ++i) out[size_t{block} * kBlockDepth + i] = packed_value<F>(packed, i, column);
  }
}

}  // namespace

size_t PackedMatrix::bytes_needed(WeightFormat format, uint32_t n, uint32_t k) {
  const size_t strips = n / kBlockColumns + (n % kBlockColumns != 0);
  return strips * StripLayout::of(format, k).strip_bytes;  // below 2^32 / 32 * (2^32 / 32 * 4096): no overflow of 64 bits
}

Result<PackedMatrix> PackedMatrix::allocate(WeightFormat format, uint32_t n, uint32_t k) {
  ACC_TRY(PackedMatrix matrix, place(format, n, k, nullptr));
  ACC_TRY(matrix.buffer_, Buffer::allocate(bytes_needed(format, n, k)));
  matrix.data_ = matrix.buffer_.data();
  return matrix;
}

Result<PackedMatrix> PackedMatrix::place(WeightFormat format, uint32_t n, uint32_t k, std::byte* memory) {
  const uint32_t block = weight_format_traits(format).block_elements;
  if (n == 0 || k == 0 || k % block != 0) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("[kernels] rows of a weight must be whole blocks; got {} rows of {} elements in blocks of {}; "
                             "try the file's own conversion in another format", n, k, block)};
  }
  PackedMatrix matrix;
  matrix.data_ = memory;
  matrix.format_ = format;
  matrix.n_ = n;
  matrix.k_ = k;
  return matrix;
}

void pack_rows(PackedMatrix& matrix, const std::byte* source, uint32_t row_begin, uint32_t row_end) {
  const WeightFormatTraits traits = weight_format_traits(matrix.format());
  pack_row_range(matrix, source + row_begin * (size_t{matrix.k()} / traits.block_elements * traits.block_bytes), row_begin, row_end);
}

void pack_row_range(PackedMatrix& matrix, const std::byte* rows, uint32_t row_begin, uint32_t row_end) {
  CHECK(row_begin % 16 == 0 && row_end <= matrix.n(), "ranges of rows begin at multiples of 16 and end inside the matrix");
  const StripLayout layout = StripLayout::of(matrix.format(), matrix.k());
  const WeightFormatTraits traits = weight_format_traits(matrix.format());
  const size_t row_bytes = size_t{matrix.k()} / traits.block_elements * traits.block_bytes;
  for (uint32_t row = row_begin; row < row_end; ++row) {
    std::byte* strip = matrix.data() + size_t{row / kBlockColumns} * layout.strip_bytes;
    pack_column(layout, matrix.format(), rows + (row - row_begin) * row_bytes, matrix.k(), strip, row % kBlockColumns);
  }
}

void unpack_row(const PackedMatrix& matrix, uint32_t row, float* out) {
  CHECK(row < matrix.n(), "the caller checks token ids");
  const StripLayout layout = StripLayout::of(matrix.format(), matrix.k());
  const std::byte* strip = matrix.data() + size_t{row / kBlockColumns} * layout.strip_bytes;
  with_format(matrix.format(), [&]<WeightFormat F>() { unpack_column<F>(layout, strip, row % kBlockColumns, matrix.k(), out); });
}

}  // namespace accelerate
