// FNV-1a, 64 bits (Fowler, Noll, Vo): for names that need to differ, not to resist anybody.
//
//   const uint64_t hash = fnv1a("some text");
#pragma once

#include <cstdint>
#include <string_view>

namespace accelerate {

constexpr uint64_t fnv1a(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

}  // namespace accelerate
