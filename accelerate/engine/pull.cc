// How a pull stays whole: every package is unpacked into its own folder below models/.ALIAS.pull, which appears by rename
// once its wheel's sha256 was right, so an interrupted pull goes on with the next package; files are put together in
// .ALIAS.pull/whole, checked, and that folder is renamed to models/ALIAS.
#include <algorithm>
#include <chrono>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "accelerate/base/file.h"
#include "accelerate/base/file_lock.h"
#include "accelerate/engine/catalog.h"
#include "accelerate/engine/hub.h"
#include "accelerate/engine/installed.h"
#include "accelerate/engine/near_match.h"
#include "accelerate/engine/pull_package.h"
#include "accelerate/engine/pull_recipe.h"

namespace accelerate {
namespace {

namespace fs = std::filesystem;

constexpr size_t kCopyBytes = size_t{1} << 20;

/// An open file descriptor, closed at the end.
class FileHandle {
 public:
  explicit FileHandle(int fd) : fd_(fd) {}
  ~FileHandle() {
    if (fd_ >= 0) ::close(fd_);
  }
  FileHandle(FileHandle&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileHandle& operator=(FileHandle&&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

Error cancelled_pull() { return {ErrorCode::kCancelled, "[pull] stopped; what is complete so far is kept for the next pull"}; }

Result<FileLock> lock_pull(const fs::path& path, std::string_view alias, Progress& progress) {
  const std::string what = fmt::format("waiting for another pull of {}", alias);
  Result<FileLock> lock = FileLock::take(path, "pull", [&] { return progress.update(what, 0, 0, "bytes"); });
  if (!lock && lock.error().code == ErrorCode::kCancelled) return cancelled_pull();
  return lock;
}

std::vector<PullMember> members_of(const PullRecipe& recipe, uint32_t package) {
  std::vector<PullMember> members;
  for (const PullMember& member : recipe.members) {
    if (member.package == package) members.push_back(member);
  }
  return members;
}

fs::path part_folder(const PullRecipe& recipe, uint32_t package, const fs::path& staging) {
  const CatalogPackage& p = recipe.entry.packages[package];
  return staging / fmt::format("{}-{}-{}", package, p.version, p.sha256.substr(0, 16));
}

bool part_is_whole(const PullRecipe& recipe, uint32_t package, const fs::path& staging) {
  const fs::path folder = part_folder(recipe, package, staging);
  const std::vector<PullMember> members = members_of(recipe, package);
  for (size_t i = 0; i < members.size(); ++i) {
    if (file_bytes(folder / std::to_string(i)) != members[i].bytes) return false;
  }
  return fs::is_directory(folder);
}

/// Where `member` of the recipe lies once its package is unpacked.
fs::path part_path(const PullRecipe& recipe, const PullMember& member, const fs::path& staging) {
  size_t index = 0;
  for (const PullMember& other : recipe.members) {
    if (&other == &member) break;
    if (other.package == member.package) ++index;
  }
  return part_folder(recipe, member.package, staging) / std::to_string(index);
}

/// Removes from `staging` what is not a complete part of this very recipe.
void sweep_staging(const PullRecipe& recipe, const fs::path& staging) {
  std::vector<fs::path> keep;
  for (uint32_t i = 0; i < recipe.entry.packages.size(); ++i) {
    if (part_is_whole(recipe, i, staging)) keep.push_back(part_folder(recipe, i, staging));
  }
  std::error_code error;
  std::vector<fs::path> sweep;
  for (const fs::directory_entry& entry : fs::directory_iterator(staging, error)) {
    if (std::find(keep.begin(), keep.end(), entry.path()) == keep.end()) sweep.push_back(entry.path());
  }
  for (const fs::path& path : sweep) fs::remove_all(path, error);
}

/// Peak disk use of what is left to do: pip holds a wheel twice while it copies it; joined files exist beside their parts.
uint64_t bytes_needed(const PullRecipe& recipe, const fs::path& staging) {
  uint64_t wheel_max = 0, bytes = kPullSpareBytes;
  for (uint32_t i = 0; i < recipe.entry.packages.size(); ++i) {
    if (part_is_whole(recipe, i, staging)) continue;
    wheel_max = std::max(wheel_max, recipe.entry.packages[i].bytes);
    for (const PullMember& member : members_of(recipe, i)) bytes += member.bytes;
  }
  for (const CatalogFile& file : recipe.entry.files) {
    const auto parts = std::count_if(recipe.members.begin(), recipe.members.end(),
                                     [&](const PullMember& member) { return member.file == file.name; });
    if (parts > 1) bytes += file.bytes;
  }
  return bytes + 2 * wheel_max;
}

Result<void> check_space(const PullRecipe& recipe, const fs::path& staging) {
  const uint64_t needed = bytes_needed(recipe, staging);
  std::error_code error;
  const fs::space_info space = fs::space(staging, error);
  if (error || space.available >= needed) return {};  // unknown: the writes themselves will tell
  return Error{ErrorCode::kResourceExhausted,
               fmt::format("[pull] {} needs {:.0f} MB free in '{}' while it is fetched; got {:.0f} MB; try freeing space, or "
                           "IPFS_ACCELERATE_MODELS=FOLDER elsewhere", recipe.entry.alias, static_cast<double>(needed) / 1e6,
                           staging.parent_path().string(), static_cast<double>(space.available) / 1e6)};
}

/// Refuses to replace a folder that holds files which are not ours: they would be lost.
Result<void> check_replaceable(const CatalogEntry& entry, const fs::path& folder) {
  std::error_code error;
  for (fs::recursive_directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (it->is_directory(error)) continue;
    const std::string name = it->path().lexically_relative(folder).string();
    const bool ours = name == kVerifiedMarker || std::any_of(entry.files.begin(), entry.files.end(), [&](const CatalogFile& file) {
                        return file.name == name;
                      });
    if (!ours) {
      return Error{ErrorCode::kAlreadyExists,
                   fmt::format("[pull] '{}' must hold {} only; got a damaged copy beside '{}', which is not part of it; try moving "
                               "the folder away", folder.string(), entry.alias, name)};
    }
  }
  return {};
}

Result<void> fetch_missing(const PullRecipe& recipe, const fs::path& staging, Progress& progress) {
  uint64_t before = 0, total = 0;
  for (const CatalogPackage& package : recipe.entry.packages) total += package.bytes;
  std::optional<PackageClient> client;
  for (uint32_t i = 0; i < recipe.entry.packages.size(); ++i) {
    const CatalogPackage& package = recipe.entry.packages[i];
    if (!part_is_whole(recipe, i, staging)) {
      if (!client) {
        ACC_TRY(client, find_package_client());
      }
      ACC_TRY_VOID(fetch_package(*client, {package, members_of(recipe, i), part_folder(recipe, i, staging), before, total}, progress));
    }
    before += package.bytes;
    if (!progress.update(fmt::format("fetching {} {}", package.name, package.version), before, total, "bytes")) return cancelled_pull();
  }
  return {};
}

Result<void> append_file(int out, const fs::path& out_path, const fs::path& source) {
  const FileHandle in(::open(source.c_str(), O_RDONLY | O_CLOEXEC));
  if (in.get() < 0) return errno_error(errno, "pull", "read", source);
  std::vector<char> chunk(kCopyBytes);
  while (true) {
    const ssize_t got = ::read(in.get(), chunk.data(), chunk.size());
    if (got < 0) return errno_error(errno, "pull", "read", source);
    if (got == 0) return {};
    for (ssize_t done = 0; done < got;) {
      const ssize_t put = ::write(out, chunk.data() + done, static_cast<size_t>(got - done));
      if (put < 0) return errno_error(errno, "pull", "write", out_path);
      done += put;
    }
  }
}

/// One installed file from its parts: a hard link where there is one part (the part stays for a resume), else a copy.
Result<void> make_file(const PullRecipe& recipe, const CatalogFile& file, const fs::path& staging, const fs::path& out,
                       Progress& progress) {
  std::vector<fs::path> parts;
  for (const PullMember& member : recipe.members) {
    if (member.file == file.name) parts.push_back(part_path(recipe, member, staging));
  }
  CHECK(!parts.empty(), "every file of a recipe has a member");
  std::error_code error;
  fs::create_directories(out.parent_path(), error);
  if (error) return errno_error(error.value(), "pull", "create", out.parent_path());
  if (parts.size() == 1) {
    fs::create_hard_link(parts[0], out, error);
    if (!error) return {};
  }
  const FileHandle to(::open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (to.get() < 0) return errno_error(errno, "pull", "create", out);
  for (size_t i = 0; i < parts.size(); ++i) {
    if (!progress.update(fmt::format("joining {}", file.name), i, parts.size(), "parts")) return cancelled_pull();
    ACC_TRY_VOID(append_file(to.get(), out, parts[i]));
  }
  if (::fsync(to.get()) != 0) return errno_error(errno, "pull", "write", out);
  return {};
}

Result<void> install(const PullRecipe& recipe, const fs::path& staging, const fs::path& folder, Progress& progress) {
  const fs::path whole = staging / "whole";
  for (const CatalogFile& file : recipe.entry.files) {
    if (!is_folder_itself(file)) ACC_TRY_VOID(make_file(recipe, file, staging, whole / file.name, progress));
  }
  const Result<void> proven = prove_installed(recipe.entry, whole, progress);
  std::error_code error;
  if (!proven) {
    // Parts whose wheel was right but whose files are not will never become right: fetch them again next time.
    if (proven.error().code == ErrorCode::kDataLoss) fs::remove_all(staging, error);
    return proven.error();
  }
  sync_folder(whole);
  if (fs::exists(folder, error)) {
    fs::rename(folder, staging / "replaced", error);
    if (error) return errno_error(error.value(), "pull", "replace", folder);
  }
  fs::rename(whole, folder, error);
  if (error) return errno_error(error.value(), "pull", "rename into place", folder);
  sync_folder(folder.parent_path());
  fs::remove_all(staging, error);
  return {};
}

}  // namespace

Result<std::string> pull_recipe(const PullRecipe& recipe, const fs::path& models, Progress& progress) {
  const CatalogEntry& entry = recipe.entry;
  const fs::path folder = models / entry.alias;
  const std::string opened = opened_path(entry, folder).string();
  if (installed_state(entry, folder) == InstallState::kWhole) return opened;
  std::error_code error;
  const fs::path staging = models / fmt::format(".{}.pull", entry.alias);
  fs::create_directories(models, error);
  if (error) return errno_error(error.value(), "pull", "create", models);
  ACC_TRY(const FileLock lock, lock_pull(models / fmt::format(".{}.lock", entry.alias), entry.alias, progress));

  const InstallState state = installed_state(entry, folder);  // another pull may just have ended
  if (state == InstallState::kWhole) return opened;
  if (state == InstallState::kUnproven) {
    const Result<void> proven = prove_installed(entry, folder, progress);
    if (proven) return opened;
    if (proven.error().code != ErrorCode::kDataLoss) return proven.error();
  }
  if (state != InstallState::kAbsent) ACC_TRY_VOID(check_replaceable(entry, folder));
  fs::create_directories(staging, error);
  if (error) return errno_error(error.value(), "pull", "create", staging);
  sweep_staging(recipe, staging);
  ACC_TRY_VOID(check_space(recipe, staging));
  ACC_TRY_VOID(fetch_missing(recipe, staging, progress));
  ACC_TRY_VOID(install(recipe, staging, folder, progress));
  return opened;
}

Result<std::string> pull_model(std::string_view alias, Progress& progress) {
  if (is_hub_name(alias)) {
    ACC_TRY(const HubName name, parse_hub_name(alias));
    ACC_TRY(const HubSettings settings, hub_settings());
    ACC_TRY(const HubModel model, pull_from_hub(name, settings, progress));
    return model.path.string();
  }
  const PullRecipe* recipe = find_pull_recipe(alias);
  if (recipe) {
    const Result<std::string> path = pull_recipe(*recipe, models_dir(), progress);
    return !path && path.error().code == ErrorCode::kCancelled ? cancelled_pull() : path;
  }
  std::vector<std::string> known;
  for (const CatalogEntry& entry : catalog()) known.emplace_back(entry.alias);
  return Error{ErrorCode::kNotFound, fmt::format("[pull] the name must be in the catalog ({}); got '{}'{}; try `ipfs-accelerate "
                                                 "models`, or hf:org/repo", fmt::join(known, ", "), alias, near_match_hint(alias, known))};
}

}  // namespace accelerate
