// FirstMeasure - Targets that nobody measured yet are measured when a model is loaded, within a budget.
//
//   const std::vector<size_t> which = to_measure(plan, options);               // empty where nothing is to be chosen
//   ACC_TRY(FirstMeasure measured, measure_first({.plan = plan, .candidates = candidates, .which = which, ...}, progress));
//   ...                                                                        // plan again with measured.records
//   ACC_TRY(FirstStart first, start_measured(candidates, std::move(measured), {.name = name}, progress));
//
// One after the other, so that never two programs of a model stand in memory: each is started as for serving (compile, gate,
// canary) and does a warm-up and up to kFirstRounds rounds as `bench` does them; the Record is the one `bench` would write. The
// program that was measured last is kept; where another one is better that one is started again, with its proof remembered.
//
// The budget counts starts, too. The start of the plan's first Target is not cut short, as it would serve anyway; the others' are,
// as soon as the backend asks its Progress. A round that does not fit what is left is not begun or is stopped. What is not
// measured stays in the order of the plan; the notes name it.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "accelerate/engine/engine.h"
#include "accelerate/engine/plan_candidates.h"
#include "accelerate/engine/records.h"

namespace accelerate {

inline constexpr uint32_t kFirstRounds = 3;  // of each Target, fewer where its share of the budget is over, at least one

/// Which yes lines of `plan` (0 = its first) are measured at load: those without figures of this shape and machine, where at least
/// two Targets can then be compared, or where a limit of `options` needs the figures. Hardware behind cpu in the order of priority
/// (torch, whose start takes seconds and gigabytes) only where options name hardware or targets.
std::vector<size_t> to_measure(const Plan& plan, const OpenOptions& options);

struct FirstMeasureRequest {
  std::shared_ptr<const Model> model;
  const Plan& plan;
  std::span<const Candidate> candidates;     // plan_candidates(plan)
  std::vector<size_t> which;                 // of to_measure()
  UseCase use;
  RecordKey key;                             // target and versions are filled here
  CompileOptions compile;
  FirstStartOptions start;
  std::chrono::milliseconds budget{0};
  Records* records = nullptr;                // null: nothing is kept
};
struct FirstMeasure {
  std::vector<Record> records;               // what was measured, whether it could be kept or not
  std::optional<StartedProgram> running;     // what was started last
  std::vector<std::string> failed;           // Targets that did not start or failed in a round
  std::vector<std::string> notes;            // those, and who was not measured and why
};
/// cancelled where `progress` says so. A failure is a note, but the error where fallback is forbidden and the plan's first Target
/// fails, or where no Target is left.
Result<FirstMeasure> measure_first(const FirstMeasureRequest& request, Progress& progress);

/// start_first() without those that failed a moment ago; what runs already serves if it is the first of `candidates`.
Result<FirstStart> start_measured(std::span<const Candidate> candidates, FirstMeasure measured, const FirstStartOptions& options, Progress& progress);

}  // namespace accelerate
