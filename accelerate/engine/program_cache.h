// ProgramCache - what compiles left on disk, found again by everything it depends on (engine/program_entry.h).
//
//   ProgramCache cache({});                                                  // cache_dir()/programs
//   ACC_TRY(std::optional<CachedProgram> known, cache.find(parts, progress));
//   if (known) return backend.load(model, known->artifact, ...);             // and program->hold(known->lock)
//   ACC_TRY(ProgramStaging staging, cache.begin(parts, "gemma3"));
//   options.artifact_dir = staging.artifact_dir();
//   ACC_TRY(Compiled compiled, backend.compile(model, device, options, progress));
//   ACC_TRY(CachedProgram kept, cache.commit(std::move(staging), compiled.artifact->path, progress));
//
// An entry is whole or absent: it is written in a folder beside, synced, and renamed. What a process that died left behind is
// removed by the next begin() or prune(). Of two processes that compile the same, the first to commit wins. Beyond the limit the
// least recently used go; what a living process uses stays, but for broken entries, which are of use to nobody.
// Thread-safe, and any number of processes may use one folder: its lock is held for renames and look-ups, never while
// something is compiled, hashed or deleted, and waited for at most kProgramCacheWaitMax. No error here may stop a load.
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "accelerate/base/file_lock.h"
#include "accelerate/engine/program_entry.h"

namespace accelerate {

inline constexpr uint64_t kProgramCacheBytes = uint64_t{10} << 30;   // the default limit, or a tenth of the disk if that is less
inline constexpr std::chrono::seconds kProgramCacheWaitMax{10};

struct ProgramCacheOptions {
  std::filesystem::path folder;              // empty = cache_dir()/programs
  std::optional<uint64_t> bytes_max = {};    // of all artifacts; nothing = the default
};

/// An artifact that stays where it is while `lock` lives.
struct CachedProgram {
  Artifact artifact;
  std::shared_ptr<const FileLock> lock;
};

/// Where a backend writes; removed unless it was committed.
class ProgramStaging {
 public:
  ~ProgramStaging();
  ProgramStaging(ProgramStaging&&) noexcept;
  /// An empty folder.
  std::string artifact_dir() const;

 private:
  friend class ProgramCache;
  struct State;
  explicit ProgramStaging(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

struct ProgramPrune {
  bool all = false;                          // else what is over the limit or too old
  std::optional<uint64_t> bytes_max = {};    // nothing = the cache's own limit
  std::optional<int64_t> unused_s = {};      // entries that were not used for so long
};
struct ProgramPruned {
  std::vector<ProgramEntry> removed;         // broken ones with their problem
  std::vector<ProgramEntry> kept_in_use;     // would have gone
  uint64_t bytes_left = 0;
  size_t abandoned = 0;                      // half-written folders of dead processes that were removed
};

class ProgramCache {
 public:
  explicit ProgramCache(ProgramCacheOptions options);

  /// Nothing where there is none or a broken one, which is removed and warned of. Reads every byte (about 1 GB/s): a program
  /// whose bytes changed is never run. Marks it as used now. cancelled; errors of the folder.
  Result<std::optional<CachedProgram>> find(const ProgramParts& parts, Progress& progress);
  Result<ProgramStaging> begin(const ProgramParts& parts, const std::string& model);
  /// `artifact` is a file or folder in staging.artifact_dir(). invalid_argument for one elsewhere, resource_exhausted where it does
  /// not fit the limit or the disk, cancelled; nothing is left behind then.
  Result<CachedProgram> commit(ProgramStaging staging, const std::filesystem::path& artifact, Progress& progress);
  /// It did not load: removed, used or not.
  void drop(const std::string& key, std::string_view why);

  /// By last use, oldest first; broken ones with their problem.
  Result<std::vector<ProgramEntry>> list();
  /// list() after reading every byte; with `repair` broken ones are removed.
  Result<std::vector<ProgramEntry>> verify(bool repair, Progress& progress);
  Result<ProgramPruned> prune(const ProgramPrune& wish);

  const std::filesystem::path& folder() const { return folder_; }
  uint64_t bytes_max() const;

 private:
  struct Trash;
  Result<FileLock> lock_folder() const;
  std::vector<ProgramEntry> scan() const;
  Result<void> make_room(uint64_t bytes, Trash& trash) const;
  size_t collect_abandoned(Trash& trash) const;
  Result<std::optional<CachedProgram>> take(const std::string& key, ProgramEntry& entry, Trash& trash) const;

  std::filesystem::path folder_;
  std::optional<uint64_t> bytes_max_;
};

}  // namespace accelerate
