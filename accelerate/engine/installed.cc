#include "accelerate/engine/installed.h"

#include <fmt/format.h>

#include "accelerate/base/file.h"
#include "accelerate/base/sha256.h"

namespace accelerate {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMarkerBytesMax = 4096;

/// One hash over everything that must be there: a catalog that changes makes old markers void.
std::string recipe_digest(const CatalogEntry& entry) {
  std::string lines;
  for (const CatalogFile& file : entry.files) lines += fmt::format("{} {} {}\n", file.name, file.bytes, file.sha256);
  return sha256_hex(lines) + "\n";
}

}  // namespace

std::optional<uint64_t> file_bytes(const fs::path& path) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return std::nullopt;
  const auto bytes = fs::file_size(path, error);
  if (error) return std::nullopt;
  return bytes;
}

InstallState installed_state(const CatalogEntry& entry, const fs::path& folder) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) return InstallState::kAbsent;
  for (const CatalogFile& file : entry.files) {
    if (is_folder_itself(file)) continue;
    const std::optional<uint64_t> bytes = file_bytes(folder / file.name);
    if (!bytes || (file.bytes != 0 && *bytes != file.bytes)) return InstallState::kBroken;
  }
  const Result<std::string> marker = read_file(folder / kVerifiedMarker, kMarkerBytesMax);
  return marker.ok() && *marker == recipe_digest(entry) ? InstallState::kWhole : InstallState::kUnproven;
}

Result<void> prove_installed(const CatalogEntry& entry, const fs::path& folder, Progress& progress) {
  uint64_t total = 0, before = 0;
  for (const CatalogFile& file : entry.files) total += file.bytes;
  for (const CatalogFile& file : entry.files) {
    if (file.sha256.empty()) continue;
    const std::string what = fmt::format("checking {}", file.name);
    auto keep_going = [&](uint64_t done) { return progress.update(what, before + done, total, "bytes"); };
    ACC_TRY(const std::string sha256, sha256_file(folder / file.name, keep_going));
    if (sha256 != file.sha256) {
      return Error{ErrorCode::kDataLoss,
                   fmt::format("[pull] {} must have sha256 {}; got {}; try again: nothing was installed",
                               (folder / file.name).string(), file.sha256, sha256)};
    }
    before += file.bytes;
  }
  return write_file_atomically(folder / kVerifiedMarker, recipe_digest(entry));
}

fs::path opened_path(const CatalogEntry& entry, const fs::path& folder) {
  CHECK(!entry.files.empty(), "a catalog entry names at least what is opened");
  return is_folder_itself(entry.files[0]) ? folder : folder / entry.files[0].name;
}

}  // namespace accelerate
