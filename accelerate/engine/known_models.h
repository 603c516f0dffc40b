// KnownModels - what `models` lists: the catalog, and whatever else lies in the models folder.
//
//   for (const KnownModel& m : known_models()) print(m.name, m.installed() ? m.path : "to pull");
//
// Reads folders, no weights. Thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace accelerate {

struct KnownModel {
  std::string name, title;
  std::string path;    // empty = not pulled yet
  uint64_t bytes = 0;  // on disk, or to download
  bool installed() const { return !path.empty(); }
};
/// The catalog in its order, then the rest by name.
std::vector<KnownModel> known_models();

}  // namespace accelerate
