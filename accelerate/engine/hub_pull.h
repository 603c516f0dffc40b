// The parts of pull_from_hub() that its tests look at: private to hub.
#pragma once

#include <cstdint>
#include <filesystem>

#include "accelerate/base/result.h"

namespace accelerate {

/// resource_exhausted when `folder`'s file system has less than `bytes` and a spare (pull_recipe.h) free; fine where it can not be asked.
Result<void> check_hub_space(const std::filesystem::path& folder, uint64_t bytes);

/// Makes `link` lead to `target` by a relative path, in one step; what was there is replaced.
Result<void> link_into_snapshot(const std::filesystem::path& target, const std::filesystem::path& link);

}  // namespace accelerate
