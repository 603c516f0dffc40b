// Load choice - from what is asked of a model (OpenOptions) to its Targets in their order, for `plan` and for a load.
//
//   ACC_TRY(ModelPlan choice, begin_plan(engine, model, options, compile));
//   ACC_TRY(choice.plan, make_plan({...}));
//   ACC_TRY_VOID(choose_for_load(engine, choice, model, options, compile, progress));
//   if (!choice.plan.best()) return refusal_to_load(choice, options);
//
// Functions of Engine::plan and Engine::open; `model` has its graph.
#pragma once

#include "accelerate/engine/engine.h"

namespace accelerate {

/// A plan without entries: what it is of. The use of an encoder generates nothing, whatever is asked.
Result<ModelPlan> begin_plan(const Engine& engine, const Model& model, const OpenOptions& options, const CompileOptions& compile);
/// What is known of this model on this machine (result.model_id is set) decides the order of `result.plan`; `fresh`: what was
/// measured a moment ago, kept in `records` or not.
void order_by_records(Records* records, ModelPlan& result, const OpenOptions& options, const CompileOptions& compile, std::span<const Record> fresh = {});
/// Nothing is looked up where there is no choice (one Target, or exactly these in this order) and nothing is asked of it. Its
/// notes are for replies: limits of which it is not known whether they are kept, named Targets that are left out.
Result<void> choose_for_load(const Engine& engine, ModelPlan& choice, const Model& model, const OpenOptions& options, const CompileOptions& compile, Progress& progress,
                             std::span<const Record> fresh = {});
/// failed_precondition with the nearest miss where limits leave nothing, else Plan::refusal().
Error refusal_to_load(const ModelPlan& choice, const OpenOptions& options);
/// What of the constraints a model of an upstream keeps: nobody measures it. The notes for its replies; none for other words.
Result<std::vector<std::string>> check_relay(const std::string& word, const PlanConstraints& constraints);

}  // namespace accelerate
