#include "accelerate/serve/api_keys.h"

#include <algorithm>

#include <fmt/format.h>

#include "accelerate/base/sha256.h"
#include "accelerate/serve/key_file.h"

namespace accelerate {
namespace {

constexpr size_t kClientDigits = 8;

}  // namespace

Result<void> ApiKeys::add(std::string_view key) {
  if (!is_key(key)) {
    return Error{ErrorCode::kInvalidArgument, fmt::format("[keys] an API key is 1 to {} printable ASCII characters without spaces; got "
                                                          "another text of {} bytes", kApiKeyBytesMax, key.size())};
  }
  std::string digest = sha256_hex(key);
  if (std::find(digests_.begin(), digests_.end(), digest) == digests_.end()) digests_.push_back(std::move(digest));
  return {};
}

Result<void> ApiKeys::add_file(const std::filesystem::path& path) {
  ACC_TRY(const std::vector<std::string> keys, read_key_file(path));
  for (const std::string& key : keys) ACC_TRY_VOID(add(key));
  return {};
}

std::optional<std::string> ApiKeys::client_of(std::string_view key) const {
  const std::string digest = sha256_hex(key);
  bool found = false;
  for (const std::string& known : digests_) {
    unsigned difference = 0;
    for (size_t i = 0; i < known.size(); ++i) difference |= static_cast<unsigned char>(known[i] ^ digest[i]);
    found |= difference == 0;
  }
  if (!found) return std::nullopt;
  return "key-" + digest.substr(0, kClientDigits);
}

bool world_readable(const std::filesystem::path& path) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  return !error && (status.permissions() & std::filesystem::perms::others_read) != std::filesystem::perms::none;
}

}  // namespace accelerate
