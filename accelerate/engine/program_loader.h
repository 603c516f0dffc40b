// ProgramLoader - a Program from the program cache, or compiled and kept there once it is proven.
//
//   ProgramLoader loader({.model = model, .name = "gemma3", .entry = entry, .compile = options, .threads = 8, .cache = &cache});
//   ACC_TRY(LoadedProgram loaded, loader.load(progress));       // looked up, else compiled
//   prove(*loaded.program);
//   ACC_TRY_VOID(loader.keep(loaded, progress));                // what nobody proved is not kept
//
// For a backend that leaves no artifacts (Descriptor::artifacts) it is compile() and nothing else. What is wrong with the cache
// is warned of and said in LoadedProgram::cached, and the program is compiled without it. One thread; one loader per load.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "accelerate/engine/planner.h"
#include "accelerate/engine/program_cache.h"

namespace accelerate {

struct LoadWish {
  std::shared_ptr<const Model> model;    // with its graph
  std::string name;                      // for messages and `cache list`
  const PlanEntry& entry;                // backend, target, version; borrowed
  CompileOptions compile;
  uint32_t threads = 0;                  // that compile.threads = 0 stands for
  ProgramCache* cache = nullptr;         // null: nothing is kept
};

struct LoadedProgram {
  std::unique_ptr<Program> program;
  std::vector<std::string> report;       // the backend's
  double seconds = 0;                    // of compile() or load()
  bool from_cache = false;
  std::optional<Artifact> artifact;      // in the cache
  std::string cached;                    // "loaded from the program cache", or why there is no artifact
};

class ProgramLoader {
 public:
  explicit ProgramLoader(LoadWish wish) : wish_(std::move(wish)) {}
  /// The backend's errors; cancelled. An artifact that does not load is dropped, unless memory or time was what lacked.
  Result<LoadedProgram> load(Progress& progress);
  /// Puts a new artifact into the cache and its lock into the program. cancelled, else no error.
  Result<void> keep(LoadedProgram& loaded, Progress& progress);

 private:
  Result<bool> look_up(LoadedProgram& loaded, Progress& progress);
  void prepare_staging(LoadedProgram& loaded, CompileOptions& options);

  const LoadWish wish_;
  ProgramParts parts_;
  std::optional<ProgramStaging> staging_;
  std::string artifact_path_;
};

}  // namespace accelerate
