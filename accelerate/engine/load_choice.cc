#include "accelerate/engine/load_choice.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "accelerate/base/log.h"
#include "accelerate/core/graph.h"
#include "accelerate/engine/fingerprint.h"
#include "accelerate/engine/parity_gate.h"
#include "accelerate/engine/records.h"
#include "accelerate/engine/stopping.h"
#include "accelerate/formats/model_id.h"

namespace accelerate {

Result<ModelPlan> begin_plan(const Engine& engine, const Model& model, const OpenOptions& options, const CompileOptions& compile) {
  ModelPlan plan{.plan = {}, .quantization = quantization_label(model, compile), .fingerprint = device_fingerprint(), .objective = options.objective,
                 .threads = compile.threads ? compile.threads : engine.context().threads, .notes = {}};
  const bool generates = model.graph->vocabulary != 0;
  ACC_TRY(const UseCase usual, use_case_named(generates ? "chat" : "embeddings"));
  plan.use = options.use.value_or(usual);
  if (!generates) plan.use.generate_tokens = 0;  // as vectors are measured
  return plan;
}

void order_by_records(Records* records, ModelPlan& result, const OpenOptions& options, const CompileOptions& compile, std::span<const Record> fresh) {
  std::vector<Record> known;
  if (records) {
    Result<std::vector<Record>> found = records->find({.model_id = result.model_id, .fingerprint = result.fingerprint});
    if (found) known = *std::move(found);
    else result.notes.push_back(found.error().message);
    for (const std::string& notice : records->notices()) result.notes.push_back(notice);
  } else {
    result.notes.emplace_back("no records can be read: nothing is known to be measured");
  }
  known.insert(known.begin(), fresh.begin(), fresh.end());
  choose(result.plan, {.use = result.use, .objective = result.objective, .constraints = options.constraints, .records = known, .model_id = result.model_id,
                       .quantization = result.quantization, .fingerprint = result.fingerprint, .compile = compile, .threads = result.threads,
                       .keep_order = !options.targets.empty()});
}

Result<void> choose_for_load(const Engine& engine, ModelPlan& choice, const Model& model, const OpenOptions& options, const CompileOptions& compile, Progress& progress,
                             std::span<const Record> fresh) {
  const bool free = options.targets.empty() && std::count_if(choice.plan.entries.begin(), choice.plan.entries.end(), [](const PlanEntry& entry) { return entry.yes; }) > 1;
  if (!choice.plan.best() || (!free && !options.constraints.any())) return {};
  {
    const Stopping stopping(progress, "model id");
    ACC_TRY(choice.model_id, compute_model_id(model, {.cache_file = {}, .stop = &stopping.flag()}));
  }
  order_by_records(engine.records(), choice, options, compile, fresh);
  for (const std::string& note : std::exchange(choice.notes, {})) log_warning(note);
  if (const PlanEntry* best = choice.plan.best()) log_info(fmt::format("{} is chosen: {}", to_string(best->target), best->reason));
  for (const PlanEntry& entry : choice.plan.entries) {
    PlanConstraints asked = options.constraints;
    if (options.parity == ParityMode::kOn && entry.parity != "no_reference") asked.kl_max.reset();  // the gate will tell before it serves
    const std::string unknown = entry.yes ? unknown_limits(entry, asked) : "";
    if (!unknown.empty()) choice.notes.push_back(fmt::format("whether {} keeps {} is not known: it was not measured here", to_string(entry.target), unknown));
    const bool named = !entry.yes && std::find(options.targets.begin(), options.targets.end(), to_string(entry.target)) != options.targets.end();
    if (named) choice.notes.push_back(fmt::format("{} is left out: {}", to_string(entry.target), entry.reason));
  }
  return {};
}

Result<std::vector<std::string>> check_relay(const std::string& word, const PlanConstraints& constraints) {
  if (!is_relay_name(word)) return std::vector<std::string>();
  if (constraints.local_only || !constraints.allowed.empty()) {
    return Error{ErrorCode::kFailedPrecondition, fmt::format("[engine] a relay sends data to another machine; got '{}' where only {} is allowed", word,
                                                             constraints.local_only ? "this machine" : "some hardware of this one")};
  }
  const std::string unknown = unknown_limits({}, constraints);
  if (unknown.empty()) return std::vector<std::string>();
  return std::vector{fmt::format("whether {} keeps {} is not known: an upstream is not measured", word, unknown)};
}

Error refusal_to_load(const ModelPlan& choice, const OpenOptions& options) {
  if (!choice.plan.nearest_miss.empty()) {
    return Error{ErrorCode::kFailedPrecondition, fmt::format("[engine] no target keeps what is asked of '{}'; the nearest is {}", options.name, choice.plan.nearest_miss)};
  }
  const Error refusal = choice.plan.refusal();
  return Error{refusal.code, fmt::format("[engine] no target can run '{}' with hardware '{}'; got {}", options.name, options.hardware, refusal.message)};
}

}  // namespace accelerate
