// PlanChoice - a Plan ordered by what was measured on this machine, within what is asked for.
//
//   choose(plan, {.use = chat, .objective = Objective::kLatency, .records = records, .model_id = id, ...});
//   plan.entries[0]             // what to use; plan.nearest_miss where nothing is left
//
// Measured Targets come first, the best for the objective at the head; then those without a measurement, in the order of
// make_plan (the priority of hardware names); a Target whose numbers could not be compared with a reference behind those that
// passed; every no at the end with its reason. A figure is measured (a Record of this model, quantization, shape bucket,
// target, machine and threads), predicted (from a Record of another shape, said so) or absent: never invented. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "accelerate/engine/planner.h"
#include "accelerate/engine/records.h"
#include "accelerate/engine/use_case.h"

namespace accelerate {

enum class Objective : uint8_t { kLatency, kThroughput, kMemory, kEnergy };
std::string_view objective_name(Objective objective);           // "latency" ...
Result<Objective> objective_named(std::string_view name);       // invalid_argument listing the names

struct PlanConstraints {
  std::vector<std::string> allowed = {}, forbidden = {};        // hardware names; empty = all, none
  std::optional<double> ttft_ms_max = {}, tpot_ms_max = {}, tokens_per_s_min = {}, joules_per_token_max = {};
  std::optional<double> kl_max = {};                            // quality floor: mean KL to the reference, in nats
  uint64_t memory_bytes_max = 0;                                // 0 = no limit
  bool local_only = false;                                      // no Target that sends data to another machine
  bool any() const;
};
/// invalid_argument for unknown hardware names (lists those that exist) and limits that are no positive numbers.
Result<void> check_constraints(const PlanConstraints& constraints);

struct ChoiceRequest {
  UseCase use;
  Objective objective = Objective::kLatency;
  PlanConstraints constraints;
  std::span<const Record> records;                              // newest first
  std::string model_id, quantization, fingerprint;
  CompileOptions compile;
  uint32_t threads = 0;
  bool keep_order = false;                                      // of those that may be used: somebody named them in this order
};
void choose(Plan& plan, const ChoiceRequest& request);

/// What of the limits can not be told of this Target, as "time to first token, energy"; empty = all can.
std::string unknown_limits(const PlanEntry& entry, const PlanConstraints& constraints);

/// Medians of a bench Record.
PlanFigures figures_of(const Record& record);

}  // namespace accelerate
