// The bytes of a PackedMatrix: strips of 32 columns (output neurons), each a run of blocks of 32 columns x 32 k.
//
// strip = for every 8 blocks: [header] block block ... ; strips follow one another, so a thread that walks its columns reads
// one forward stream. A block is a body and then its scales, all pieces whole cache lines:
//
//   body      bytes  order                       formats
//   kNibble   512    u32 [k/8][32 columns]       Q4_0 Q4_1 Q4_K    dword: nibble s = k 2s, nibble s + 4 = k 2s + 1 (s = 0..3)
//   kByte     1024   u32 [k/4][32 columns]       Q8_0 Q5_0 Q5_1 Q5_K Q6_K    dword: int8 of k, k+1, k+2, k+3
//   kPair     2048   u32 [k/2][32 columns]       BF16              dword: bf16 of k (low half) and k+1
//   kHalf     2048   f16 [k][32 columns]         F16
//   kFloat    4096   f32 [k][32 columns]         F32
//
// The nibble order makes every 16-bit shift of the dword a (k, k+1) pair, which is what VDPBF16PS multiplies. Signed formats
// of 5 and 6 bits are stored as q - 16 and q - 32; Q4_0 keeps q (0..15) and means q - 8. Scales, one per column each:
//   Q4_0 Q5_0 Q8_0: f16 d;   Q4_1 Q5_1: f16 d, f16 m;   Q4_K Q5_K: header f16 d, f16 dmin; block u8 scale, u8 minimum;
//   Q6_K: header f16 d; block int8 scale of k 0..15, int8 scale of k 16..31.
// Functions here are always inlined: files of every instruction set include them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "accelerate/kernels/matmul/matmul.h"

namespace accelerate {

inline constexpr uint32_t kBlockColumns = 32;
inline constexpr uint32_t kBlockDepth = 32;        // k of a block
inline constexpr uint32_t kBlocksPerHeader = 8;    // 256 k: the K-quants' super-block
static_assert(kBlockColumns == kColumnBlock);

enum class BlockBody : uint8_t { kNibble, kByte, kPair, kHalf, kFloat };

struct BlockShape {
  BlockBody body;
  uint32_t body_bytes;
  uint32_t block_bytes;   // body and scales
  uint32_t header_bytes;  // before every 8 blocks
};

[[gnu::always_inline]] constexpr BlockShape block_shape(WeightFormat format) {
  switch (format) {
    case WeightFormat::kF32: return {BlockBody::kFloat, 4096, 4096, 0};
    case WeightFormat::kF16: return {BlockBody::kHalf, 2048, 2048, 0};
    case WeightFormat::kBF16: return {BlockBody::kPair, 2048, 2048, 0};
    case WeightFormat::kQ8_0: return {BlockBody::kByte, 1024, 1024 + 64, 0};
    case WeightFormat::kQ4_0: return {BlockBody::kNibble, 512, 512 + 64, 0};
    case WeightFormat::kQ4_1: return {BlockBody::kNibble, 512, 512 + 128, 0};
    case WeightFormat::kQ5_0: return {BlockBody::kByte, 1024, 1024 + 64, 0};
    case WeightFormat::kQ5_1: return {BlockBody::kByte, 1024, 1024 + 128, 0};
    case WeightFormat::kQ4_K: return {BlockBody::kNibble, 512, 512 + 64, 128};
    case WeightFormat::kQ5_K: return {BlockBody::kByte, 1024, 1024 + 64, 128};
    case WeightFormat::kQ6_K: return {BlockBody::kByte, 1024, 1024 + 64, 64};
  }
  return {BlockBody::kFloat, 4096, 4096, 0};
}

/// Where things are in a matrix of `k` columns of the source (elements per row).
struct StripLayout {
  BlockShape shape;
  uint32_t blocks;     // of a strip: k / 32, rounded up
  size_t strip_bytes;

  [[gnu::always_inline]] static constexpr StripLayout of(WeightFormat format, uint32_t k) {
    const BlockShape shape = block_shape(format);
    const uint32_t blocks = k / kBlockDepth + (k % kBlockDepth != 0);
    const uint32_t headers = shape.header_bytes ? (blocks + kBlocksPerHeader - 1) / kBlocksPerHeader : 0;
    return {shape, blocks, size_t{blocks} * shape.block_bytes + size_t{headers} * shape.header_bytes};
  }
  /// Offset of the header that block `block` belongs to (of the group's first block where there is no header).
  [[gnu::always_inline]] constexpr size_t header_offset(uint32_t block) const {
    return size_t{block / kBlocksPerHeader} * (size_t{shape.header_bytes} + size_t{kBlocksPerHeader} * shape.block_bytes);
  }
  [[gnu::always_inline]] constexpr size_t block_offset(uint32_t block) const {
    return header_offset(block) + shape.header_bytes + size_t{block % kBlocksPerHeader} * shape.block_bytes;
  }
};

/// Position of element k (0..31) of a nibble block inside its column's dword k/8.
constexpr uint32_t nibble_shift(uint32_t k) { return 4 * ((k % 8) / 2 + 4 * (k % 2)); }

}  // namespace accelerate
