// Portable reading of packed blocks: one value, and one block as floats. The oracle of the vector forms.
//
// Values equal dequantize_row() bit for bit. For .cc files compiled for the baseline instruction set only: these are plain
// inline functions and must not be emitted with wider instructions.
#pragma once

#include <cstring>

#include "accelerate/base/numbers.h"
#include "accelerate/kernels/matmul/layout.h"

namespace accelerate {

struct PackedBlock {
  const std::byte* header;
  const std::byte* block;

  template <class T>
  T read(const std::byte* at, uint32_t index) const {
    T value;
    std::memcpy(&value, at + size_t{index} * sizeof(T), sizeof(T));
    return value;
  }
  float half(const std::byte* at, uint32_t index) const { return f16_to_f32(read<uint16_t>(at, index)); }
};

/// Calls body.template operator()<F>() for the format known at run time.
template <class Body>
void with_format(WeightFormat format, const Body& body) {
  switch (format) {
    case WeightFormat::kF32: return body.template operator()<WeightFormat::kF32>();
    case WeightFormat::kF16: return body.template operator()<WeightFormat::kF16>();
    case WeightFormat::kBF16: return body.template operator()<WeightFormat::kBF16>();
    case WeightFormat::kQ8_0: return body.template operator()<WeightFormat::kQ8_0>();
    case WeightFormat::kQ4_0: return body.template operator()<WeightFormat::kQ4_0>();
    case WeightFormat::kQ4_1: return body.template operator()<WeightFormat::kQ4_1>();
    case WeightFormat::kQ5_0: return body.template operator()<WeightFormat::kQ5_0>();
    case WeightFormat::kQ5_1: return body.template operator()<WeightFormat::kQ5_1>();
    case WeightFormat::kQ4_K: return body.template operator()<WeightFormat::kQ4_K>();
    case WeightFormat::kQ5_K: return body.template operator()<WeightFormat::kQ5_K>();
    case WeightFormat::kQ6_K: return body.template operator()<WeightFormat::kQ6_K>();
  }
}

/// Element k (0..31) of `column` (0..31).
template <WeightFormat F>
float packed_value(const PackedBlock& from, uint32_t k, uint32_t column) {
  constexpr BlockShape kShape = block_shape(F);
  const std::byte* scales = from.block + kShape.body_bytes;
  if constexpr (F == WeightFormat::kF32) return from.read<float>(from.block, 32 * k + column);
  if constexpr (F == WeightFormat::kF16) return from.half(from.block, 32 * k + column);
  if constexpr (F == WeightFormat::kBF16) return bf16_to_f32(from.read<uint16_t>(from.block, 2 * (32 * (k / 2) + column) + k % 2));
  float quant = 0;
  if constexpr (kShape.body == BlockBody::kNibble) {
    quant = static_cast<float>((from.read<uint32_t>(from.block, 32 * (k / 8) + column) >> nibble_shift(k)) & 15u);
  } else if constexpr (kShape.body == BlockBody::kByte) {
    quant = static_cast<float>(from.read<int8_t>(from.block, 4 * (32 * (k / 4) + column) + k % 4));
  }
  if constexpr (F == WeightFormat::kQ4_0) return from.half(scales, column) * (quant - 8.0f);
  if constexpr (F == WeightFormat::kQ5_0 || F == WeightFormat::kQ8_0) return from.half(scales, column) * quant;
  if constexpr (F == WeightFormat::kQ4_1 || F == WeightFormat::kQ5_1) {
    return from.half(scales, column) * quant + from.half(scales, 32 + column);
  }
  if constexpr (F == WeightFormat::kQ4_K || F == WeightFormat::kQ5_K) {
    const float scale = from.half(from.header, column) * static_cast<float>(from.read<uint8_t>(scales, column));
    const float minimum = from.half(from.header, 32 + column) * static_cast<float>(from.read<uint8_t>(scales, 32 + column));
    return scale * quant - minimum;
  }
  if constexpr (F == WeightFormat::kQ6_K) {
    return from.half(from.header, column) * static_cast<float>(from.read<int8_t>(scales, 32 * (k / 16) + column)) * quant;
  }
  return quant;
}

/// A whole block: out[k][column].
template <WeightFormat F>
void expand_block(const PackedBlock& from, float (&out)[kBlockDepth][kBlockColumns]) {
  for (uint32_t k = 0; k < kBlockDepth; ++k) {
    for (uint32_t column = 0; column < kBlockColumns; ++column) out[k][column] = packed_value<F>(from, k, column);
  }
}

}  // namespace accelerate
