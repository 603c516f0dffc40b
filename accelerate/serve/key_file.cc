#include "accelerate/serve/key_file.h"

#include <algorithm>

#include <fmt/format.h>

#include "accelerate/base/file.h"
#include "accelerate/serve/api_keys.h"

namespace accelerate {
namespace {

constexpr size_t kKeyFileBytesMax = size_t{4} << 20;  // thousands of the longest keys

std::string_view trimmed(std::string_view line) {
  static constexpr std::string_view kBlank = " \t\r";
  const size_t first = line.find_first_not_of(kBlank);
  return first == std::string_view::npos ? std::string_view() : line.substr(first, line.find_last_not_of(kBlank) - first + 1);
}

}  // namespace

bool is_key(std::string_view text) {
  const auto printable = [](char c) { return c > ' ' && c <= '~'; };
  return !text.empty() && text.size() <= kApiKeyBytesMax && std::all_of(text.begin(), text.end(), printable);
}

Result<std::vector<std::string>> read_key_file(const std::filesystem::path& path) {
  ACC_TRY(const std::string text, read_file(path, kKeyFileBytesMax));
  std::vector<std::string> keys;
  size_t number = 0;
  for (std::string_view rest = text; !rest.empty();) {
    ++number;
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = trimmed(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.empty() || line.front() == '#') continue;
    if (!is_key(line)) {
      return Error{ErrorCode::kInvalidArgument,
                   fmt::format("[keys] a line of a key file is a comment (#) or one key of 1 to {} printable ASCII characters without "
                               "spaces; got another in {}:{}", kApiKeyBytesMax, path.string(), number)};
    }
    keys.emplace_back(line);
  }
  if (!keys.empty()) return keys;
  return Error{ErrorCode::kInvalidArgument, fmt::format("[keys] a key file has at least one key; got none in {}; try one key a line", path.string())};
}

}  // namespace accelerate
