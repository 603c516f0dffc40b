#include "accelerate/kernels/quantize/quantize.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "accelerate/kernels/quantize/dequantize.h"

namespace accelerate {
namespace {

// All sums and products here are rounded one by one to float, in the order of the `gguf` package; the build contracts none.

constexpr uint16_t kF16Infinity = 0x7c00;

bool overflown(uint16_t half) { return (half & kF16Infinity) == kF16Infinity; }

/// 1 / d, and 0 for a block of zeros. Infinite where d is so small that its scale is 0 as a half: code() makes 0 of what follows.
float inverse(float d) { return d == 0.0f ? 0.0f : 1.0f / d; }

/// The whole part of a code that is not negative; NaN and infinity, which only blocks with scale 0 or infinity give, are 0.
uint8_t code(float value, uint8_t most) {
  if (!std::isfinite(value)) return 0;
  return static_cast<uint8_t>(std::clamp(value, 0.0f, static_cast<float>(most)));
}

/// The first of the largest magnitudes, with its sign.
float extreme(const float* x) {
  float found = x[0];
  for (int i = 1; i < kQuantBlock; ++i) {
    if (std::fabs(x[i]) > std::fabs(found)) found = x[i];
  }
  return found;
}

/// Low nibbles: the first 16 codes; high nibbles: the other 16.
void put_nibbles(const uint8_t (&codes)[kQuantBlock], uint8_t (&qs)[16]) {
  for (int i = 0; i < 16; ++i) qs[i] = static_cast<uint8_t>((codes[i] & 15) | (codes[i + 16] << 4));
}

void put_fifth_bits(const uint8_t (&codes)[kQuantBlock], uint8_t (&qh)[4]) {
  std::memset(qh, 0, sizeof qh);
  for (int i = 0; i < kQuantBlock; ++i) qh[i / 8] = static_cast<uint8_t>(qh[i / 8] | ((codes[i] >> 4) & 1) << (i % 8));
}

/// Codes about zero: the extreme becomes -half.
float symmetric_codes(const float* x, int half, uint8_t (&codes)[kQuantBlock]) {
  const float d = extreme(x) / static_cast<float>(-half), id = inverse(d);
  for (int i = 0; i < kQuantBlock; ++i) {
    codes[i] = code(x[i] * id + (static_cast<float>(half) + 0.5f), static_cast<uint8_t>(2 * half - 1));
  }
  return d;
}

struct Affine {
  float d, m;
};
/// Codes from the smallest value, 0, to the largest, `most`.
Affine affine_codes(const float* x, uint8_t most, uint8_t (&codes)[kQuantBlock]) {
  const auto [low, high] = std::minmax_element(x, x + kQuantBlock);
  const float d = (*high - *low) / static_cast<float>(most), id = inverse(d);
  for (int i = 0; i < kQuantBlock; ++i) codes[i] = code((x[i] - *low) * id + 0.5f, most);
  return {d, *low};
}

void quantize_block(const float* x, BlockQ8_0& block) {
  const float d = std::fabs(extreme(x)) / 127.0f, id = inverse(d);
  for (int i = 0; i < kQuantBlock; ++i) {
    const float scaled = x[i] * id;  // halves away from zero, as std::round has it
    block.qs[i] = std::isfinite(scaled) ? static_cast<int8_t>(std::clamp(std::round(scaled), -127.0f, 127.0f)) : int8_t{0};
  }
  block.d = f32_to_f16(d);
}

void quantize_block(const float* x, BlockQ4_0& block) {
  uint8_t codes[kQuantBlock];
  block.d = f32_to_f16(symmetric_codes(x, 8, codes));
  put_nibbles(codes, block.qs);
}

void quantize_block(const float* x, BlockQ4_1& block) {
  uint8_t codes[kQuantBlock];
  const Affine affine = affine_codes(x, 15, codes);
  block.d = f32_to_f16(affine.d);
  block.m = f32_to_f16(affine.m);
  put_nibbles(codes, block.qs);
}

void quantize_block(const float* x, BlockQ5_0& block) {
  uint8_t codes[kQuantBlock];
  block.d = f32_to_f16(symmetric_codes(x, 16, codes));
  put_fifth_bits(codes, block.qh);
  put_nibbles(codes, block.qs);
}

void quantize_block(const float* x, BlockQ5_1& block) {
  uint8_t codes[kQuantBlock];
  const Affine affine = affine_codes(x, 31, codes);
  block.d = f32_to_f16(affine.d);
  block.m = f32_to_f16(affine.m);
  put_fifth_bits(codes, block.qh);
  put_nibbles(codes, block.qs);
}

template <class Block>
bool scales_overflow(const Block& block) {
  if constexpr (requires { block.dmin; }) return overflown(block.d) || overflown(block.dmin);
  else if constexpr (requires { block.m; }) return overflown(block.d) || overflown(block.m);
  else return overflown(block.d);
}

template <class Block>
std::optional<size_t> quantize_blocks(const float* source, size_t elements, size_t block_elements, std::byte* out) {
  std::optional<size_t> first_bad;
  for (size_t i = 0; i < elements / block_elements; ++i) {
    Block block;
    const float* const values = source + i * block_elements;
    quantize_block(values, block);
    std::memcpy(out + i * sizeof(Block), &block, sizeof(Block));
    if (!first_bad && scales_overflow(block)) {
      const float* const largest = std::max_element(values, values + block_elements, [](float a, float b) { return std::fabs(a) < std::fabs(b); });
      first_bad = static_cast<size_t>(largest - source);
    }
  }
  return first_bad;
}

std::optional<size_t> to_half(const float* source, size_t elements, std::byte* out) {
  std::optional<size_t> first_bad;
  for (size_t i = 0; i < elements; ++i) {
    const uint16_t half = f32_to_f16(source[i]);
    if (!first_bad && overflown(half)) first_bad = i;
    std::memcpy(out + 2 * i, &half, 2);
  }
  return first_bad;
}

std::optional<size_t> to_bfloat(const float* source, size_t elements, std::byte* out) {
  std::optional<size_t> first_bad;
  for (size_t i = 0; i < elements; ++i) {
    const uint16_t bits = f32_to_bf16(source[i]);
    if (!first_bad && !std::isfinite(bf16_to_f32(bits))) first_bad = i;  // within half a place of the largest float
    std::memcpy(out + 2 * i, &bits, 2);
  }
  return first_bad;
}

}  // namespace

std::optional<size_t> quantize_row(WeightFormat format, const float* source, size_t elements, std::byte* out) {
  const float* const wild = std::find_if(source, source + elements, [](float value) { return !std::isfinite(value); });
  if (wild != source + elements) return static_cast<size_t>(wild - source);
  switch (format) {
    case WeightFormat::kF32: std::memcpy(out, source, elements * sizeof(float)); return std::nullopt;
    case WeightFormat::kF16: return to_half(source, elements, out);
    case WeightFormat::kBF16: return to_bfloat(source, elements, out);
    case WeightFormat::kQ8_0: return quantize_blocks<BlockQ8_0>(source, elements, kQuantBlock, out);
    case WeightFormat::kQ4_0: return quantize_blocks<BlockQ4_0>(source, elements, kQuantBlock, out);
    case WeightFormat::kQ4_1: return quantize_blocks<BlockQ4_1>(source, elements, kQuantBlock, out);
    case WeightFormat::kQ5_0: return quantize_blocks<BlockQ5_0>(source, elements, kQuantBlock, out);
    case WeightFormat::kQ5_1: return quantize_blocks<BlockQ5_1>(source, elements, kQuantBlock, out);
    case WeightFormat::kQ4_K: return quantize_blocks<BlockQ4_K>(source, elements, kSuperBlock, out);
    case WeightFormat::kQ5_K: return quantize_blocks<BlockQ5_K>(source, elements, kSuperBlock, out);
    case WeightFormat::kQ6_K: return quantize_blocks<BlockQ6_K>(source, elements, kSuperBlock, out);
  }
  return std::nullopt;
}

std::optional<size_t> requantize_row(WeightFormat from, const std::byte* source, WeightFormat to, size_t elements, float* scratch,
                                     std::byte* out) {
  dequantize_row(from, source, elements, scratch);
  return quantize_row(to, scratch, elements, out);
}

}  // namespace accelerate
