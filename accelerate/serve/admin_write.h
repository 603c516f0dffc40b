// What the admin routes answer and the verbs' --json prints, each written in one place.
//
//   to.json(dump_json(plan_json(plan)));                       // POST /v1/admin/plan
//   console.put_json(dump_json(plan_json(plan), 2));           // ipfs-accelerate plan --json
//
// Figures that nobody measured are null. Pure, but for known_models_json, which reads the models folder.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "accelerate/engine/bench_targets.h"
#include "accelerate/engine/model_roster.h"
#include "accelerate/engine/records.h"

namespace accelerate {

/// A list, one entry a verdict.
nlohmann::json hardware_json(std::span<const Verdict> verdicts);

nlohmann::json plan_json(const ModelPlan& plan);

/// Medians, percentiles, noise and raw samples by target.
nlohmann::json target_bench_json(const TargetBench& bench, const BenchOptions& options);

/// What is here and what could be pulled (engine/known_models.h).
nlohmann::json known_models_json();

uint64_t memory_needed_bytes(const ModelDescription& description);
/// Option and value of what the model's files suggest for sampling; `run` and `serve` apply none of it.
std::vector<std::pair<std::string, double>> suggested_pairs(const GenerationDefaults& defaults);
/// `id` nothing: not asked for.
nlohmann::json description_json(const ModelDescription& description, const std::optional<std::string>& id);

/// A model that is served, loaded or not: what it is, how it does, and its targets.
nlohmann::json endpoint_json(const RosterStatus& status);

/// With its raw samples.
nlohmann::json record_json(const Record& record);

}  // namespace accelerate
