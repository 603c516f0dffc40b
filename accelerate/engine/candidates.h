// Candidate - a Target of the Plan that could serve a model, and how it is started.
//
//   Candidate candidate{.target = "cpu@cpu:0", .start = [=](const StartRequest& request) { return compile_and_prove(request); }};
//   ACC_TRY(StartedProgram started, start_candidate(candidate, {.progress = progress}, {.slots = 8}));
//
// start() compiles and compares with the reference (engine/parity_gate.h). It is called again when the Target is restarted,
// from another thread, never twice at once.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "accelerate/core/backend.h"
#include "accelerate/engine/balancer.h"

namespace accelerate {

struct StartRequest {
  Progress& progress;
  uint32_t slots = 0, context = 0;   // instead of those asked for; 0 = as asked
  uint64_t memory_taken = 0;         // by what this endpoint runs already
};

struct Candidate {
  std::string target;                // "cpu@cpu:0"
  std::function<Result<std::unique_ptr<Program>>(const StartRequest&)> start;  // empty: what runs can not be started again
  SpeedAverages speed;               // as Records have it
};

struct StartedProgram {
  std::string target;
  std::unique_ptr<Program> program;
  std::vector<std::string> notes;    // what was made smaller, for people
};

/// What may be made smaller when memory does not suffice, in this order.
struct ShrinkOptions {
  uint32_t slots = 0;                // as asked; 0 = the default
  uint32_t context = 0;              // of the model, or as asked
  bool smaller_context = false;      // it may be cut: prompts that fitted may not fit any more
};
inline constexpr uint32_t kShrunkSlots = 4;         // from the default; then one
inline constexpr uint32_t kShrunkContextMin = 512;  // less is of no use to anybody

/// Starts it; on resource_exhausted with fewer slots, then with half the context again and again where that is allowed,
/// each said in the log and in `notes`. The error is that of the first try.
Result<StartedProgram> start_candidate(const Candidate& candidate, const StartRequest& request, const ShrinkOptions& shrink);

/// One token through a decoder, one through an encoder: a path from the call to finite numbers and back.
/// `control` bounds it: a driver may hang at the first step, too.
Result<void> run_canary(Program& program, const StepControl& control);

/// Whether an error says something about the Target and not about the request: then another one may do better.
bool blames_target(ErrorCode code);
/// Whether trying the same again may help.
bool may_pass(ErrorCode code);

}  // namespace accelerate
