// Installed models - is the folder of a catalog entry whole? Sizes at every look, hashes once, remembered in a marker file.
//
//   if (installed_state(entry, folder) == InstallState::kWhole) open(opened_path(entry, folder));
//
// Private to catalog and pull. Thread-safe; looks at the disk at every call.
#pragma once

#include <filesystem>

#include "accelerate/engine/catalog.h"

namespace accelerate {

enum class InstallState : uint8_t {
  kAbsent,    // no such folder
  kWhole,     // right sizes, and the marker says that these hashes were checked
  kUnproven,  // right sizes, no marker (a folder copied by hand)
  kBroken,    // a file is missing or has another size
};
InstallState installed_state(const CatalogEntry& entry, const std::filesystem::path& folder);

/// Checks the sha256 of every file and writes the marker; data_loss naming the first wrong file.
Result<void> prove_installed(const CatalogEntry& entry, const std::filesystem::path& folder, Progress& progress);

/// What is to be opened: the folder, or its first file.
std::filesystem::path opened_path(const CatalogEntry& entry, const std::filesystem::path& folder);

/// Size in bytes of `path`; nothing if it is no regular file.
std::optional<uint64_t> file_bytes(const std::filesystem::path& path);

/// True for the entry that stands for the folder itself.
inline bool is_folder_itself(const CatalogFile& file) { return file.name == "."; }

inline constexpr std::string_view kVerifiedMarker = ".verified";

}  // namespace accelerate
