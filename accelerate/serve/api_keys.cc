#include "accelerate/serve/api_keys.h"

#include <algorithm>

#include <fmt/format.h>

#include "accelerate/base/file.h"
#include "accelerate/base/sha256.h"

namespace accelerate {
namespace {

constexpr size_t kKeyFileBytesMax = size_t{4} << 20;  // thousands of the longest keys
constexpr size_t kClientDigits = 8;

bool key_like(std::string_view text) {
  const auto printable = [](char c) { return c > ' ' && c <= '~'; };
  return !text.empty() && text.size() <= kApiKeyBytesMax && std::all_of(text.begin(), text.end(), printable);
}

std::string_view trimmed(std::string_view line) {
  static constexpr std::string_view kBlank = " \t\r";
  const size_t first = line.find_first_not_of(kBlank);
  return first == std::string_view::npos ? std::string_view() : line.substr(first, line.find_last_not_of(kBlank) - first + 1);
}

}  // namespace

Result<void> ApiKeys::add(std::string_view key) {
  if (!key_like(key)) {
    return Error{ErrorCode::kInvalidArgument, fmt::format("[keys] an API key is 1 to {} printable ASCII characters without spaces; got "
                                                          "another text of {} bytes", kApiKeyBytesMax, key.size())};
  }
  std::string digest = sha256_hex(key);
  if (std::find(digests_.begin(), digests_.end(), digest) == digests_.end()) digests_.push_back(std::move(digest));
  return {};
}

Result<void> ApiKeys::add_file(const std::filesystem::path& path) {
  ACC_TRY(const std::string text, read_file(path, kKeyFileBytesMax));
  size_t keys = 0, number = 0;
  for (std::string_view rest = text; !rest.empty();) {
    ++number;
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = trimmed(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.empty() || line.front() == '#') continue;
    if (!add(line)) {
      return Error{ErrorCode::kInvalidArgument,
                   fmt::format("[keys] a line of a key file is a comment (#) or one key of 1 to {} printable ASCII characters without "
                               "spaces; got another in {}:{}", kApiKeyBytesMax, path.string(), number)};
    }
    ++keys;
  }
  if (keys > 0) return {};
  return Error{ErrorCode::kInvalidArgument, fmt::format("[keys] a key file has at least one key; got none in {}; try one key a line", path.string())};
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
