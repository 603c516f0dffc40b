// SharedMemory - bytes that two processes of one machine see, for tensors too large to go through a socket twice a token.
//
//   ACC_TRY(SharedMemory region, SharedMemory::create(bytes));   // region.descriptor() goes to the other side
//   ACC_TRY(SharedMemory same, SharedMemory::adopt(file, bytes));
//
// An anonymous file (memfd) sealed against shrinking, so that no side can make the other fault. Movable; unmapped and
// closed on destruction. Who may write when is the protocol's business (docs/wire.md).
#pragma once

#include <cstddef>
#include <cstdint>

#include "accelerate/base/result.h"

namespace accelerate {

class SharedMemory {
 public:
  SharedMemory() = default;
  ~SharedMemory();
  SharedMemory(SharedMemory&& other) noexcept;
  SharedMemory& operator=(SharedMemory&& other) noexcept;

  static Result<SharedMemory> create(size_t bytes);
  /// Takes the descriptor over. data_loss unless it is sealed and has so many bytes.
  static Result<SharedMemory> adopt(int descriptor, size_t bytes);

  std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  int descriptor() const { return descriptor_; }

 private:
  int descriptor_ = -1;
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace accelerate
