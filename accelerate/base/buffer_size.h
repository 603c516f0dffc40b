// What a Buffer takes of memory, without allocating one: for estimates.
//
//   sizing.memory.kv = buffer_size(KvCache::bytes_needed(layers, tokens));
#pragma once

#include <cstddef>

namespace accelerate {

inline constexpr size_t kPageBytes = 4096, kHugePageBytes = size_t{2} << 20;

/// Bytes of Buffer::allocate(bytes): whole pages, from a huge page on whole huge pages. `bytes` at most SIZE_MAX - kHugePageBytes.
constexpr size_t buffer_size(size_t bytes) {
  const size_t page = bytes >= kHugePageBytes ? kHugePageBytes : kPageBytes;
  return (bytes + page - 1) / page * page;
}

}  // namespace accelerate
