#include "accelerate/engine/plan_candidates.h"

#include <optional>
#include <utility>

#include <fmt/format.h>

#include "accelerate/base/log.h"
#include "accelerate/engine/parity_gate.h"
#include "accelerate/engine/program_loader.h"

namespace accelerate {
namespace {

SpeedAverages speed_of(const PlanEntry& entry, uint32_t prompt_tokens) {
  const std::optional<PlanFigures>& figures = entry.measured ? entry.measured : entry.predicted;
  if (!figures || !figures->ttft_ms || !figures->tpot_ms || *figures->ttft_ms <= 0 || prompt_tokens == 0) return {};
  return SpeedAverages(prompt_tokens / *figures->ttft_ms * 1e3, *figures->tpot_ms / 1e3);
}

// A plan can not tell the quality of what was never loaded; now it is known.
Result<void> check_proof(ParityGate& gate, Program& program, std::optional<double> kl_max, Progress& progress) {
  ACC_TRY_VOID(gate.check(program, progress));
  if (!kl_max) return {};
  const ParityVerdict& verdict = gate.verdict();
  if (verdict.state != ParityVerdict::State::kPass) log_warning(fmt::format("whether the mean KL is at most {:.4g} is not known: {}", *kl_max, to_string(verdict)));
  if (verdict.state != ParityVerdict::State::kPass || verdict.numbers.kl_mean <= *kl_max) return {};
  return Error{ErrorCode::kFailedPrecondition, fmt::format("[engine] the mean KL to the reference is at most {:.4g}; got {:.4g}", *kl_max, verdict.numbers.kl_mean)};
}

Result<std::unique_ptr<Program>> start_target(const CandidateRequest& wish, const PlanEntry& entry, const StartRequest& request) {
  const std::string target = to_string(entry.target);
  std::unique_lock<std::mutex> one_at_a_time;
  CompileOptions compile = wish.compile;
  if (wish.memory.turn) {
    one_at_a_time = std::unique_lock(*wish.memory.turn);
    compile.memory_bytes = wish.memory.left(request.memory_taken);
  }
  if (request.slots != 0) compile.slots = request.slots;
  if (request.context != 0) compile.context = request.context;
  ParityGate gate({.model = wish.model, .name = wish.name, .target = target, .backend_version = entry.backend_version, .compile = compile,
                   .threads = wish.threads, .backends = *wish.probed, .records = wish.records, .cache = {}});
  if (wish.prove) ACC_TRY_VOID(gate.prepare(request.progress));  // before: the reference never stands beside the candidate
  ProgramLoader loader({.model = wish.model, .name = wish.name, .entry = entry, .compile = compile, .threads = wish.threads, .cache = wish.cache});
  ACC_TRY(LoadedProgram loaded, loader.load(request.progress));
  if (wish.prove) ACC_TRY_VOID(check_proof(gate, *loaded.program, wish.kl_max, request.progress));
  else log_warning(fmt::format("{} on {} was not compared with the reference: --parity off", wish.name, target));
  ACC_TRY_VOID(loader.keep(loaded, request.progress));
  if (wish.memory.took) wish.memory.took(request.memory_taken + loaded.program->memory_bytes());
  if (wish.started) {
    wish.started({.target = target, .load_s = loaded.seconds, .from_cache = loaded.from_cache, .artifact = loaded.artifact, .cached = loaded.cached,
                  .memory_bytes = loaded.program->memory_bytes(), .report = loaded.report, .parity = wish.prove ? std::optional(gate.verdict()) : std::nullopt});
  }
  return std::move(loaded.program);
}

}  // namespace

std::vector<Candidate> plan_candidates(const Plan& plan, const CandidateRequest& request) {
  std::vector<Candidate> candidates;
  for (const PlanEntry& entry : plan.entries) {
    if (!entry.yes) continue;
    candidates.push_back({.target = to_string(entry.target),
                          .start = [request, entry](const StartRequest& start) { return start_target(request, entry, start); },
                          .speed = speed_of(entry, request.prompt_tokens)});
  }
  return candidates;
}

Result<StartedProgram> start_and_ask(const Candidate& candidate, const StartRequest& request, const FirstStartOptions& options) {
  ACC_TRY(StartedProgram started, start_candidate(candidate, request, options.shrink));
  ACC_TRY_VOID(run_canary(*started.program, {.deadline = std::chrono::steady_clock::now() + options.step_max, .stop = nullptr}));
  return started;
}

std::string StartFailures::add(const std::string& target, const Error& error) {
  std::string note = fmt::format("{} did not start: {}", target, error.message);
  log_warning(fmt::format("{}: {}", name_, note));
  causes_ += fmt::format("{}{}: {}", causes_.empty() ? "" : "; ", target, error.message);
  code_ = !code_ || *code_ == error.code ? error.code : ErrorCode::kUnavailable;
  return note;
}

Error StartFailures::all() const {
  return {code_.value_or(ErrorCode::kUnavailable), fmt::format("[engine] no target started '{}'; got {}", name_, causes_.empty() ? "none to try" : causes_)};
}

Error StartFailures::forbidden(const std::string& target, const Error& error) const {
  return {error.code, fmt::format("[engine] fallback is forbidden for '{}'; got a failure of {}: {}; try --fallback allow", name_, target, error.message)};
}

Result<FirstStart> start_first(std::span<const Candidate> candidates, const FirstStartOptions& options, Progress& progress) {
  FirstStart first;
  StartFailures failures(options.name);
  uint64_t taken = 0;
  for (const Candidate& candidate : candidates) {
    Result<StartedProgram> started = start_and_ask(candidate, {.progress = progress, .memory_taken = taken}, options);
    if (started) {
      taken += started->program->memory_bytes();
      first.notes.insert(first.notes.end(), started->notes.begin(), started->notes.end());
      first.running.push_back(*std::move(started));
      if (options.together) continue;
      break;
    }
    const Error& error = started.error();
    if (error.code == ErrorCode::kCancelled || candidates.size() == 1) return error;
    if (options.fallback == Fallback::kForbid) return failures.forbidden(candidate.target, error);
    first.notes.push_back(failures.add(candidate.target, error));
  }
  if (first.running.empty()) return failures.all();
  return first;
}

}  // namespace accelerate
