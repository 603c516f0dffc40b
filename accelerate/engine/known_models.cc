#include "accelerate/engine/known_models.h"

#include <algorithm>

#include "accelerate/engine/catalog.h"

namespace accelerate {

std::vector<KnownModel> known_models() {
  std::vector<KnownModel> models;
  const std::vector<InstalledModel> installed = installed_models();
  for (const CatalogEntry& entry : catalog()) {
    KnownModel model{.name = std::string(entry.alias), .title = std::string(entry.title), .path = ""};
    const Result<ModelLocation> where = locate_model(entry.alias);
    const auto here = std::find_if(installed.begin(), installed.end(), [&](const InstalledModel& m) { return m.name == entry.alias; });
    if (where && here != installed.end()) {
      model.path = here->path;
      model.bytes = here->bytes;
    } else {
      for (const CatalogPackage& package : entry.packages) model.bytes += package.bytes;
    }
    models.push_back(std::move(model));
  }
  for (const InstalledModel& other : installed) {
    const bool listed = std::any_of(models.begin(), models.end(), [&](const KnownModel& model) { return model.name == other.name; });
    if (!listed) models.push_back({.name = other.name, .title = "", .path = other.path, .bytes = other.bytes});
  }
  return models;
}

}  // namespace accelerate
