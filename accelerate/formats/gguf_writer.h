// GgufFileWriter - writes a GGUF v3 file, tensor after tensor, in little memory; whole or not at all.
//
//   GgufMetadata metadata;
//   metadata.text("general.architecture", "llama");
//   ACC_TRY(auto file, GgufFileWriter::create("out.gguf", metadata, {{"a.weight", DType::kQ4_0, {64, 32}}}, {.replace = false}));
//   ACC_TRY_VOID(file->write(blocks));     // all tensors' bytes in order, in pieces of any size
//   ACC_TRY_VOID(file->finish());          // synced and renamed: only now there is an out.gguf
//
// Bytes go to a temporary file beside the path, whose whole size is claimed first: a full disk is seen at once and leaves
// nothing. A writer that is not finished removes it. Not thread-safe.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "accelerate/base/result.h"
#include "accelerate/core/dtype.h"
#include "accelerate/formats/gguf.h"

namespace accelerate {

/// Keys with their values as bytes, in the order they were first set. Setting a key again replaces its value.
class GgufMetadata {
 public:
  void set(std::string_view key, GgufType type, std::span<const std::byte> bytes);
  void text(std::string_view key, std::string_view value);
  void integer(std::string_view key, uint32_t value);
  /// Another file's entry, unchanged.
  void copy(const GgufEntry& entry) { set(entry.key, entry.type, entry.bytes); }

 private:
  friend class GgufFileWriter;
  struct Entry {
    std::string key;
    GgufType type;
    std::vector<std::byte> bytes;
  };
  std::vector<Entry> entries_;
};

struct GgufTensorInfo {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<uint64_t> shape;  // outermost first
};

class GgufFileWriter {
 public:
  struct Options {
    bool replace = false;    // an existing file; else it is already_exists, now and at finish()
    uint64_t alignment = 32;  // a power of two; one other than 32 becomes general.alignment
  };
  /// Also invalid_argument for what no reader would take back (names, ranks, types, sizes that are no whole blocks), and
  /// errno's errors naming the path: resource_exhausted where the disk has too little room.
  static Result<std::unique_ptr<GgufFileWriter>> create(const std::filesystem::path& path, GgufMetadata metadata,
                                                        std::vector<GgufTensorInfo> tensors, const Options& options);
  ~GgufFileWriter();
  GgufFileWriter(const GgufFileWriter&) = delete;
  GgufFileWriter& operator=(const GgufFileWriter&) = delete;

  /// The next bytes of tensor data; padding between tensors is the writer's business.
  Result<void> write(std::span<const std::byte> bytes);
  /// All tensors are complete (CHECKed): the file appears under its name.
  Result<void> finish();
  /// Of the whole file.
  uint64_t size_bytes() const { return size_; }

 private:
  GgufFileWriter() = default;
  Result<void> open(const std::string& header);
  Result<void> put(std::span<const std::byte> bytes);

  std::filesystem::path path_, temporary_;
  int descriptor_ = -1;
  bool replace_ = false;
  std::vector<uint64_t> bytes_of_;  // of each tensor
  size_t tensor_ = 0;               // being written
  uint64_t written_ = 0;            // of it
  uint64_t alignment_ = 32, size_ = 0;
};

}  // namespace accelerate
