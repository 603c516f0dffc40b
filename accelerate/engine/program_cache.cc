#include "accelerate/engine/program_cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include <fmt/format.h>

#include "accelerate/base/file.h"
#include "accelerate/base/log.h"
#include "accelerate/base/paths.h"
#include "accelerate/base/random_id.h"

namespace accelerate {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kWhere = "program cache";
constexpr std::string_view kStagingPrefix = ".new-", kTrashPrefix = ".old-";
constexpr uint64_t kDiskShare = 10;  // the default limit is at most a tenth of the disk

int64_t now_unix_s() { return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count(); }

// With the process: a fork has its parent's random numbers.
std::string name_of_our_own(std::string_view prefix) { return fmt::format("{}{}-{}", prefix, ::getpid(), random_id("")); }

void mark_used(const fs::path& folder) { ::utimensat(AT_FDCWD, (folder / kProgramInUseFile).c_str(), nullptr, 0); }

struct Used {
  int64_t s = 0, ns = 0;
  auto operator<=>(const Used&) const = default;
};
Used used_at(const fs::path& folder) {
  struct stat status {};
  if (::stat((folder / kProgramInUseFile).c_str(), &status) != 0) return {};
  return {status.st_mtim.tv_sec, status.st_mtim.tv_nsec};
}

// Nobody uses it, and under the folder's lock nobody begins to.
bool is_idle(const fs::path& folder) {
  const Result<std::optional<FileLock>> lock = FileLock::try_take(folder / kProgramInUseFile, kWhere, FileLock::Kind::kExclusive);
  return lock && lock->has_value();
}

Result<std::shared_ptr<const FileLock>> share(const fs::path& folder) {
  ACC_TRY(std::optional<FileLock> lock, FileLock::try_take(folder / kProgramInUseFile, kWhere, FileLock::Kind::kShared));
  if (!lock) return Error{ErrorCode::kUnavailable, fmt::format("[{}] '{}' is being removed", kWhere, folder.string())};
  return std::shared_ptr<const FileLock>(std::make_shared<FileLock>(*std::move(lock)));
}

CachedProgram cached(const ProgramEntry& entry, const fs::path& folder, std::shared_ptr<const FileLock> lock) {
  fs::path path = folder / kProgramArtifactFolder;
  if (entry.artifact != ".") path /= entry.artifact;
  return {.artifact = {.id = entry.key, .path = path.string(), .bytes = entry.bytes}, .lock = std::move(lock)};
}

// A path of the backend's as a name in `root`: "model.mef", "." for all of it.
Result<std::string> name_within(const fs::path& root, const fs::path& artifact) {
  std::error_code failed;
  const fs::path here = fs::weakly_canonical(root, failed), there = fs::weakly_canonical(artifact, failed);
  const fs::path name = there.lexically_relative(here);
  if (failed || name.empty() || *name.begin() == "..") {
    return Error{ErrorCode::kInvalidArgument, fmt::format("[{}] an artifact lies in the folder given for it; got '{}', not in '{}'", kWhere, artifact.string(), root.string())};
  }
  std::string text = name.generic_string();
  while (text.ends_with('/')) text.pop_back();
  return text;
}

}  // namespace

// What is renamed away under the folder's lock and deleted behind it. Declared before the lock, so that it goes after it.
struct ProgramCache::Trash {
  std::vector<fs::path> paths;
  ~Trash() {
    for (const fs::path& path : paths) {
      std::error_code ignored;  // the next begin() tries again
      fs::remove_all(path, ignored);
    }
  }
  bool take(const fs::path& folder) {
    const fs::path aside = folder.parent_path() / name_of_our_own(kTrashPrefix);
    std::error_code failed;
    fs::rename(folder, aside, failed);
    if (!failed) paths.push_back(aside);
    return !failed;
  }
};

struct ProgramStaging::State {
  fs::path folder;
  ProgramParts parts;
  std::string model;
  std::optional<FileLock> lock;  // exclusive: a folder without one is a dead process's
  bool committed = false;
  ~State() {
    std::error_code ignored;
    if (!committed) fs::remove_all(folder, ignored);
  }
};

ProgramStaging::ProgramStaging(std::unique_ptr<State> state) : state_(std::move(state)) {}
ProgramStaging::~ProgramStaging() = default;
ProgramStaging::ProgramStaging(ProgramStaging&&) noexcept = default;
std::string ProgramStaging::artifact_dir() const { return (state_->folder / kProgramArtifactFolder).string(); }

ProgramCache::ProgramCache(ProgramCacheOptions options)
    : folder_(options.folder.empty() ? cache_dir() / "programs" : std::move(options.folder)), bytes_max_(options.bytes_max) {}

uint64_t ProgramCache::bytes_max() const {
  if (bytes_max_) return *bytes_max_;
  fs::path there = folder_;
  std::error_code failed;
  while (!fs::exists(there, failed) && there.has_relative_path()) there = there.parent_path();
  const fs::space_info disk = fs::space(there, failed);
  return failed ? kProgramCacheBytes : std::min<uint64_t>(kProgramCacheBytes, disk.capacity / kDiskShare);
}

Result<FileLock> ProgramCache::lock_folder() const {
  std::error_code failed;
  fs::create_directories(folder_, failed);
  if (failed) return errno_error(failed.value(), kWhere, "creating", folder_);
  const auto deadline = std::chrono::steady_clock::now() + kProgramCacheWaitMax;
  Result<FileLock> lock = FileLock::take(folder_ / "lock", kWhere, [&] { return std::chrono::steady_clock::now() < deadline; });
  if (lock || lock.error().code != ErrorCode::kCancelled) return lock;
  return Error{ErrorCode::kUnavailable, fmt::format("[{}] the lock of '{}' is held for moments; got a process that held it for {} s; try `fuser {}`", kWhere, folder_.string(),
                                                    kProgramCacheWaitMax.count(), (folder_ / "lock").string())};
}

// Oldest use first. The folder's lock is held.
std::vector<ProgramEntry> ProgramCache::scan() const {
  std::vector<std::pair<Used, ProgramEntry>> found;
  std::error_code failed;
  for (auto it = fs::directory_iterator(folder_, failed); !failed && it != fs::directory_iterator(); it.increment(failed)) {
    const std::string name = it->path().filename().string();
    if (!is_program_key(name)) continue;
    Result<ProgramEntry> read = read_program_entry(it->path(), name);
    ProgramEntry entry;
    if (read) entry = *std::move(read);
    else entry.key = name, entry.problem = read.error().message;
    const Used used = used_at(it->path());
    entry.used_unix_s = used.s;
    entry.in_use = read && !is_idle(it->path());
    found.emplace_back(used, std::move(entry));
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return std::pair(a.first, a.second.key) < std::pair(b.first, b.second.key); });
  std::vector<ProgramEntry> entries;
  for (auto& [used, entry] : found) entries.push_back(std::move(entry));
  return entries;
}

// Folders whose writer is dead, and what could not be deleted before.
size_t ProgramCache::collect_abandoned(Trash& trash) const {
  size_t count = 0;
  std::vector<fs::path> all;
  std::error_code failed;
  for (auto it = fs::directory_iterator(folder_, failed); !failed && it != fs::directory_iterator(); it.increment(failed)) all.push_back(it->path());
  for (const fs::path& path : all) {
    const std::string name = path.filename().string();
    if (name.starts_with(kTrashPrefix)) trash.paths.push_back(path);
    if (name.starts_with(kStagingPrefix) && is_idle(path) && trash.take(path)) ++count;
  }
  return count;
}

Result<void> ProgramCache::make_room(uint64_t bytes, Trash& trash) const {
  const uint64_t limit = bytes_max();
  const std::vector<ProgramEntry> entries = scan();
  uint64_t total = bytes, staying = 0;
  for (const ProgramEntry& entry : entries) {
    total += entry.bytes;
    if (entry.in_use) staying += entry.bytes;
  }
  if (bytes + staying > limit) {
    return Error{ErrorCode::kResourceExhausted, fmt::format("[{}] artifacts take at most {} bytes together; got one of {} beside {} in use; try a larger --program-cache-max",
                                                            kWhere, limit, bytes, staying)};
  }
  for (const ProgramEntry& entry : entries) {
    if (entry.problem.empty() && (total <= limit || entry.in_use)) continue;
    if (!trash.take(folder_ / entry.key)) continue;
    total -= entry.bytes;
    log_info(fmt::format("program cache: {} goes: {}", entry.problem.empty() ? entry.model : entry.key, entry.problem.empty() ? "least recently used" : entry.problem));
  }
  return {};
}

// The entry with a lock on it, under the folder's lock; nothing where there is none that can be used.
Result<std::optional<CachedProgram>> ProgramCache::take(const std::string& key, ProgramEntry& entry, Trash& trash) const {
  const fs::path folder = folder_ / key;
  std::error_code ignored;
  if (!fs::exists(fs::symlink_status(folder, ignored))) return std::optional<CachedProgram>();
  Result<ProgramEntry> read = read_program_entry(folder, key);
  if (!read && read.error().code != ErrorCode::kDataLoss) return read.error();
  if (!read) {
    log_warning("an entry of the program cache is removed: " + read.error().message);
    if (trash.take(folder)) return std::optional<CachedProgram>();
    return read.error();
  }
  ACC_TRY(std::shared_ptr<const FileLock> lock, share(folder));
  mark_used(folder);
  entry = *std::move(read);
  return std::optional(cached(entry, folder, std::move(lock)));
}

Result<std::optional<CachedProgram>> ProgramCache::find(const ProgramParts& parts, Progress& progress) {
  const std::string key = program_key(parts);
  std::error_code ignored;
  if (!fs::exists(fs::symlink_status(folder_ / key, ignored))) return std::optional<CachedProgram>();
  ProgramEntry entry;
  std::optional<CachedProgram> found;
  {
    Trash trash;
    ACC_TRY(const FileLock lock, lock_folder());
    ACC_TRY(found, take(key, entry, trash));
  }
  if (!found) return found;
  const Result<void> whole = check_program_files(entry, folder_ / key, progress);
  if (whole) return found;
  if (whole.error().code == ErrorCode::kCancelled) return whole.error();
  drop(key, whole.error().message);
  return std::optional<CachedProgram>();
}

Result<ProgramStaging> ProgramCache::begin(const ProgramParts& parts, const std::string& model) {
  Trash trash;
  ACC_TRY(const FileLock folder_lock, lock_folder());
  collect_abandoned(trash);
  auto state = std::make_unique<ProgramStaging::State>();
  state->folder = folder_ / name_of_our_own(kStagingPrefix);
  state->parts = parts;
  state->model = model;
  std::error_code failed;
  fs::create_directories(state->folder / kProgramArtifactFolder, failed);
  if (failed) return errno_error(failed.value(), kWhere, "creating", state->folder);
  ACC_TRY(std::optional<FileLock> lock, FileLock::try_take(state->folder / kProgramInUseFile, kWhere, FileLock::Kind::kExclusive));
  if (!lock) return Error{ErrorCode::kUnavailable, fmt::format("[{}] nobody else has '{}'; got another process in it", kWhere, state->folder.string())};
  state->lock.emplace(*std::move(lock));
  return ProgramStaging(std::move(state));
}

Result<CachedProgram> ProgramCache::commit(ProgramStaging staging, const fs::path& artifact, Progress& progress) {
  ProgramStaging::State& state = *staging.state_;
  const fs::path written = state.folder / kProgramArtifactFolder;
  ProgramEntry entry{.key = program_key(state.parts), .parts = state.parts, .model = state.model, .artifact = {}, .files = {}, .created_unix_s = now_unix_s(), .problem = {}};
  ACC_TRY(entry.artifact, name_within(written, artifact));
  ACC_TRY(entry.files, list_program_files(written));
  ACC_TRY_VOID(seal_program_files(written, entry.files, progress));
  ACC_TRY_VOID(write_file_atomically(state.folder / kProgramEntryFile, program_entry_text(entry)));
  ACC_TRY(entry, read_program_entry(state.folder, entry.key));  // what the next process will see
  Trash trash;
  ACC_TRY(const FileLock folder_lock, lock_folder());
  ProgramEntry quicker;
  ACC_TRY(std::optional<CachedProgram> there, take(entry.key, quicker, trash));
  if (there) return *std::move(there);
  ACC_TRY_VOID(make_room(entry.bytes, trash));
  const fs::path folder = folder_ / entry.key;
  std::error_code failed;
  fs::rename(state.folder, folder, failed);
  if (failed) return errno_error(failed.value(), kWhere, "renaming to", folder);
  state.committed = true;
  state.lock.reset();
  const int descriptor = ::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor >= 0) {
    ::fsync(descriptor);
    ::close(descriptor);
  }
  ACC_TRY(std::shared_ptr<const FileLock> lock, share(folder));
  mark_used(folder);
  return cached(entry, folder, std::move(lock));
}

void ProgramCache::drop(const std::string& key, std::string_view why) {
  Trash trash;
  const Result<FileLock> lock = lock_folder();
  const bool gone = lock && trash.take(folder_ / key);
  log_warning(fmt::format("an entry of the program cache is {}: {}", gone ? "removed" : "of no use", why));
}

Result<std::vector<ProgramEntry>> ProgramCache::list() {
  std::error_code ignored;
  if (!fs::exists(folder_, ignored)) return std::vector<ProgramEntry>();
  ACC_TRY(const FileLock lock, lock_folder());
  return scan();
}

Result<std::vector<ProgramEntry>> ProgramCache::verify(bool repair, Progress& progress) {
  std::error_code ignored;
  if (!fs::exists(folder_, ignored)) return std::vector<ProgramEntry>();
  std::vector<ProgramEntry> entries;
  std::vector<std::shared_ptr<const FileLock>> held;  // none goes while it is read
  {
    ACC_TRY(const FileLock lock, lock_folder());
    entries = scan();
    for (ProgramEntry& entry : entries) {
      if (!entry.problem.empty()) continue;
      Result<std::shared_ptr<const FileLock>> one = share(folder_ / entry.key);
      if (one) held.push_back(*std::move(one));
      else entry.problem = one.error().message;
    }
  }
  for (ProgramEntry& entry : entries) {
    if (!entry.problem.empty()) continue;
    const Result<void> whole = check_program_files(entry, folder_ / entry.key, progress);
    if (!whole && whole.error().code == ErrorCode::kCancelled) return whole.error();
    if (!whole) entry.problem = whole.error().message;
  }
  for (const ProgramEntry& entry : entries) {
    if (repair && !entry.problem.empty()) drop(entry.key, entry.problem);
  }
  return entries;
}

Result<ProgramPruned> ProgramCache::prune(const ProgramPrune& wish) {
  ProgramPruned pruned;
  std::error_code ignored;
  if (!fs::exists(folder_, ignored)) return pruned;
  Trash trash;
  ACC_TRY(const FileLock lock, lock_folder());
  pruned.abandoned = collect_abandoned(trash);
  std::vector<ProgramEntry> entries = scan();
  for (const ProgramEntry& entry : entries) pruned.bytes_left += entry.bytes;
  const uint64_t limit = wish.bytes_max.value_or(bytes_max());
  const int64_t now = now_unix_s();
  for (ProgramEntry& entry : entries) {
    const bool old = wish.unused_s && now - entry.used_unix_s >= *wish.unused_s;
    const bool broken = !entry.problem.empty();
    if (!wish.all && !old && !broken && pruned.bytes_left <= limit) continue;
    if (entry.in_use || !trash.take(folder_ / entry.key)) {
      pruned.kept_in_use.push_back(std::move(entry));
      continue;
    }
    pruned.bytes_left -= entry.bytes;
    pruned.removed.push_back(std::move(entry));
  }
  return pruned;
}

}  // namespace accelerate
