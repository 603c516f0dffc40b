// Plan - the Targets that could serve a model, best first, with the reason for every yes and every no.
//
//   Plan plan = make_plan({.model = model, .hardware = "auto", .compile = options, .backends = backends});
//   if (const PlanEntry* best = plan.best()) load(best->target); else explain(plan.refusal());
//
// Without measurements the order is the priority of the hardware names (engine/hardware.h). Pure: reads its arguments only.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "accelerate/core/backend.h"

namespace accelerate {

/// A backend with what its probe found.
struct ProbedBackend {
  Backend* backend = nullptr;          // not owned
  std::vector<Verdict> verdicts;       // one per hardware name served
};

/// What a Target does for one use case; a figure that nobody measured is absent.
struct PlanFigures {
  std::optional<double> ttft_ms, tpot_ms, tokens_per_s, texts_per_s, joules_per_token;
  std::optional<double> memory_bytes;
  uint32_t samples = 0;        // of the first figure there is
  int64_t unix_s = 0;          // when
  std::string from;            // predicted ones: the shape bucket they come from
};

struct PlanEntry {
  std::string hardware;        // the name it stands under
  Target target;
  Backend* backend = nullptr;  // not owned; null when no backend serves the name
  bool yes = false;
  std::string reason;          // why, or why not
  ErrorCode code = ErrorCode::kUnavailable;  // of a no
  MemoryEstimate memory;       // for a yes
  std::string how_to_get;      // of a missing one, where it is known
  std::string backend_version; // as its probe said
  std::optional<PlanFigures> measured, predicted;  // by engine/plan_choice.h
  std::string parity;          // "pass", "fail", "no_reference"; empty = not compared yet
  std::optional<double> kl_mean;
};

struct Plan {
  std::vector<PlanEntry> entries;  // every yes before every no, each group in priority order or as measured (plan_choice.h)
  std::string nearest_miss;        // which Target is nearest to constraints that none satisfies, and by how much
  /// The first yes, or null.
  const PlanEntry* best() const { return !entries.empty() && entries.front().yes ? &entries.front() : nullptr; }
  /// Why nothing can run it: every no's reason, names without a backend last and together. Its code is that of the
  /// backends' refusals where they agree, else unavailable.
  Error refusal() const;
};

struct PlanRequest {
  const Model& model;
  std::string hardware = "auto";      // a hardware name, "auto", or "backend@device:index"
  CompileOptions compile;
  std::span<const ProbedBackend> backends;
  bool detect = false;                // look for engines that no backend serves; costs child processes, so only to explain
};

/// invalid_argument for a hardware name that does not exist (lists those that do).
Result<Plan> make_plan(const PlanRequest& request);

}  // namespace accelerate
