#include "accelerate/engine/balancer.h"

#include <algorithm>

namespace accelerate {
namespace {

void blend(double& average, double sample) { average = average == 0 ? sample : average + SpeedAverages::kWeight * (sample - average); }

bool measured(const SpeedAverages& speed) { return speed.prompt_tokens_per_s() > 0 && speed.step_s() > 0; }

double slow_start(double up_s) {
  const double part = std::clamp(up_s / kSlowStart_s, 0.0, 1.0);
  return kSlowStartFactor + (1 - kSlowStartFactor) * part;
}

}  // namespace

void SpeedAverages::observe(uint64_t prompt_tokens, uint64_t answer_tokens, double seconds) {
  if (seconds <= 0) return;
  if (prompt_tokens == 0) {
    if (answer_tokens > 0) blend(step_s_, seconds);
  } else if (prompt_tokens >= kPromptTokensMin) {
    // Of a mixed step the part that answers would have taken alone is not the prompt's; what is left is never nothing.
    const double own = answer_tokens > 0 ? std::max(seconds - step_s_, seconds / 10) : seconds;
    blend(prompt_tokens_per_s_, static_cast<double>(prompt_tokens) / own);
  }
}

std::optional<double> expected_seconds(const TargetLoad& load, const RequestDemand& demand) {
  if (!measured(load.speed)) return {};
  const double answer_s = demand.answer_tokens * load.speed.step_s();
  const double prompts = static_cast<double>(load.prompt_tokens_ahead) + demand.prompt_tokens - std::min(load.cached_tokens, demand.prompt_tokens);
  const double slots = std::max(load.slots, 1u);
  // Who finds all places taken waits for as many answers as stand between it and one, slots at a time.
  const double before = std::max(0.0, double(load.running) + load.queued + 1 - slots);
  const double wait_s = before / slots * answer_s;
  return (wait_s + prompts / load.speed.prompt_tokens_per_s() + answer_s) * slow_start(load.up_s);
}

std::optional<size_t> choose_target(std::span<const TargetLoad> loads, const RequestDemand& demand) {
  double best_rate = 0, best_step_s = 0;
  for (const TargetLoad& load : loads) {
    if (!load.takes_requests || !measured(load.speed)) continue;
    best_rate = std::max(best_rate, load.speed.prompt_tokens_per_s());
    best_step_s = best_step_s == 0 ? load.speed.step_s() : std::min(best_step_s, load.speed.step_s());
  }
  std::optional<size_t> best;
  double least = 0;
  for (size_t i = 0; i < loads.size(); ++i) {
    TargetLoad load = loads[i];
    if (!load.takes_requests) continue;
    if (!measured(load.speed)) load.speed = SpeedAverages(best_rate, best_step_s);
    const double cost = expected_seconds(load, demand).value_or(static_cast<double>(load.running + load.queued));
    if (!best || cost < least) best = i, least = cost;
  }
  return best;
}

}  // namespace accelerate
