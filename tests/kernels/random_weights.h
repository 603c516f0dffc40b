// Random weights of every format, inputs, and the tables this machine can run. Test support only.
#pragma once

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "accelerate/base/numbers.h"
#include "accelerate/kernels/kernel_table.h"
#include "accelerate/kernels/quantize/dequantize.h"

namespace accelerate::test {

struct FormatName {
  const char* name;
  WeightFormat format;
};
inline constexpr FormatName kFormats[] = {
    {"F32", WeightFormat::kF32},   {"F16", WeightFormat::kF16},   {"BF16", WeightFormat::kBF16}, {"Q8_0", WeightFormat::kQ8_0},
    {"Q4_0", WeightFormat::kQ4_0}, {"Q4_1", WeightFormat::kQ4_1}, {"Q5_0", WeightFormat::kQ5_0}, {"Q5_1", WeightFormat::kQ5_1},
    {"Q4_K", WeightFormat::kQ4_K}, {"Q5_K", WeightFormat::kQ5_K}, {"Q6_K", WeightFormat::kQ6_K}};

inline std::vector<float> random_floats(size_t count, uint32_t seed, float scale = 1.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.1f, 1.0f);  // a mean away from 0: offsets must cancel, not average out
  std::vector<float> out(count);
  for (float& x : out) x = normal(random) * scale;
  return out;
}

/// Bytes of `rows` rows of `k` elements: random bits for the quants, sane f16 values for the scales.
inline std::vector<std::byte> random_weights(WeightFormat format, size_t rows, size_t k, uint32_t seed) {
  const WeightFormatTraits traits = weight_format_traits(format);
  const size_t blocks = rows * k / traits.block_elements;
  std::vector<std::byte> out(blocks * traits.block_bytes);
  std::mt19937 random(seed);
  for (std::byte& byte : out) byte = static_cast<std::byte>(random());
  std::uniform_real_distribution<float> small(0.001f, 0.02f);
  const auto put_half = [&](size_t at, float value) {
    const uint16_t bits = f32_to_f16(value);
    std::memcpy(out.data() + at, &bits, 2);
  };
  for (size_t block = 0; block < blocks; ++block) {
    const size_t at = block * traits.block_bytes;
    const float sign = random() % 2 ? 1.0f : -1.0f;
    switch (format) {
      case WeightFormat::kF32: {
        const float value = sign * small(random);
        std::memcpy(out.data() + at, &value, 4);
        break;
      }
      case WeightFormat::kF16: put_half(at, sign * small(random)); break;
      case WeightFormat::kBF16: {
        const uint16_t bits = f32_to_bf16(sign * small(random));
        std::memcpy(out.data() + at, &bits, 2);
        break;
      }
      case WeightFormat::kQ6_K: put_half(at + 208, sign * small(random) / 64); break;
      case WeightFormat::kQ4_1: case WeightFormat::kQ5_1: case WeightFormat::kQ4_K: case WeightFormat::kQ5_K:
        put_half(at, small(random));
        put_half(at + 2, (traits.block_elements == 32 ? -8.0f : 1.0f) * small(random));
        break;
      default: put_half(at, sign * small(random)); break;
    }
  }
  return out;
}

}  // namespace accelerate::test
