// A file of keys: one a line, '#' begins a comment.
//
//   ACC_TRY(const std::vector<std::string> keys, read_key_file("/etc/ipfs-accelerate/keys"));
//
// Errors name a place, never a key. Pure but for the reading.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "accelerate/base/result.h"

namespace accelerate {

/// 1 to kApiKeyBytesMax printable ASCII characters without spaces: what fits a header.
bool is_key(std::string_view text);

/// In the order of the file, at least one. invalid_argument for a file without keys or with a line that is none; not_found;
/// permission_denied.
Result<std::vector<std::string>> read_key_file(const std::filesystem::path& path);

}  // namespace accelerate
