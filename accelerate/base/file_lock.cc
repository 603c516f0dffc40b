#include "accelerate/base/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <string>
#include <thread>
#include <utility>

#include "accelerate/base/file.h"

namespace accelerate {
namespace {

constexpr auto kPollInterval = std::chrono::milliseconds(100);

}  // namespace

FileLock::~FileLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

FileLock::FileLock(FileLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

Result<std::optional<FileLock>> FileLock::try_take(const std::filesystem::path& path, std::string_view where, Kind kind) {
  FileLock lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (lock.descriptor_ < 0) return errno_error(errno, where, "lock", path);
  while (::flock(lock.descriptor_, (kind == Kind::kShared ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return std::optional<FileLock>();
    if (errno != EINTR) return errno_error(errno, where, "lock", path);
  }
  return std::optional<FileLock>(std::move(lock));
}

Result<FileLock> FileLock::take(const std::filesystem::path& path, std::string_view where, const std::function<bool()>& keep_waiting) {
  for (;;) {
    ACC_TRY(std::optional<FileLock> lock, try_take(path, where, Kind::kExclusive));
    if (lock) return *std::move(lock);
    if (keep_waiting && !keep_waiting()) return Error{ErrorCode::kCancelled, "[" + std::string(where) + "] stopped while waiting for another process"};
    std::this_thread::sleep_for(kPollInterval);
  }
}

}  // namespace accelerate
