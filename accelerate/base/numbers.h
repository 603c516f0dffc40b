// Number formats narrower than float, and the block layouts of GGUF's quantized types.
//
// Source of the layouts: the GGUF/ggml file format as published with the `gguf` Python package. Little endian; every
// struct is exactly the bytes in the file (static_assert). Plain data, no ownership.
#pragma once

#include <bit>
#include <cstdint>

namespace accelerate {

/// bfloat16 -> float, exact.
inline float bf16_to_f32(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

/// float -> bfloat16, round to nearest even; NaN stays a (quiet) NaN.
inline uint16_t f32_to_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

/// IEEE half -> float, exact (subnormals, infinities and NaN included).
inline float f16_to_f32(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t exponent = (half >> 10) & 0x1fu;
  const uint32_t mantissa = half & 0x3ffu;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
  }
  return std::bit_cast<float>(sign | ((exponent + 112u) << 23) | (mantissa << 13));
}

/// float -> IEEE half, round to nearest even; overflow gives infinity.
uint16_t f32_to_f16(float value);

inline constexpr int kQuantBlock = 32;    // elements of a Q4_0 .. Q8_0 block
inline constexpr int kSuperBlock = 256;   // elements of a K-quant super-block

struct BlockQ4_0 { uint16_t d; uint8_t qs[16]; };                       // d * (q - 8); low nibbles = first 16 elements
struct BlockQ4_1 { uint16_t d, m; uint8_t qs[16]; };                    // d * q + m
struct BlockQ5_0 { uint16_t d; uint8_t qh[4]; uint8_t qs[16]; };        // d * (q - 16); qh = fifth bits
struct BlockQ5_1 { uint16_t d, m; uint8_t qh[4]; uint8_t qs[16]; };     // d * q + m
struct BlockQ8_0 { uint16_t d; int8_t qs[32]; };                        // d * q
struct BlockQ4_K { uint16_t d, dmin; uint8_t scales[12]; uint8_t qs[128]; };               // 8 groups of 32, 6-bit scale and min
struct BlockQ5_K { uint16_t d, dmin; uint8_t scales[12]; uint8_t qh[32]; uint8_t qs[128]; };
struct BlockQ6_K { uint8_t ql[128]; uint8_t qh[64]; int8_t scales[16]; uint16_t d; };      // 16 groups of 16
static_assert(sizeof(BlockQ4_0) == 18 && sizeof(BlockQ4_1) == 20 && sizeof(BlockQ5_0) == 22 && sizeof(BlockQ5_1) == 24);
static_assert(sizeof(BlockQ8_0) == 34 && sizeof(BlockQ4_K) == 144 && sizeof(BlockQ5_K) == 176 && sizeof(BlockQ6_K) == 210);

}  // namespace accelerate
