// Dequantization of GGUF rows: the meaning of every weight format, and the oracle of the packed forms.
//
//   dequantize_row(WeightFormat::kQ4_K, bytes, 576, floats);
//
// Bit-exact to the `gguf` Python package (goldens in tests/data/dequant): products and sums are rounded one by one to float,
// in its order. Pure; any thread. The block layouts are in base/numbers.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "accelerate/kernels/matmul/matmul.h"

namespace accelerate {

struct WeightFormatTraits {
  uint32_t block_elements;  // elements that share one block; 1 for plain formats
  uint32_t block_bytes;
};
WeightFormatTraits weight_format_traits(WeightFormat format);

/// `elements` values from `source` (no alignment needed); a multiple of the format's block.
void dequantize_row(WeightFormat format, const std::byte* source, size_t elements, float* out);

/// The 6-bit scale and minimum of group `group` (0..7) in a Q4_K or Q5_K super-block.
struct SixBitPair {
  uint8_t scale, minimum;
};
inline SixBitPair six_bit_pair(const uint8_t* scales, uint32_t group) {
  if (group < 4) return {static_cast<uint8_t>(scales[group] & 63), static_cast<uint8_t>(scales[group + 4] & 63)};
  return {static_cast<uint8_t>((scales[group + 4] & 15) | ((scales[group - 4] >> 6) << 4)),
          static_cast<uint8_t>((scales[group + 4] >> 4) | ((scales[group] >> 6) << 4))};
}

}  // namespace accelerate
