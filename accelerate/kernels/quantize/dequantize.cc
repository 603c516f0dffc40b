#include "accelerate/kernels/quantize/dequantize.h"

#include <cstring>

#include "accelerate/base/numbers.h"

namespace accelerate {
namespace {

template <class Block>
Block load_block(const std::byte* source, size_t index) {
  Block block;
  std::memcpy(&block, source + index * sizeof(Block), sizeof(Block));
  return block;
}

uint32_t fifth_bit(const uint8_t (&bits)[4], uint32_t element) { return (bits[element / 8] >> (element % 8)) & 1u; }

void dequantize(const BlockQ4_0& block, float* out) {
  const float d = f16_to_f32(block.d);
  for (uint32_t i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>((block.qs[i] & 15) - 8);
    out[i + 16] = d * static_cast<float>((block.qs[i] >> 4) - 8);
  }
}

void dequantize(const BlockQ4_1& block, float* out) {
  const float d = f16_to_f32(block.d), m = f16_to_f32(block.m);
  for (uint32_t i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>(block.qs[i] & 15) + m;
    out[i + 16] = d * static_cast<float>(block.qs[i] >> 4) + m;
  }
}

void dequantize(const BlockQ5_0& block, float* out) {
  const float d = f16_to_f32(block.d);
  for (uint32_t i = 0; i < 32; ++i) {
    const uint32_t low = i < 16 ? block.qs[i] & 15u : block.qs[i - 16] >> 4;
    out[i] = d * static_cast<float>(static_cast<int>(low | fifth_bit(block.qh, i) << 4) - 16);
  }
}

void dequantize(const BlockQ5_1& block, float* out) {
  const float d = f16_to_f32(block.d), m = f16_to_f32(block.m);
  for (uint32_t i = 0; i < 32; ++i) {
    const uint32_t low = i < 16 ? block.qs[i] & 15u : block.qs[i - 16] >> 4;
    out[i] = d * static_cast<float>(low | fifth_bit(block.qh, i) << 4) + m;
  }
}

void dequantize(const BlockQ8_0& block, float* out) {
  const float d = f16_to_f32(block.d);
  for (uint32_t i = 0; i < 32; ++i) out[i] = d * static_cast<float>(block.qs[i]);
}

void dequantize(const BlockQ4_K& block, float* out) {
  const float d = f16_to_f32(block.d), dmin = f16_to_f32(block.dmin);
  for (uint32_t group = 0; group < 8; ++group) {
    const SixBitPair pair = six_bit_pair(block.scales, group);
    const float scale = d * static_cast<float>(pair.scale), minimum = dmin * static_cast<float>(pair.minimum);
    const uint8_t* quants = block.qs + 32 * (group / 2);
    for (uint32_t i = 0; i < 32; ++i) {
      out[32 * group + i] = scale * static_cast<float>((quants[i] >> (4 * (group % 2))) & 15) - minimum;
    }
  }
}

void dequantize(const BlockQ5_K& block, float* out) {
  const float d = f16_to_f32(block.d), dmin = f16_to_f32(block.dmin);
  for (uint32_t group = 0; group < 8; ++group) {
    const SixBitPair pair = six_bit_pair(block.scales, group);
    const float scale = d * static_cast<float>(pair.scale), minimum = dmin * static_cast<float>(pair.minimum);
    const uint8_t* quants = block.qs + 32 * (group / 2);
    for (uint32_t i = 0; i < 32; ++i) {
      const uint32_t low = (quants[i] >> (4 * (group % 2))) & 15u, high = (block.qh[i] >> group) & 1u;
      out[32 * group + i] = scale * static_cast<float>(low | high << 4) - minimum;
    }
  }
}

void dequantize(const BlockQ6_K& block, float* out) {
  const float d = f16_to_f32(block.d);
  for (uint32_t i = 0; i < 256; ++i) {
    const uint32_t half = i / 128, row = (i % 128) / 32, lane = i % 32;  // 32 elements share a byte row of ql and of qh
    const uint32_t low = (block.ql[64 * half + 32 * (row % 2) + lane] >> (4 * (row / 2))) & 15u;
    const uint32_t high = (block.qh[32 * half + lane] >> (2 * row)) & 3u;
    out[i] = d * static_cast<float>(block.scales[i / 16]) * static_cast<float>(static_cast<int>(low | high << 4) - 32);
  }
}

template <class Block>
void dequantize_blocks(const std::byte* source, size_t elements, size_t block_elements, float* out) {
  for (size_t i = 0; i < elements / block_elements; ++i) dequantize(load_block<Block>(source, i), out + i * block_elements);
}

}  // namespace

WeightFormatTraits weight_format_traits(WeightFormat format) {
  switch (format) {
    case WeightFormat::kF32: return {1, 4};
    case WeightFormat::kF16: return {1, 2};
    case WeightFormat::kBF16: return {1, 2};
    case WeightFormat::kQ8_0: return {32, sizeof(BlockQ8_0)};
    case WeightFormat::kQ4_0: return {32, sizeof(BlockQ4_0)};
    case WeightFormat::kQ4_1: return {32, sizeof(BlockQ4_1)};
    case WeightFormat::kQ5_0: return {32, sizeof(BlockQ5_0)};
    case WeightFormat::kQ5_1: return {32, sizeof(BlockQ5_1)};
    case WeightFormat::kQ4_K: return {256, sizeof(BlockQ4_K)};
    case WeightFormat::kQ5_K: return {256, sizeof(BlockQ5_K)};
    case WeightFormat::kQ6_K: return {256, sizeof(BlockQ6_K)};
  }
  return {1, 4};
}

void dequantize_row(WeightFormat format, const std::byte* source, size_t elements, float* out) {
  switch (format) {
    case WeightFormat::kF32: std::memcpy(out, source, elements * sizeof(float)); return;
    case WeightFormat::kF16:
      for (size_t i = 0; i < elements; ++i) out[i] = f16_to_f32(load_block<uint16_t>(source, i));
      return;
    case WeightFormat::kBF16:
      for (size_t i = 0; i < elements; ++i) out[i] = bf16_to_f32(load_block<uint16_t>(source, i));
      return;
    case WeightFormat::kQ8_0: return dequantize_blocks<BlockQ8_0>(source, elements, 32, out);
    case WeightFormat::kQ4_0: return dequantize_blocks<BlockQ4_0>(source, elements, 32, out);
    case WeightFormat::kQ4_1: return dequantize_blocks<BlockQ4_1>(source, elements, 32, out);
    case WeightFormat::kQ5_0: return dequantize_blocks<BlockQ5_0>(source, elements, 32, out);
    case WeightFormat::kQ5_1: return dequantize_blocks<BlockQ5_1>(source, elements, 32, out);
    case WeightFormat::kQ4_K: return dequantize_blocks<BlockQ4_K>(source, elements, 256, out);
    case WeightFormat::kQ5_K: return dequantize_blocks<BlockQ5_K>(source, elements, 256, out);
    case WeightFormat::kQ6_K: return dequantize_blocks<BlockQ6_K>(source, elements, 256, out);
  }
}

}  // namespace accelerate
