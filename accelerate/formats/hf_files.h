// The small files beside a Hugging Face model: read if they are there, with a limit. Heavy (json.h): for .cc files only.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "accelerate/base/json.h"
#include "accelerate/base/result.h"

namespace accelerate {

/// Nothing when there is no such file; read_file's errors otherwise.
Result<std::optional<std::string>> read_text_if_there(const std::filesystem::path& path, size_t bytes_max);

/// JSON null when there is no such file; errors name the path. Limit: limits::kConfigFileBytesMax.
Result<Json> read_json_if_there(const std::filesystem::path& path);

}  // namespace accelerate
