#include "accelerate/cli/choice_flags.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace accelerate {
namespace {

constexpr double kMeasureSecondsMax = 24 * 3600;

}  // namespace

void add_choice_flags(CLI::App& app, ChoiceFlags& flags) {
  PlanConstraints& c = flags.constraints;
  app.add_option("--use", flags.use, "chat, rag, batch, embeddings or completion: whose measurements decide; default: chat, embeddings for an encoder")->type_name("NAME");
  app.add_option("--objective", flags.objective, "latency, throughput, memory or energy; default: latency")->type_name("NAME");
  app.add_option("--allow", c.allowed, "Hardware names that may be used; default: all")->delimiter(',')->allow_extra_args(false)->type_name("NAMES");
  app.add_option("--forbid", c.forbidden, "Hardware names that may not")->delimiter(',')->allow_extra_args(false)->type_name("NAMES");
  app.add_option("--ttft-max", c.ttft_ms_max, "Time to the first token at most")->type_name("MS");
  app.add_option("--tpot-max", c.tpot_ms_max, "Time of each further token at most")->type_name("MS");
  app.add_option("--throughput-min", c.tokens_per_s_min, "Tokens per second of all answers together at least")->type_name("N");
  app.add_option("--energy-max", c.joules_per_token_max, "Energy of a token at most")->type_name("JOULES");
  app.add_option("--kl-max", c.kl_max, "Quality floor: mean KL divergence to the float32 reference at most")->type_name("NATS");
  app.add_option("--memory-max", c.memory_bytes_max, "What the model may take, as 6GB")->transform(CLI::AsSizeValue(false))->check(CLI::PositiveNumber)->type_name("SIZE");
  app.add_flag("--local", c.local_only, "Only what keeps data on this machine");
}

void add_measure_flag(CLI::App& app, ChoiceFlags& flags) {
  app.add_option("--measure", flags.measure_s, fmt::format("At load, measure targets that nobody measured yet, where there are several, for so long at most; 0: not; default: {}", flags.measure_s))
      ->check(CLI::Range(0.0, kMeasureSecondsMax))->type_name("SECONDS");
}

Result<void> apply_choice(const ChoiceFlags& flags, OpenOptions& options) {
  ACC_TRY_VOID(check_constraints(flags.constraints));
  ACC_TRY(options.objective, objective_named(flags.objective));
  if (!flags.use.empty()) { ACC_TRY(options.use, use_case_named(flags.use)); }
  options.constraints = flags.constraints;
  options.measure_budget = std::chrono::milliseconds(static_cast<int64_t>(flags.measure_s * 1000));
  return {};
}

}  // namespace accelerate
