#include "accelerate/engine/program_loader.h"

#include <chrono>

#include <fmt/format.h>

#include "accelerate/base/cpu.h"
#include "accelerate/base/log.h"
#include "accelerate/core/graph.h"
#include "accelerate/engine/fingerprint.h"
#include "accelerate/engine/parity_gate.h"
#include "accelerate/engine/stopping.h"
#include "accelerate/formats/model_id.h"

namespace accelerate {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Says nothing of the artifact: the same will load when there is more memory or time.
bool blames_artifact(ErrorCode code) {
  return code != ErrorCode::kCancelled && code != ErrorCode::kResourceExhausted && code != ErrorCode::kDeadlineExceeded;
}

Result<ProgramParts> parts_of(const LoadWish& wish, Progress& progress) {
  const Result<Isa> isa = usable_isa();
  const Stopping stopping(progress, "model id");  // reads every byte once
  ACC_TRY(const std::string model_id, compute_model_id(*wish.model, {.cache_file = {}, .stop = &stopping.flag()}));
  return program_parts({.model_id = model_id, .graph_hash = wish.model->graph ? graph_hash(*wish.model->graph) : "", .backend = wish.entry.target.backend,
                        .versions = exact_versions(wish.entry.backend_version), .device = to_string(wish.entry.target.device),
                        .device_name = wish.entry.target.device.name, .machine = fmt::format("{} | {}", cpu_info().model, isa ? isa_name(*isa) : "no kernels"),
                        .quantization = quantization_label(*wish.model, wish.compile), .compile = wish.compile, .threads = wish.threads});
}

}  // namespace

// Whether `loaded` has the program now. An error is one that a compile would not help against.
Result<bool> ProgramLoader::look_up(LoadedProgram& loaded, Progress& progress) {
  Result<std::optional<CachedProgram>> found = wish_.cache->find(parts_, progress);
  if (!found) {
    if (found.error().code == ErrorCode::kCancelled) return found.error();
    log_warning(fmt::format("{}: the program cache is not read: {}", wish_.name, found.error().message));
    return false;
  }
  if (!*found) return false;
  const auto start = Clock::now();
  Result<std::unique_ptr<Program>> program = wish_.entry.backend->load(wish_.model, (*found)->artifact, wish_.entry.target.device, wish_.compile, progress);
  if (!program && !blames_artifact(program.error().code)) return program.error();
  if (!program) {
    wish_.cache->drop((*found)->artifact.id, fmt::format("'{}' did not load on {} and is compiled again: {}", wish_.name, to_string(wish_.entry.target), program.error().message));
    return false;
  }
  loaded.program = *std::move(program);
  loaded.program->hold((*found)->lock);
  loaded.seconds = seconds_since(start);
  loaded.from_cache = true;
  loaded.artifact = (*found)->artifact;
  loaded.cached = "loaded from the program cache";
  return true;
}

void ProgramLoader::prepare_staging(LoadedProgram& loaded, CompileOptions& options) {
  Result<ProgramStaging> staging = wish_.cache->begin(parts_, wish_.name);
  if (staging) {
    options.artifact_dir = staging->artifact_dir();
    staging_.emplace(*std::move(staging));
    return;
  }
  loaded.cached = "not kept in the program cache: " + staging.error().message;
  log_warning(fmt::format("{}: {}", wish_.name, loaded.cached));
}

Result<LoadedProgram> ProgramLoader::load(Progress& progress) {
  LoadedProgram loaded;
  CompileOptions options = wish_.compile;
  Backend& backend = *wish_.entry.backend;
  if (!backend.about().artifacts) {
    loaded.cached = "this backend leaves no artifact: it compiles at load";
  } else if (!wish_.cache) {
    loaded.cached = "not kept: the program cache is off";
  } else {
    ACC_TRY(parts_, parts_of(wish_, progress));
    ACC_TRY(const bool there, look_up(loaded, progress));
    if (there) {
      log_info(fmt::format("{} on {}: {} in {:.1f} s", wish_.name, to_string(wish_.entry.target), loaded.cached, loaded.seconds));
      return loaded;
    }
    prepare_staging(loaded, options);
  }
  const auto start = Clock::now();
  ACC_TRY(Compiled compiled, backend.compile(wish_.model, wish_.entry.target.device, options, progress));
  loaded.seconds = seconds_since(start);
  loaded.program = std::move(compiled.program);
  loaded.report = std::move(compiled.report);
  if (options.level != CompileOptions{}.level && !backend.about().levels) {
    loaded.report.push_back(fmt::format("{} has one level only: {} changed nothing", backend.about().name, options.level));
  }
  for (const std::string& line : loaded.report) log_info(wish_.name + ": " + line);
  if (compiled.artifact) artifact_path_ = compiled.artifact->path;
  return loaded;
}

Result<void> ProgramLoader::keep(LoadedProgram& loaded, Progress& progress) {
  if (!staging_) return {};
  Result<CachedProgram> kept = artifact_path_.empty() ? Error{ErrorCode::kFailedPrecondition, "the backend left no artifact"}
                                                      : wish_.cache->commit(*std::move(staging_), artifact_path_, progress);
  staging_.reset();
  if (!kept && kept.error().code == ErrorCode::kCancelled) return kept.error();
  if (!kept) {
    loaded.cached = "not kept in the program cache: " + kept.error().message;
    log_warning(fmt::format("{}: {}", wish_.name, loaded.cached));
    return {};
  }
  loaded.program->hold(kept->lock);
  loaded.artifact = kept->artifact;
  loaded.cached = "kept in the program cache";
  log_info(fmt::format("{} on {}: compiled in {:.1f} s, {}", wish_.name, to_string(wish_.entry.target), loaded.seconds, loaded.cached));
  return {};
}

}  // namespace accelerate
