// DType - the number formats tensors come in, GGUF's quantized blocks included.
//
//   dtype_traits(DType::kQ4_1).block_elements == 32
//   ACC_TRY(size_t bytes, byte_size(DType::kQ4_1, elements));
//
// Plain data, thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "accelerate/base/result.h"

namespace accelerate {

enum class DType : uint8_t {
  kF32, kF16, kBF16,
  kQ8_0, kQ4_0, kQ4_1, kQ5_0, kQ5_1, kQ4_K, kQ5_K, kQ6_K,
  kI8, kU8, kI16, kI32, kI64, kF64, kBool,
};
inline constexpr int kDTypeCount = 18;

struct DTypeTraits {
  std::string_view name;    // "F32", "Q4_K": GGUF's and safetensors' spelling
  uint32_t block_elements;  // elements that share one block; 1 for plain types
  uint32_t block_bytes;
};
const DTypeTraits& dtype_traits(DType type);

/// Bytes of `elements` values; data_loss if they are no whole number of blocks or overflow size_t.
Result<size_t> byte_size(DType type, uint64_t elements);

/// By name, any case ("q4_0", "bf16"); empty if unknown.
std::optional<DType> dtype_from_name(std::string_view name);

}  // namespace accelerate
