// GGUF - the single-file model format: typed metadata, then tensor descriptions, then aligned tensor data.
//
//   ACC_TRY(GgufFile gguf, parse_gguf(file->bytes()));
//   ACC_TRY(std::optional<uint64_t> layers, gguf.integer("llama.block_count"));
//   for (const TensorView& tensor : gguf.tensors) use(tensor);
//
// Versions 2 and 3, little endian. Everything is a view into the bytes given, which must outlive the GgufFile. Every
// count, length and offset is checked against what is left of the file before it is used or allocated for, so memory
// stays within a small multiple of the file and parsing is one pass. Keys and tensor names are printable ASCII (refused
// otherwise), so they can be shown; texts and tokens are whatever bytes the file holds. Source: the format's published
// specification (docs/gguf.md of the ggml project). Plain data, thread-safe once parsed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "accelerate/base/result.h"
#include "accelerate/core/tensor.h"

namespace accelerate {

inline constexpr uint64_t kGgufMetadataMax = 1 << 16;     // real files have under 100 entries
inline constexpr uint64_t kGgufTensorsMax = 1 << 18;      // the largest known model has under 4000
inline constexpr uint64_t kGgufNameBytesMax = 65535;      // the specification's limit for keys
inline constexpr uint32_t kGgufRankMax = 4;               // the specification's limit
inline constexpr int kGgufArrayDepthMax = 4;              // nested arrays; real files have none
inline constexpr uint64_t kGgufAlignmentMax = 1 << 20;    // default 32; page size is the largest useful one

/// Types of metadata values, numbered as in the file.
enum class GgufType : uint32_t {
  kU8 = 0, kI8 = 1, kU16 = 2, kI16 = 3, kU32 = 4, kI32 = 5, kF32 = 6, kBool = 7, kString = 8, kArray = 9, kU64 = 10, kI64 = 11, kF64 = 12,
};

struct GgufArray {
  GgufType element = GgufType::kU8;
  uint64_t count = 0;
  std::span<const std::byte> bytes;        // the elements as in the file, unaligned
  std::vector<std::string_view> strings;   // for kString only

  /// Element `index` of an array of numbers or bools, widened. Nothing for strings, nested arrays and out of range.
  std::optional<double> number(uint64_t index) const;
};

/// Integers are widened, keeping their sign.
using GgufValue = std::variant<uint64_t, int64_t, double, bool, std::string_view, GgufArray>;

/// For people: "42", "true", "text", "[1, 2, 3, ... 97 more]"; long texts are cut.
std::string to_string(const GgufValue& value);

/// A key and its value exactly as in the file, for those who write it again.
struct GgufEntry {
  std::string_view key;
  GgufType type = GgufType::kU8;
  std::span<const std::byte> bytes;
};

struct GgufFile {
  uint32_t version = 0;
  uint64_t alignment = 32;
  uint64_t data_offset = 0;  // where tensor data begins
  std::map<std::string, GgufValue, std::less<>> metadata;
  std::vector<GgufEntry> entries;   // the same, as they are in the file and in its order
  std::vector<TensorView> tensors;  // file order; shapes outermost first

  const GgufValue* find(std::string_view key) const;
  /// Nothing when the key is absent; invalid_argument naming the key when the value has another type (or is negative).
  Result<std::optional<uint64_t>> integer(std::string_view key) const;
  Result<std::optional<double>> number(std::string_view key) const;
  Result<std::optional<bool>> boolean(std::string_view key) const;
  Result<std::optional<std::string_view>> text(std::string_view key) const;
  Result<const GgufArray*> array(std::string_view key) const;  // null when absent
};

/// data_loss for truncated or contradictory files; unimplemented for other versions, big-endian files and tensor types
/// that are not supported (naming tensor and type); invalid_argument when it is no GGUF at all.
Result<GgufFile> parse_gguf(std::span<const std::byte> bytes);

/// The number a GGUF file has for tensors of `type`; nothing for types it does not know (U8, BOOL).
std::optional<uint32_t> gguf_tensor_type(DType type);

}  // namespace accelerate
