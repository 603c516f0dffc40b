// Quantization of rows of floats to GGUF blocks: the inverse of dequantize.h.
//
//   if (const auto bad = quantize_row(WeightFormat::kQ4_K, floats, 512, bytes)) refuse(*bad);
//
// F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0 and Q5_1 give the bytes that the `gguf` Python package (0.19) gives, also for zeros,
// subnormal numbers, ties and overflow (goldens in tests/data/quantize). That package does not quantize K types; theirs are
// found here by a least-squares search (quantize_k.cc): smaller error than any of the 32-element types of the same bits.
// Pure; any thread. The block layouts are in base/numbers.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "accelerate/base/numbers.h"
#include "accelerate/kernels/matmul/matmul.h"

namespace accelerate {

/// `elements` (a multiple of the format's block) values of `source` -> blocks at `out` (no alignment needed).
/// Returns the index of the first value that the format can not hold: NaN or infinite (then nothing is written), or so
/// large that a 16-bit scale overflows (then the blocks would give infinities). Nothing = all is well.
std::optional<size_t> quantize_row(WeightFormat format, const float* source, size_t elements, std::byte* out);

/// One row from one format to another: dequantized into `scratch` (`elements` floats), then quantized.
std::optional<size_t> requantize_row(WeightFormat from, const std::byte* source, WeightFormat to, size_t elements, float* scratch,
                                     std::byte* out);

// One super-block each, 256 finite floats. A scale that overflows is infinite in the block.
void quantize_block(const float* values, BlockQ4_K& block);
void quantize_block(const float* values, BlockQ5_K& block);
void quantize_block(const float* values, BlockQ6_K& block);

}  // namespace accelerate
