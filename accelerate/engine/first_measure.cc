#include "accelerate/engine/first_measure.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include <fmt/format.h>

#include "accelerate/base/log.h"
#include "accelerate/core/graph.h"
#include "accelerate/engine/bench_round.h"
#include "accelerate/engine/bench_targets.h"
#include "accelerate/engine/endpoints.h"
#include "accelerate/engine/fingerprint.h"
#include "accelerate/engine/hardware.h"
#include "accelerate/engine/parity_gate.h"
#include "accelerate/engine/stopping.h"

namespace accelerate {
namespace {

using Clock = std::chrono::steady_clock;

double seconds(Clock::duration time) { return std::chrono::duration<double>(time).count(); }

bool behind_cpu(const std::string& hardware) {
  const auto names = hardware_names();
  const auto at = [&](std::string_view name) { return std::find_if(names.begin(), names.end(), [&](const HardwareName& known) { return known.name == name; }); };
  return at(hardware) > at("cpu");
}

bool needs_figures(const PlanEntry& entry, PlanConstraints constraints) {
  constraints.kl_max.reset();  // the gate's
  return !unknown_limits(entry, constraints).empty();
}

// A program that an endpoint uses for a while and does not own.
class LentDecoder final : public DecoderProgram {
 public:
  explicit LentDecoder(DecoderProgram& lent) : lent_(lent) {}
  uint64_t memory_bytes() const override { return lent_.memory_bytes(); }
  std::vector<std::string> notes() const override { return lent_.notes(); }
  bool alive() const override { return lent_.alive(); }
  uint32_t vocabulary() const override { return lent_.vocabulary(); }
  DecoderLimits limits() const override { return lent_.limits(); }
  Capacity capacity() const override { return lent_.capacity(); }
  Result<Slot> open() override { return lent_.open(); }
  void close(Slot slot) override { lent_.close(slot); }
  uint32_t length(Slot slot) const override { return lent_.length(slot); }
  Result<void> truncate(Slot slot, uint32_t tokens) override { return lent_.truncate(slot, tokens); }
  Result<Slot> fork(Slot slot, uint32_t tokens) override { return lent_.fork(slot, tokens); }
  Result<void> step(std::span<const SlotInput> inputs, std::span<SlotStatus> statuses, LogitsSink& sink, const StepControl& control) override {
    return lent_.step(inputs, statuses, sink, control);
  }

 private:
  DecoderProgram& lent_;
};

class LentEncoder final : public EncoderProgram {
 public:
  explicit LentEncoder(EncoderProgram& lent) : lent_(lent) {}
  uint64_t memory_bytes() const override { return lent_.memory_bytes(); }
  std::vector<std::string> notes() const override { return lent_.notes(); }
  bool alive() const override { return lent_.alive(); }
  EncoderLimits limits() const override { return lent_.limits(); }
  Result<void> encode(std::span<const EncoderInput> inputs, EncodeOutput output, MatrixSink& sink, const StepControl& control) override {
    return lent_.encode(inputs, output, sink, control);
  }

 private:
  EncoderProgram& lent_;
};

std::unique_ptr<Program> lend(Program& program) {
  switch (program.kind()) {
    case ProgramKind::kDecoder: return std::make_unique<LentDecoder>(static_cast<DecoderProgram&>(program));
    case ProgramKind::kEncoder: return std::make_unique<LentEncoder>(static_cast<EncoderProgram&>(program));
    case ProgramKind::kTensor:
    case ProgramKind::kText: break;
  }
  return nullptr;
}

// The caller's progress until `end`; from then on it says stop.
class Budget final : public Progress {
 public:
  Budget(Progress& progress, Clock::time_point end) : progress_(progress), end_(end) {}
  bool update(std::string_view what, uint64_t done, uint64_t total, std::string_view unit) override {
    if (!progress_.update(what, done, total, unit)) stopped_ = true;
    return !stopped_ && !over();
  }
  bool over() const { return Clock::now() >= end_; }
  bool stopped() const { return stopped_; }  // by the caller
  Clock::time_point end() const { return end_; }

 private:
  Progress& progress_;
  const Clock::time_point end_;
  std::atomic<bool> stopped_{false};
};

// Why this program can not be asked for the shape; empty = it can.
std::string unfit(const Program& program, const EndpointInfo& info, const BenchOptions& options) {
  if (const Result<void> fits = check_bench_context(options, info); !fits) return fits.error().message;
  if (program.kind() != ProgramKind::kDecoder) return {};
  const uint32_t slots = static_cast<const DecoderProgram&>(program).limits().slots_max;
  if (slots < options.batch) return fmt::format("{} answers at once take as many slots; got {}", options.batch, slots);
  return {};
}

// Rounds until its share is over; with none, `refusal` says why. An error is the program's, or cancelled by the caller.
Result<TargetResult> measure_program(const FirstMeasureRequest& request, Program& program, TargetResult result, Clock::time_point share_end, Budget& budget) {
  const UseCase& use = request.use;
  const BenchOptions options{.prompt_tokens = use.prompt_tokens, .generate_tokens = use.generate_tokens, .batch = std::max(use.concurrency, 1u), .open = {}};
  std::unique_ptr<Program> lent = lend(program);
  result.refusal = !lent ? "it makes neither tokens nor vectors" : budget.over() ? "its start took the whole budget" : "";
  if (!result.refusal.empty()) return result;
  PoolLimits limits;  // a step that hangs ends with the budget
  limits.step_max = std::clamp(std::chrono::ceil<std::chrono::milliseconds>(budget.end() - Clock::now()), std::chrono::milliseconds(1), request.start.step_max);
  ACC_TRY(const std::shared_ptr<Endpoint> endpoint, make_endpoint({.model = request.model, .program = std::move(lent), .name = request.start.name, .path = request.start.name,
                                                                   .target = result.label, .started = Clock::now(), .limits = limits}));
  result.refusal = unfit(program, endpoint->info(), options);
  if (!result.refusal.empty()) return result;
  const Model& model = *request.model;
  BenchRounds rounds(*endpoint, options, model.graph->vocabulary != 0 ? model.graph->vocabulary : model.config.vocabulary);
  const Stopping stopping(budget, "measuring " + result.label);
  const StepControl control{.deadline = budget.end(), .stop = &stopping.flag()};
  Clock::time_point begun = Clock::now();
  Result<void> ran = rounds.warm_up(control);
  while (ran && result.report.rounds < kFirstRounds) {
    const Clock::time_point now = Clock::now();
    if (now + (now - begun) > (result.report.rounds == 0 ? budget.end() : share_end)) break;  // the next takes about as long
    begun = now;
    ran = run_bench_round(rounds, options, result, control);
  }
  if (budget.stopped()) return Error{ErrorCode::kCancelled, "[engine] the load was asked to stop while it measured"};
  if (!ran && (!budget.over() || !program.alive())) return ran.error();
  if (result.report.rounds == 0) result.refusal = "a round does not fit what is left of the budget";
  return result;
}

class Measurer {
 public:
  Measurer(const FirstMeasureRequest& request, Progress& progress)
      : request_(request), progress_(progress), end_(Clock::now() + request.budget), failures_(request.start.name) {
    for (const PlanEntry& entry : request.plan.entries) {
      if (entry.yes) entries_.push_back(&entry);
    }
    CHECK(entries_.size() == request.candidates.size(), "candidates are the yes lines");
  }

  Result<FirstMeasure> run() {
    for (size_t i = 0; i < request_.which.size(); ++i) {
      const size_t index = request_.which[i];
      if (index != 0 && Clock::now() >= end_) leave(request_.candidates[index].target, "the budget is over");
      else ACC_TRY_VOID(measure(index, request_.which.size() - i));
    }
    if (out_.failed.size() == request_.candidates.size()) return failures_.all();
    return std::move(out_);
  }

 private:
  Result<void> measure(size_t index, size_t left) {
    const Candidate& candidate = request_.candidates[index];
    const Clock::time_point begun = Clock::now();
    const Clock::time_point share_end = begun + std::max(end_ - begun, Clock::duration::zero()) / static_cast<int64_t>(left);
    out_.running.reset();
    log_info(fmt::format("{}: nobody measured {} for {} yet: it is measured now, {:.1f} s are left for that", request_.start.name, candidate.target, request_.key.shape, std::max(0.0, seconds(end_ - begun))));
    Budget starting(progress_, index == 0 ? Clock::time_point::max() : end_);
    Result<StartedProgram> started = start_and_ask(candidate, {.progress = starting}, request_.start);
    if (!started) {
      const Error& error = started.error();
      if (error.code != ErrorCode::kCancelled) return fail(index, error);
      if (starting.stopped() || !starting.over()) return error;
      leave(candidate.target, "its start takes longer than what is left of the budget");
      return {};
    }
    TargetResult result{.label = candidate.target};
    result.report.load_ms = 1e3 * seconds(Clock::now() - begun);
    result.report.memory_program_bytes = started->program->memory_bytes();
    result.report.notes = started->program->notes();
    Budget measuring(progress_, end_);
    const Result<TargetResult> measured = measure_program(request_, *started->program, std::move(result), share_end, measuring);
    if (!measured && measuring.stopped()) return measured.error();
    if (!measured) return fail(index, measured.error());
    out_.running = *std::move(started);
    if (measured->report.rounds == 0) leave(candidate.target, measured->refusal);
    else remember(*entries_[index], *measured);
    return {};
  }

  Result<void> fail(size_t index, const Error& error) {
    const std::string& target = request_.candidates[index].target;
    if (index == 0 && request_.start.fallback == Fallback::kForbid) return failures_.forbidden(target, error);
    out_.failed.push_back(target);
    out_.notes.push_back(failures_.add(target, error));
    return {};
  }

  void leave(const std::string& target, std::string_view why) {
    out_.notes.push_back(fmt::format("{} was not measured at load within {:.4g} s: {}", target, seconds(request_.budget), why));
    log_warning(fmt::format("{}: {}", request_.start.name, out_.notes.back()));
  }

  void remember(const PlanEntry& entry, const TargetResult& result) {
    RecordKey key = request_.key;
    key.target = target_label(result.label, request_.compile);
    key.versions = release_versions(entry.backend_version);
    out_.records.push_back(bench_record(std::move(key), result));
    const BenchSamples& samples = result.report.samples;
    log_info(samples.texts_per_s.empty()
                 ? fmt::format("{}: {} measured: first token {:.4g} ms, then {:.4g} ms a token, {} rounds", request_.start.name, result.label, median(samples.ttft_ms), median(result.tpot_ms), result.report.rounds)
                 : fmt::format("{}: {} measured: {:.4g} texts/s, {} rounds", request_.start.name, result.label, median(samples.texts_per_s), result.report.rounds));
    if (!request_.records) return;
    if (const Result<void> added = request_.records->add(out_.records.back()); !added) log_warning("the measurement is not kept: " + added.error().message);
  }

  const FirstMeasureRequest& request_;
  Progress& progress_;
  const Clock::time_point end_;
  std::vector<const PlanEntry*> entries_;
  StartFailures failures_;
  FirstMeasure out_;
};

}  // namespace

std::vector<size_t> to_measure(const Plan& plan, const OpenOptions& options) {
  if (options.measure_budget.count() <= 0) return {};
  const bool named = options.hardware != "auto" || !options.targets.empty();
  std::vector<size_t> wanted, needed;
  size_t index = 0, comparable = 0;
  for (const PlanEntry& entry : plan.entries) {
    if (!entry.yes) continue;
    const bool may = !entry.measured && (named || !behind_cpu(entry.hardware));
    if (may) wanted.push_back(index);
    if (may && needs_figures(entry, options.constraints)) needed.push_back(index);
    if (may || entry.measured) ++comparable;
    ++index;
  }
  return options.targets.empty() && comparable > 1 ? wanted : needed;
}

Result<FirstMeasure> measure_first(const FirstMeasureRequest& request, Progress& progress) { return Measurer(request, progress).run(); }

Result<FirstStart> start_measured(std::span<const Candidate> candidates, FirstMeasure measured, const FirstStartOptions& options, Progress& progress) {
  std::vector<Candidate> left;
  for (const Candidate& candidate : candidates) {
    if (std::find(measured.failed.begin(), measured.failed.end(), candidate.target) == measured.failed.end()) left.push_back(candidate);
  }
  if (left.empty()) left.assign(candidates.begin(), candidates.end());
  FirstStart first;
  if (measured.running && !options.together && left.front().target == measured.running->target) {
    first.notes = std::move(measured.running->notes);
    first.running.push_back(*std::move(measured.running));
  } else {
    measured.running.reset();  // never two at once
    ACC_TRY(first, start_first(left, options, progress));
  }
  first.notes.insert(first.notes.begin(), measured.notes.begin(), measured.notes.end());
  return first;
}

}  // namespace accelerate
