#include "accelerate/formats/hf_files.h"

#include "accelerate/base/file.h"
#include "accelerate/base/limits.h"

namespace accelerate {

Result<std::optional<std::string>> read_text_if_there(const std::filesystem::path& path, size_t bytes_max) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return std::optional<std::string>{};
  ACC_TRY(std::string text, read_file(path, bytes_max));
  return std::optional(std::move(text));
}

Result<Json> read_json_if_there(const std::filesystem::path& path) {
  ACC_TRY(const std::optional<std::string> text, read_text_if_there(path, limits::kConfigFileBytesMax));
  if (!text) return Json();
  Result<Json> json = parse_json(*text, {.where = "hugging face", .bytes_max = limits::kConfigFileBytesMax});
  if (!json) return Error{json.error().code, json.error().message + " (in " + path.string() + ")"};
  return json;
}

}  // namespace accelerate
