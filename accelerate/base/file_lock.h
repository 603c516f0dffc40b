// FileLock - one process at a time: an exclusive flock(2) on a file, which is created where it is missing and stays. Or a
// shared one, that many hold and nobody has exclusively meanwhile.
//
//   ACC_TRY(const FileLock lock, FileLock::take(path, "pull", [&] { return progress.update("waiting for another pull", 0, 0, "bytes"); }));
//
// Let go on destruction, and by the system when the process dies. Movable. Between threads of one process, too: each take()
// opens the file anew.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string_view>

#include "accelerate/base/result.h"

namespace accelerate {

class FileLock {
 public:
  /// `keep_waiting` is asked about every 100 ms while somebody else has it (empty = wait for ever); false = cancelled. Errors
  /// name the path and begin with [where].
  static Result<FileLock> take(const std::filesystem::path& path, std::string_view where, const std::function<bool()>& keep_waiting = {});
  enum class Kind : uint8_t { kExclusive, kShared };
  /// Without waiting; nothing where somebody else has it in a way that excludes this.
  static Result<std::optional<FileLock>> try_take(const std::filesystem::path& path, std::string_view where, Kind kind);
  ~FileLock();
  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&&) = delete;

 private:
  explicit FileLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

}  // namespace accelerate
