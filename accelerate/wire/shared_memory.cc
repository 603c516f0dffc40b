#include "accelerate/wire/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/format.h>

namespace accelerate {

SharedMemory::~SharedMemory() {
  if (data_) ::munmap(data_, size_);
  if (descriptor_ >= 0) ::close(descriptor_);
}

SharedMemory::SharedMemory(SharedMemory&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

SharedMemory& SharedMemory::operator=(SharedMemory&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

Result<SharedMemory> SharedMemory::create(size_t bytes) {
  const int descriptor = ::memfd_create("ipfs-accelerate", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (descriptor < 0) return Error{ErrorCode::kResourceExhausted, fmt::format("[wire] no shared memory: {}", std::strerror(errno))};
  if (::ftruncate(descriptor, static_cast<off_t>(bytes)) != 0 || ::fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0) {
    const int problem = errno;
    ::close(descriptor);
    return Error{ErrorCode::kResourceExhausted, fmt::format("[wire] no shared memory of {} bytes: {}", bytes, std::strerror(problem))};
  }
  return adopt(descriptor, bytes);
}

Result<SharedMemory> SharedMemory::adopt(int descriptor, size_t bytes) {
  SharedMemory region;
  region.descriptor_ = descriptor;
  struct stat status{};
  const int seals = ::fcntl(descriptor, F_GET_SEALS);
  if (bytes == 0 || seals < 0 || (seals & F_SEAL_SHRINK) == 0 || ::fstat(descriptor, &status) != 0 || static_cast<uint64_t>(status.st_size) != bytes) {
    return Error{ErrorCode::kDataLoss, fmt::format("[wire] shared memory is a sealed file of the size that was said; got a file of {} bytes for {}",
                                                   status.st_size, bytes)};
  }
  void* at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  if (at == MAP_FAILED) return Error{ErrorCode::kResourceExhausted, fmt::format("[wire] {} bytes cannot be mapped: {}", bytes, std::strerror(errno))};
  region.data_ = static_cast<std::byte*>(at);
  region.size_ = bytes;
  return region;
}

}  // namespace accelerate
