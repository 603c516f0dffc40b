// PlanCandidates - the yes-lines of a Plan as Candidates that can be started, and the first start.
//
//   std::vector<Candidate> candidates = plan_candidates(plan, request);
//   ACC_TRY(FirstStart first, start_first(candidates, {.name = "smollm2"}, progress));
//
// A start is: memory that is left, a remembered verdict or the reference's logits, an artifact of the program cache or else
// compile, the gate's probe, and the artifact kept.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "accelerate/engine/candidates.h"
#include "accelerate/engine/fallback.h"
#include "accelerate/engine/planner.h"
#include "accelerate/engine/program_cache.h"
#include "accelerate/engine/records.h"
#include "accelerate/engine/start_report.h"

namespace accelerate {

/// The memory of all models together, as a start sees it. Empty functions: no budget.
struct MemoryTurn {
  std::mutex* turn = nullptr;                             // held through a start: two at once would both count on what is left
  std::function<uint64_t(uint64_t own_bytes)> left = {};  // what a further program may take beside the endpoint's own
  std::function<void(uint64_t own_bytes)> took = {};      // what the endpoint has from now on
};

struct CandidateRequest {
  std::shared_ptr<const Model> model;
  std::string name;
  CompileOptions compile;
  bool prove = true;                                      // compare with the reference (engine/parity_gate.h)
  uint32_t threads = 0, prompt_tokens = 0;                // prompt_tokens: of the use case that the plan's figures are of
  std::optional<double> kl_max = {};                      // mean KL that the gate may find (PlanConstraints): more is failed_precondition
  std::shared_ptr<const std::vector<ProbedBackend>> probed;  // the reference is looked for among them; must outlive no Engine
  std::function<Records*()> records;
  MemoryTurn memory;
  ProgramCache* cache = nullptr;                          // of artifacts; null: none is kept
  std::function<void(const StartReport&)> started = {};   // told of each program that was proven
};
std::vector<Candidate> plan_candidates(const Plan& plan, const CandidateRequest& request);

/// Who did not start `name`, and why.
class StartFailures {
 public:
  explicit StartFailures(std::string name) : name_(std::move(name)) {}
  /// Logged; the note for replies.
  std::string add(const std::string& target, const Error& error);
  /// Each cause, and their code where they agree; else unavailable.
  Error all() const;
  /// What a failure of `target` is with fallback forbidden.
  Error forbidden(const std::string& target, const Error& error) const;

 private:
  std::string name_, causes_;
  std::optional<ErrorCode> code_;
};

struct FirstStartOptions {
  std::string name;
  Fallback fallback = Fallback::kAllow;
  ShrinkOptions shrink = {};
  bool together = false;                                  // all of them are to run; else the first that works
  std::chrono::milliseconds step_max = PoolLimits{}.step_max;  // of the first step
};
/// start_candidate, and one token through what started (run_canary).
Result<StartedProgram> start_and_ask(const Candidate& candidate, const StartRequest& request, const FirstStartOptions& options);

struct FirstStart {
  std::vector<StartedProgram> running;                    // at least one; they have answered once
  std::vector<std::string> notes;                         // who did not start, and what was made smaller
};
/// Each failure is logged and noted. With fallback forbidden the first failure is the error; cancelled always is; else the
/// error has every Target's cause.
Result<FirstStart> start_first(std::span<const Candidate> candidates, const FirstStartOptions& options, Progress& progress);

}  // namespace accelerate
