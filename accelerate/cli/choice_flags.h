// Choice flags - what the Targets of a model are chosen by: use case, objective and limits, for `plan` and for loading alike.
//
//   add_choice_flags(app, flags.choice);
//   ACC_TRY_VOID(apply_choice(flags.choice, options));      // OpenOptions::use, objective, constraints, measure_budget
#pragma once

#include <string>

#include "accelerate/engine/engine.h"

namespace CLI {
class App;
}

namespace accelerate {

struct ChoiceFlags {
  std::string use, objective = "latency";  // use empty: chat, or embeddings for an encoder
  PlanConstraints constraints;
  double measure_s = 0;                    // OpenOptions::measure_budget; a verb may have another default
};
/// --use --objective --allow --forbid --ttft-max --tpot-max --throughput-min --energy-max --kl-max --memory-max --local.
void add_choice_flags(CLI::App& app, ChoiceFlags& flags);
/// --measure, for verbs that load to serve.
void add_measure_flag(CLI::App& app, ChoiceFlags& flags);
/// invalid_argument for words and limits that are none, listing those that are.
Result<void> apply_choice(const ChoiceFlags& flags, OpenOptions& options);

}  // namespace accelerate
