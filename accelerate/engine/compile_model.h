// compile_model - what a load does up to serving: compile, prove, keep the artifact; then the program is let go.
//
//   ACC_TRY(CompileReport report, compile_model(*engine, "gemma3", {.hardware = "max"}, progress));
//   print(report.start.cached);      // "kept in the program cache"
#pragma once

#include <string>
#include <vector>

#include "accelerate/engine/engine.h"
#include "accelerate/engine/start_report.h"

namespace accelerate {

struct CompileReport {
  std::string name, path, quantization;
  StartReport start;                     // of the Target that would serve
  double total_s = 0;                    // with the proof and all else
  uint64_t weights_bytes = 0;            // of the model's files
  std::vector<std::string> notes;        // casts and defaults, who did not start, what was made smaller
};

/// Errors are Engine::open's, also already_exists where a model of this name is being served; unimplemented for a relay's model.
Result<CompileReport> compile_model(Engine& engine, const std::string& model, const OpenOptions& options, Progress& progress);

}  // namespace accelerate
