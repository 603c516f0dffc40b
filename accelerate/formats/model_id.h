// Model id - what makes two models the same: their files' names, sizes and contents.
//
//   Result<std::string> id = compute_model_id(model, {.stop = &shutting_down});   // on a thread of its own
//
// id = sha256 (hex) over one line "SHA256 SIZE NAME\n" for each file, sorted by NAME (the path inside the model's
// folder, with '/'). Hashing reads every byte (about 1 GB/s), so results are kept in a cache file keyed by (path, size,
// modification time, inode); a file that changed in any of these is hashed again. The cache is advice: broken or
// unwritable, it is left aside with a warning in the log.
// Thread-safe; of several processes that write the cache at once, the last one's entries stay.
#pragma once

#include <atomic>
#include <filesystem>
#include <string>
#include <vector>

#include "accelerate/base/result.h"
#include "accelerate/core/model.h"

namespace accelerate {

inline constexpr size_t kHashCacheEntriesMax = 4096;  // files remembered; beyond it the cache starts anew

struct ModelIdOptions {
  std::filesystem::path cache_file;          // empty = cache_dir()/file_hashes.json
  const std::atomic<bool>* stop = nullptr;   // not owned; may be null; obeyed within 16 MiB of reading
};

/// cancelled after a stop; failed_precondition when a file changes meanwhile; not_found when one is gone.
Result<std::string> compute_model_id(const Model& model, const ModelIdOptions& options = {});

/// The files the id covers: the mapped ones, and for a Hugging Face directory the configuration beside them.
std::vector<std::filesystem::path> identity_files(const Model& model);

}  // namespace accelerate
