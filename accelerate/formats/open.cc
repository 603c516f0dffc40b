#include "accelerate/formats/open.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "accelerate/base/file.h"
#include "accelerate/formats/gguf_model.h"
#include "accelerate/formats/hf_model.h"
#include "accelerate/formats/quote.h"

namespace accelerate {
namespace {

namespace fs = std::filesystem;

constexpr size_t kListedMax = 8;  // files named in an error

Error bad(ErrorCode code, std::string text) { return Error{code, "[formats] " + std::move(text)}; }

/// "'PK??' (50 4b 03 04)"
std::string first_bytes(std::span<const std::byte> bytes) {
  const size_t shown = std::min<size_t>(bytes.size(), 8);
  if (shown == 0) return "an empty file";
  const auto* const text = reinterpret_cast<const unsigned char*>(bytes.data());
  return fmt::format("{} ({:02x})", in_quotes({reinterpret_cast<const char*>(text), shown}), fmt::join(text, text + shown, " "));
}

Result<Model> open_file(const fs::path& path) {
  if (path.extension() == ".safetensors") return open_hugging_face(path.has_parent_path() ? path.parent_path() : fs::path("."), path);
  ACC_TRY(std::shared_ptr<const MappedFile> file, MappedFile::open(path));
  const std::span<const std::byte> bytes = file->bytes();
  if (bytes.size() >= 4 && std::memcmp(bytes.data(), "GGUF", 4) == 0) return open_gguf(std::move(file));
  return bad(ErrorCode::kInvalidArgument, fmt::format("a model is a GGUF file, a .safetensors file or a Hugging Face directory; got {} "
                                                      "beginning with {}; try one of these", path.string(), first_bytes(bytes)));
}

Result<std::vector<std::string>> files_ending(const fs::path& directory, std::string_view extension) {
  std::vector<std::string> found;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    if (it->path().extension() == extension) found.push_back(it->path().filename().string());
  }
  if (error) return bad(ErrorCode::kPermissionDenied, fmt::format("a model directory can be listed; got '{}' for {}", error.message(), directory.string()));
  std::sort(found.begin(), found.end());
  return found;
}

Result<Model> open_directory(const fs::path& directory) {
  ACC_TRY(const std::vector<std::string> gguf, files_ending(directory, ".gguf"));
  ACC_TRY(const std::vector<std::string> safetensors, files_ending(directory, ".safetensors"));
  std::error_code ignored;
  const bool has_config = fs::exists(directory / "config.json", ignored);
  if (has_config && !safetensors.empty()) return open_hugging_face(directory);
  if (gguf.size() == 1) return open_file(directory / gguf.front());
  if (gguf.size() > 1) {
    const auto shown = static_cast<std::ptrdiff_t>(std::min(gguf.size(), kListedMax));
    return bad(ErrorCode::kInvalidArgument, fmt::format("a directory holds one .gguf; got {} in {}: {}{}; try naming one of them", gguf.size(),
                                                        directory.string(), fmt::join(gguf.begin(), gguf.begin() + shown, ", "),
                                                        gguf.size() > kListedMax ? " ..." : ""));
  }
  if (has_config || !safetensors.empty()) return open_hugging_face(directory);  // says which part is missing
  return bad(ErrorCode::kInvalidArgument, fmt::format("a model directory holds config.json with *.safetensors, or one .gguf; got neither in {}",
                                                      directory.string()));
}

}  // namespace

Result<std::shared_ptr<Model>> open_model(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (status.type() == fs::file_type::not_found) {
    return bad(ErrorCode::kNotFound, fmt::format("a model is a file or a directory; got nothing at {}", in_quotes(path.string())));
  }
  if (error) return bad(ErrorCode::kPermissionDenied, fmt::format("a model can be looked at; got '{}' for {}", error.message(), in_quotes(path.string())));
  ACC_TRY(Model model, status.type() == fs::file_type::directory ? open_directory(path) : open_file(path));
  return std::make_shared<Model>(std::move(model));
}

}  // namespace accelerate
