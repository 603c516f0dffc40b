#include "accelerate/engine/planner.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "accelerate/engine/hardware.h"

namespace accelerate {
namespace {

constexpr std::string_view kUnserved = "no backend of this build serves";

bool known_hardware(std::string_view name) {
  return std::any_of(hardware_names().begin(), hardware_names().end(), [&](const auto& h) { return h.name == name; });
}

// What text costs beside the Program, whichever serves: vocabulary and tokenizer. Measured, MiB: SmolLM2 18.2 (49,152 tokens,
// 48,900 merges), Gemma 3 28.8 (262,144 tokens), MiniLM 7.4 (466,247 bytes of tokenizer.json).
uint64_t tokenizer_bytes(const Model& model) {
  constexpr uint64_t kToken = 115, kMerge = 274, kJsonByte = 16;
  if (!model.tokenizer) return 0;
  const TokenizerSpec& spec = *model.tokenizer;
  uint64_t bytes = kJsonByte * spec.tokenizer_json.size();
  if (spec.vocabulary) bytes += kToken * spec.vocabulary->tokens.size() + kMerge * spec.vocabulary->merges.size();
  return bytes;
}

// The entries of one verdict: one per device, or one that says why there is none.
void add_entries(const PlanRequest& request, Backend& backend, const Verdict& verdict, std::vector<PlanEntry>& entries) {
  PlanEntry entry{.hardware = verdict.hardware, .target = {backend.about().name, {}}, .backend = &backend, .reason = "", .memory = {}};
  if (verdict.state != Verdict::State::kAvailable) {
    entry.reason = fmt::format("{}: {}", verdict_state_name(verdict.state), verdict.reason);
    entry.how_to_get = verdict.how_to_get;
    if (verdict.state == Verdict::State::kBroken) entry.code = ErrorCode::kFailedPrecondition;
    entries.push_back(std::move(entry));
    return;
  }
  for (const Device& device : verdict.devices) {
    entry.target.device = device;
    const Support support = backend.supports(request.model, device, request.compile);
    entry.yes = support.yes;
    entry.reason = support.yes ? "not measured yet: by the default priority of " + verdict.hardware : support.reason;
    entry.code = support.code;
    entry.memory = support.memory;
    if (support.yes) entry.memory.buffers += tokenizer_bytes(request.model);
    entry.backend_version = verdict.version;
    entries.push_back(entry);
  }
}

void add_hardware(const PlanRequest& request, std::string_view name, std::vector<PlanEntry>& entries) {
  bool served = false;
  for (const ProbedBackend& probed : request.backends) {
    for (const Verdict& verdict : probed.verdicts) {
      if (verdict.hardware != name) continue;
      served = true;
      add_entries(request, *probed.backend, verdict, entries);
    }
  }
  if (served) return;
  std::string reason(kUnserved), how_to_get;
  if (request.detect) {
    const Verdict seen = detect_unserved(name);
    reason = fmt::format("{}: {}", verdict_state_name(seen.state), seen.reason);
    how_to_get = seen.how_to_get;
  }
  entries.push_back({.hardware = std::string(name), .target = {}, .backend = nullptr, .yes = false, .reason = std::move(reason), .memory = {},
                     .how_to_get = std::move(how_to_get)});
}

// "backend@device:0", or a backend of a name that is no hardware name: exactly that.
void add_target(const PlanRequest& request, std::vector<PlanEntry>& entries) {
  const std::string backend = request.hardware.substr(0, request.hardware.find('@'));
  for (const ProbedBackend& probed : request.backends) {
    if (probed.backend->about().name != backend) continue;
    for (const Verdict& verdict : probed.verdicts) add_entries(request, *probed.backend, verdict, entries);
  }
  if (request.hardware.find('@') == std::string::npos) return;
  std::erase_if(entries, [&](const PlanEntry& entry) { return entry.yes && to_string(entry.target) != request.hardware; });
}

}  // namespace

Error Plan::refusal() const {
  std::string reasons, unserved;
  std::optional<ErrorCode> code;
  // What is not installed says nothing of the model: where a device refused it, that is the reason.
  const bool refused = std::any_of(entries.begin(), entries.end(), [](const PlanEntry& entry) { return !entry.yes && !entry.target.device.kind.empty(); });
  for (const PlanEntry& entry : entries) {
    if (entry.yes) continue;
    if (entry.reason == kUnserved) {
      unserved += fmt::format(" {}", entry.hardware);
      continue;
    }
    reasons += fmt::format("{}{}: {}", reasons.empty() ? "" : "; ", entry.hardware, entry.reason);
    if (refused && entry.target.device.kind.empty()) continue;
    code = code.value_or(entry.code) == entry.code ? entry.code : ErrorCode::kUnavailable;
  }
  if (!unserved.empty()) reasons += fmt::format("{}{}:{}", reasons.empty() ? "" : "; ", kUnserved, unserved);
  return {code.value_or(ErrorCode::kUnavailable), std::move(reasons)};
}

Result<Plan> make_plan(const PlanRequest& request) {
  Plan plan;
  if (request.hardware == "auto") {
    for (const HardwareName& name : hardware_names()) add_hardware(request, name.name, plan.entries);
  } else if (known_hardware(request.hardware)) {
    add_hardware(request, request.hardware, plan.entries);
  } else {
    add_target(request, plan.entries);
    if (plan.entries.empty()) {
      std::string names = "auto";
      for (const HardwareName& name : hardware_names()) names += fmt::format(" {}", name.name);
      return Error{ErrorCode::kInvalidArgument,
                   fmt::format("[planner] hardware is one of {}, or a target such as cpu@cpu:0; got '{}'", names, request.hardware)};
    }
  }
  std::vector<PlanEntry> refused;
  for (PlanEntry& entry : plan.entries) {
    if (!entry.yes) refused.push_back(entry);
  }
  std::erase_if(plan.entries, [](const PlanEntry& entry) { return !entry.yes; });
  plan.entries.insert(plan.entries.end(), refused.begin(), refused.end());
  return plan;
}

}  // namespace accelerate
