#include "accelerate/engine/plan_choice.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include <fmt/format.h>

#include "accelerate/engine/bench.h"
#include "accelerate/engine/fingerprint.h"
#include "accelerate/engine/hardware.h"
#include "accelerate/engine/parity_gate.h"

namespace accelerate {
namespace {

constexpr double kUnknown = std::numeric_limits<double>::infinity();

std::optional<double> median_of(const Record& record, const char* name) {
  const auto found = record.samples.find(name);
  if (found == record.samples.end() || found->second.empty()) return {};
  return median(found->second);
}

bool under_these_conditions(const Record& record, const PlanEntry& entry, const ChoiceRequest& request) {
  const RecordKey& key = record.key;
  const uint32_t threads = request.compile.threads != 0 ? request.compile.threads : request.threads;
  return key.model_id == request.model_id && key.quantization == request.quantization && key.fingerprint == request.fingerprint &&
         key.threads == threads && key.versions == (record.kind == "parity" ? exact_versions(entry.backend_version) : release_versions(entry.backend_version)) && key.target == target_label(to_string(entry.target), request.compile);
}

// Time to the first token grows with the prompt (a little more than so: attention), time per token hardly with it.
PlanFigures scaled(const PlanFigures& from, const UseCase& measured, const UseCase& wanted) {
  PlanFigures figures = from;
  const double longer = measured.prompt_tokens ? double(wanted.prompt_tokens) / measured.prompt_tokens : 1;
  if (figures.ttft_ms) *figures.ttft_ms *= longer;
  if (figures.texts_per_s && longer > 0) *figures.texts_per_s /= longer;
  figures.from = shape_bucket(measured);
  return figures;
}

void look_up(PlanEntry& entry, const ChoiceRequest& request) {
  const std::string wanted = shape_bucket(request.use);
  for (const Record& record : request.records) {
    if (!under_these_conditions(record, entry, request)) continue;
    if (record.kind == "parity" && entry.parity.empty()) {
      entry.parity = record.verdict;
      entry.kl_mean = median_of(record, "kl_mean");
      if (record.verdict == "fail") {
        entry.yes = false;
        entry.code = ErrorCode::kFailedPrecondition;
        entry.reason = "its numbers are not the reference's: " + (record.notes.empty() ? "without a reason" : record.notes.front());
      }
      continue;
    }
    if (record.kind != "bench") continue;
    if (record.key.shape == wanted && !entry.measured) entry.measured = figures_of(record);
    const Result<UseCase> measured = use_case_of_bucket(record.key.shape);
    if (record.key.shape != wanted && measured && !entry.predicted && (measured->generate_tokens == 0) == (request.use.generate_tokens == 0) &&
        measured->concurrency == request.use.concurrency) {
      entry.predicted = scaled(figures_of(record), *measured, request.use);
    }
  }
  if (entry.measured) entry.predicted.reset();
}

/// One limit and how far a figure is beyond it.
struct Miss {
  std::string text;
  double factor = 0;  // 1.2 = 20 % beyond
};

class Limits {
 public:
  explicit Limits(std::vector<Miss>& misses) : misses_(misses) {}
  void at_most(std::string_view name, std::optional<double> value, std::optional<double> limit, std::string_view kind) { check(name, value, limit, kind, true); }
  void at_least(std::string_view name, std::optional<double> value, std::optional<double> limit, std::string_view kind) { check(name, value, limit, kind, false); }

 private:
  void check(std::string_view name, std::optional<double> value, std::optional<double> limit, std::string_view kind, bool most) {
    if (!limit || !value) return;
    const double factor = most ? *value / *limit : *limit / *value;
    if (factor <= 1) return;
    misses_.push_back({fmt::format("{} {:.4g} is {:.0f} % {} the {:.4g} asked for ({})", name, *value, 100 * (most ? factor - 1 : 1 - 1 / factor),
                                   most ? "over" : "under", *limit, kind), factor});
  }
  std::vector<Miss>& misses_;
};

std::vector<Miss> misses_of(const PlanEntry& entry, const PlanConstraints& c) {
  std::vector<Miss> misses;
  Limits limits(misses);
  if (const std::optional<PlanFigures>& figures = entry.measured ? entry.measured : entry.predicted) {
    const std::string_view kind = entry.measured ? "measured" : "predicted";
    limits.at_most("time to first token, ms,", figures->ttft_ms, c.ttft_ms_max, kind);
    limits.at_most("time per token, ms,", figures->tpot_ms, c.tpot_ms_max, kind);
    limits.at_least("throughput, tokens/s,", figures->tokens_per_s, c.tokens_per_s_min, kind);
    limits.at_most("energy, J/token,", figures->joules_per_token, c.joules_per_token_max, kind);
  }
  if (c.memory_bytes_max != 0) {
    const bool measured = entry.measured && entry.measured->memory_bytes;
    const double bytes = measured ? *entry.measured->memory_bytes : static_cast<double>(entry.memory.total());
    limits.at_most("memory, bytes,", bytes, static_cast<double>(c.memory_bytes_max), measured ? "measured" : "estimated");
  }
  limits.at_most("mean KL to the reference", entry.kl_mean, c.kl_max, "measured");
  return misses;
}

bool among(const std::vector<std::string>& names, const std::string& name) { return std::find(names.begin(), names.end(), name) != names.end(); }

void refuse(PlanEntry& entry, std::string reason) {
  entry.yes = false;
  entry.code = ErrorCode::kFailedPrecondition;
  entry.reason = std::move(reason);
}

/// What the objective minimises, of measured figures only.
double cost_of(const PlanEntry& entry, const ChoiceRequest& request) {
  if (!entry.measured) return request.objective == Objective::kMemory && entry.memory.total() != 0 ? double(entry.memory.total()) : kUnknown;
  const PlanFigures& f = *entry.measured;
  switch (request.objective) {
    case Objective::kLatency:
      if (f.texts_per_s) return 1 / *f.texts_per_s;
      if (!f.ttft_ms || (request.use.generate_tokens > 0 && !f.tpot_ms)) return kUnknown;
      return *f.ttft_ms + request.use.generate_tokens * f.tpot_ms.value_or(0);
    case Objective::kThroughput: {
      const std::optional<double> rate = f.texts_per_s ? f.texts_per_s : f.tokens_per_s;
      return rate && *rate > 0 ? 1 / *rate : kUnknown;
    }
    case Objective::kMemory: return f.memory_bytes.value_or(static_cast<double>(entry.memory.total()));
    case Objective::kEnergy: return f.joules_per_token.value_or(kUnknown);
  }
  return kUnknown;
}

std::string reason_of_yes(const PlanEntry& entry, const ChoiceRequest& request) {
  std::string reason;
  if (entry.measured && cost_of(entry, request) < kUnknown) {
    reason = fmt::format("measured: by {}, {} samples", objective_name(request.objective), entry.measured->samples);
  } else if (entry.measured) {
    reason = fmt::format("measured, but {} is unavailable: by the default priority of {}", objective_name(request.objective), entry.hardware);
  } else {
    reason = fmt::format("not measured yet{}: by the default priority of {}", entry.predicted ? " in this shape" : "", entry.hardware);
  }
  if (const std::string unknown = unknown_limits(entry, request.constraints); !unknown.empty()) reason += fmt::format("; whether it keeps {} is not known", unknown);
  return reason;
}

}  // namespace

std::string_view objective_name(Objective objective) {
  switch (objective) {
    case Objective::kLatency: return "latency";
    case Objective::kThroughput: return "throughput";
    case Objective::kMemory: return "memory";
    case Objective::kEnergy: return "energy";
  }
  return "";
}

Result<Objective> objective_named(std::string_view name) {
  for (const Objective one : {Objective::kLatency, Objective::kThroughput, Objective::kMemory, Objective::kEnergy}) {
    if (objective_name(one) == name) return one;
  }
  return Error{ErrorCode::kInvalidArgument, fmt::format("[plan] an objective is one of latency, throughput, memory, energy; got '{}'", name)};
}

Result<void> check_constraints(const PlanConstraints& c) {
  std::string names;
  for (const HardwareName& known : hardware_names()) names += fmt::format("{}{}", names.empty() ? "" : ", ", known.name);
  for (const auto* list : {&c.allowed, &c.forbidden}) {
    for (const std::string& name : *list) {
      const bool known = std::any_of(hardware_names().begin(), hardware_names().end(), [&](const HardwareName& h) { return h.name == name; });
      if (!known) return Error{ErrorCode::kInvalidArgument, fmt::format("[plan] hardware is one of {}; got '{}'", names, name)};
    }
  }
  for (const auto& limit : {c.ttft_ms_max, c.tpot_ms_max, c.tokens_per_s_min, c.joules_per_token_max, c.kl_max}) {
    if (limit && !(*limit > 0 && std::isfinite(*limit))) {
      return Error{ErrorCode::kInvalidArgument, fmt::format("[plan] limits are positive numbers; got {}", *limit)};
    }
  }
  return {};
}

bool PlanConstraints::any() const {
  return !allowed.empty() || !forbidden.empty() || ttft_ms_max || tpot_ms_max || tokens_per_s_min || joules_per_token_max || kl_max || memory_bytes_max != 0 ||
         local_only;
}

std::string unknown_limits(const PlanEntry& entry, const PlanConstraints& c) {
  std::string unknown;
  const std::optional<PlanFigures>& f = entry.measured ? entry.measured : entry.predicted;
  const auto add = [&](bool asked, bool known, const char* name) {
    if (asked && !known) unknown += (unknown.empty() ? "" : ", ") + std::string(name);
  };
  add(c.ttft_ms_max.has_value(), f && f->ttft_ms, "time to first token");
  add(c.tpot_ms_max.has_value(), f && f->tpot_ms, "time per token");
  add(c.tokens_per_s_min.has_value(), f && f->tokens_per_s, "throughput");
  add(c.joules_per_token_max.has_value(), f && f->joules_per_token, "energy");
  add(c.kl_max.has_value(), entry.kl_mean.has_value(), "quality");
  return unknown;
}

PlanFigures figures_of(const Record& record) {
  PlanFigures f{.ttft_ms = median_of(record, "ttft_ms"), .tpot_ms = median_of(record, "tpot_ms"), .tokens_per_s = median_of(record, "decode_tokens_per_s"),
                .texts_per_s = median_of(record, "texts_per_s"), .joules_per_token = median_of(record, "joules_per_token"),
                .memory_bytes = median_of(record, "memory_program_bytes"), .unix_s = record.unix_s, .from = ""};
  for (const char* name : {"ttft_ms", "texts_per_s", "decode_tokens_per_s"}) {
    const auto found = record.samples.find(name);
    if (f.samples == 0 && found != record.samples.end()) f.samples = static_cast<uint32_t>(found->second.size());
  }
  return f;
}

void choose(Plan& plan, const ChoiceRequest& request) {
  const PlanConstraints& c = request.constraints;
  double nearest = kUnknown;
  for (PlanEntry& entry : plan.entries) {
    if (!entry.backend) continue;
    if (!c.allowed.empty() && !among(c.allowed, entry.hardware)) entry.yes ? refuse(entry, "not among the hardware allowed") : void();
    else if (among(c.forbidden, entry.hardware)) entry.yes ? refuse(entry, "forbidden by the request") : void();
    else if (c.local_only && entry.target.backend == "relay") entry.yes ? refuse(entry, "data would leave this machine") : void();
    if (!entry.yes) continue;
    look_up(entry, request);
    if (!entry.yes) continue;
    const std::vector<Miss> misses = misses_of(entry, c);
    if (misses.empty()) {
      entry.reason = reason_of_yes(entry, request);
      continue;
    }
    std::string text;
    double factor = 1;
    for (const Miss& miss : misses) {
      text += (text.empty() ? "" : "; ") + miss.text;
      factor = std::max(factor, miss.factor);
    }
    refuse(entry, text);
    if (factor < nearest) {
      nearest = factor;
      plan.nearest_miss = fmt::format("{}: {}", to_string(entry.target), text);
    }
  }
  // 0 passed or never compared, 1 without a reference, 2 a no; then what was measured, the cheapest first.
  const auto group = [](const PlanEntry& entry) { return !entry.yes ? 2 : entry.parity == "no_reference" ? 1 : 0; };
  // Equal ones keep their order; std::stable_sort of libstdc++ 12 does not compile under clang's -Werror.
  std::vector<size_t> order(plan.entries.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t left, size_t right) {
    const PlanEntry &a = plan.entries[left], &b = plan.entries[right];
    if (request.keep_order) return a.yes != b.yes ? a.yes : left < right;
    if (group(a) != group(b)) return group(a) < group(b);
    if (a.yes && a.measured.has_value() != b.measured.has_value()) return a.measured.has_value();
    if (a.yes && cost_of(a, request) != cost_of(b, request)) return cost_of(a, request) < cost_of(b, request);
    return left < right;
  });
  std::vector<PlanEntry> sorted;
  for (const size_t index : order) sorted.push_back(std::move(plan.entries[index]));
  plan.entries = std::move(sorted);
  if (plan.best()) plan.nearest_miss.clear();
}

}  // namespace accelerate
