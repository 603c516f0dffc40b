#include "accelerate/base/buffer.h"

#include <sys/mman.h>

#include <cstdint>
#include <utility>

#include <fmt/format.h>

#include "accelerate/base/buffer_size.h"
#include "accelerate/base/cpu.h"

namespace accelerate {
namespace {

// Below this an answer from /proc costs more than the allocation is worth.
constexpr size_t kCheckedBytesMin = size_t{64} << 20;

}  // namespace

Result<Buffer> Buffer::allocate(size_t bytes) {
  Buffer buffer;
  if (bytes == 0) return buffer;
  const size_t alignment = bytes >= kHugePageBytes ? kHugePageBytes : kPageBytes;
  if (bytes > SIZE_MAX - 2 * kHugePageBytes) {
    return Error{ErrorCode::kResourceExhausted, fmt::format("[base] memory for {} bytes cannot be addressed", bytes)};
  }
  const size_t size = buffer_size(bytes);
  if (bytes >= kCheckedBytesMin) {
    const uint64_t available = cpu_info().memory_available_bytes;
    if (available != 0 && size > available) {
      return Error{ErrorCode::kResourceExhausted,
                   fmt::format("[base] allocations fit the available memory of {} MiB; got {} MiB", available >> 20, size >> 20)};
    }
  }
  const size_t mapped = size + (alignment > kPageBytes ? alignment : 0);
  void* address = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (address == MAP_FAILED) {
    return Error{ErrorCode::kResourceExhausted, fmt::format("[base] no memory for {} MiB", size >> 20)};
  }
  auto* first = static_cast<std::byte*>(address);
  auto* aligned = reinterpret_cast<std::byte*>((reinterpret_cast<uintptr_t>(first) + alignment - 1) / alignment * alignment);
  if (aligned > first) munmap(first, static_cast<size_t>(aligned - first));
  if (const size_t tail = mapped - size - static_cast<size_t>(aligned - first); tail > 0) munmap(aligned + size, tail);
  if (alignment == kHugePageBytes) madvise(aligned, size, MADV_HUGEPAGE);  // refused on some kernels: small pages then
  buffer.data_ = aligned;
  buffer.size_ = size;
  return buffer;
}

Buffer::~Buffer() {
  if (data_) munmap(data_, size_);
}

Buffer::Buffer(Buffer&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

}  // namespace accelerate
