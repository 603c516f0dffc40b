// ApiKeys - who may ask: the SHA-256 of every key, never the key.
//
//   ApiKeys keys;
//   ACC_TRY_VOID(keys.add("sk-..."));
//   ACC_TRY_VOID(keys.add_file("/etc/ipfs-accelerate/keys"));    // one a line, '#' begins a comment
//   if (auto client = keys.client_of(bearer)) serve(*client);    // "key-1a2b3c4d"
//
// A client's name is "key-" and the first 8 hex digits of its key's SHA-256: enough to tell keys apart in logs, and no help
// in guessing a key of decent length. Errors name a place, never a key. Plain value; const members are thread-safe.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "accelerate/base/result.h"

namespace accelerate {

inline constexpr size_t kApiKeyBytesMax = 512;  // keys in the wild have 20 to 200

class ApiKeys {
 public:
  /// invalid_argument unless the key is 1 to kApiKeyBytesMax printable ASCII characters without spaces: what fits a header.
  Result<void> add(std::string_view key);
  /// invalid_argument for a file without keys or with a line that is none; not_found; permission_denied.
  Result<void> add_file(const std::filesystem::path& path);

  bool empty() const { return digests_.empty(); }
  size_t size() const { return digests_.size(); }
  /// The client whose key this is. Compares with every key to the end, so that time tells nothing.
  std::optional<std::string> client_of(std::string_view key) const;

 private:
  std::vector<std::string> digests_;  // hex, no two alike
};

/// Whether users beyond the owner and the group may read `path`.
bool world_readable(const std::filesystem::path& path);

}  // namespace accelerate
