// Safetensors - a JSON header that describes tensors, then their bytes without gaps.
//
//   ACC_TRY(SafetensorsFile file, parse_safetensors(mapped->bytes()));
//   for (const TensorView& tensor : file.tensors) use(tensor);
//
// Everything is a view into the bytes given, which must outlive it. The header is read event by event: no tree of it is
// built, so memory stays within a small multiple of its size. Rules (length cap, no gaps, no overlap, whole file
// described) are those the format's documentation states; U16, U32, U64 and 8-bit floats are refused by name.
// Plain data, thread-safe once parsed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "accelerate/base/result.h"
#include "accelerate/core/tensor.h"

namespace accelerate {

inline constexpr uint64_t kSafetensorsHeaderBytesMax = 100'000'000;  // the format's own limit
inline constexpr size_t kSafetensorsTensorsMax = size_t{1} << 18;     // the largest known model has under 100 000
inline constexpr size_t kSafetensorsShardsMax = 1024;

struct SafetensorsFile {
  std::vector<TensorView> tensors;              // in the order of their bytes
  std::map<std::string, std::string> metadata;  // "__metadata__"
};

/// data_loss for truncated or contradictory files; unimplemented for tensor types without a DType and for tensors that
/// do not start at a multiple of their element's size (naming the tensor).
Result<SafetensorsFile> parse_safetensors(std::span<const std::byte> bytes);

/// Tensor name -> file name, from the text of model.safetensors.index.json. File names are plain names in the same
/// directory (no '/'), at most kSafetensorsShardsMax different ones.
Result<std::map<std::string, std::string>> parse_safetensors_index(std::string_view text);

}  // namespace accelerate
