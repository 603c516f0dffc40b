// Files: read-only maps, whole reads with a limit, atomic writes. Every failure names the path and the reason.
//
//   ACC_TRY(std::shared_ptr<const MappedFile> file, MappedFile::open(path));
//   use(file->bytes());
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "accelerate/base/result.h"

namespace accelerate {

/// A whole file mapped read-only. Immutable and thread-safe; unmapped when the last owner goes. As with every map, the
/// process dies of SIGBUS if somebody truncates the file in place meanwhile; replacing it by rename is harmless.
class MappedFile {
 public:
  /// not_found, permission_denied, or invalid_argument for directories and devices. An empty file maps to no bytes.
  static Result<std::shared_ptr<const MappedFile>> open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return path_; }
  /// Tells the kernel that the pages inside `part` (of bytes()) are not needed soon: they leave our resident set and
  /// come back from the file when touched. Called behind a repacked tensor so that a model is not resident twice.
  void release(std::span<const std::byte> part) const;

 private:
  MappedFile() = default;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  std::filesystem::path path_;
};

/// Whole file as text; resource_exhausted beyond `bytes_max`.
Result<std::string> read_file(const std::filesystem::path& path, size_t bytes_max);

/// Writes beside `path` and renames over it: readers see the old file or the new one, never half. Creates the folder;
/// keeps the mode of a file it replaces (a new one gets 0644).
/// resource_exhausted on a full disk, with nothing left behind.
Result<void> write_file_atomically(const std::filesystem::path& path, std::string_view content);

/// Maps errno to an Error: "[where] action 'path': reason".
Error errno_error(int error_number, std::string_view where, std::string_view action, const std::filesystem::path& path);

}  // namespace accelerate
