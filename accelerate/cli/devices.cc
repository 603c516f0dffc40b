#include <chrono>
#include <cmath>
#include <optional>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "accelerate/base/cpu.h"
#include "accelerate/base/json.h"
#include "accelerate/cli/engine_flags.h"
#include "accelerate/cli/verb.h"
#include "accelerate/engine/bench.h"
#include "accelerate/serve/admin_write.h"

namespace accelerate {
namespace {

constexpr std::chrono::seconds kProbeTimeout{20};

/// A measured figure, or nothing where the measurement could not be made: never 0.
std::optional<double> measured(double value) { return value > 0 && std::isfinite(value) ? std::optional(value) : std::nullopt; }

Json json_of(const std::optional<double>& value) { return value ? Json(*value) : Json(); }

struct Findings {
  CpuInfo cpu;
  std::vector<IsaProbe> probes;
  Result<Isa> isa = Isa::kPortable;
  std::optional<MachineLimits> limits;  // nothing with --no-measure
  std::vector<Verdict> verdicts;
};

std::string ranges(const std::vector<uint32_t>& cpus) {
  std::vector<std::string> parts;
  for (size_t i = 0; i < cpus.size();) {
    size_t end = i;
    while (end + 1 < cpus.size() && cpus[end + 1] == cpus[end] + 1) ++end;
    parts.push_back(end == i ? fmt::format("{}", cpus[i]) : fmt::format("{}-{}", cpus[i], cpus[end]));
    i = end + 1;
  }
  return fmt::format("{}", fmt::join(parts, ","));
}

Json to_json(const Findings& f) {
  const CpuInfo& c = f.cpu;
  Json isas = Json::array();
  for (const IsaProbe& probe : f.probes) {
    isas.push_back({{"name", probe.name}, {"advertised", probe.advertised}, {"usable", probe.usable}, {"reason", probe.reason}});
  }
  Json object = {
      {"cpu", {{"model", c.model}, {"vendor", c.vendor}, {"cores_logical", c.cores_logical}, {"cores_physical", c.cores_physical},
               {"affinity", c.affinity}, {"quota_cores", c.quota > 0 ? Json(c.quota) : Json()}, {"threads_usable", c.threads_usable},
               {"l1d_bytes", c.l1d_bytes}, {"l2_bytes", c.l2_bytes}, {"l3_bytes", c.l3_bytes},
               {"kernels", f.isa ? Json(isa_name(*f.isa)) : Json()}, {"isas", isas}}},
      {"memory", {{"physical_bytes", c.memory_bytes}, {"limit_bytes", c.memory_limit_bytes ? Json(c.memory_limit_bytes) : Json()},
                  {"available_bytes", c.memory_available_bytes}}},
      {"measured", Json()},
      {"hardware", hardware_json(f.verdicts)}};
  if (f.limits) {
    object["measured"] = {{"threads", f.limits->threads}, {"read_gbytes_per_s", json_of(measured(f.limits->read_gbytes_per_s))},
                          {"f32_gflops", json_of(measured(f.limits->f32_gflops))}};
  }
  return object;
}

std::string number_or_unavailable(double value, std::string_view unit) {
  return measured(value) ? fmt::format("{:.1f} {}", value, unit) : "unavailable";
}

std::string to_text(const Findings& f) {
  const CpuInfo& c = f.cpu;
  std::vector<std::string> usable, refused;
  for (const IsaProbe& probe : f.probes) {
    if (probe.usable) usable.push_back(probe.name);
    else if (probe.advertised) refused.push_back(fmt::format("{} ({})", probe.name, probe.reason));
  }
  std::vector<std::vector<std::string>> rows = {
      {"cpu", c.model},
      {"cores", fmt::format("{} logical, {} physical; this process may use CPUs {}{}: {} threads", c.cores_logical, c.cores_physical,
                            ranges(c.affinity), c.quota > 0 ? fmt::format(" up to a quota of {:.2f} cores", c.quota) : "", c.threads_usable)},
      {"caches", fmt::format("L1d {}, L2 {}, L3 {}", format_bytes(c.l1d_bytes), format_bytes(c.l2_bytes), format_bytes(c.l3_bytes))},
      {"proven by running", usable.empty() ? "none of the extensions" : fmt::format("{}", fmt::join(usable, " "))},
  };
  if (!refused.empty()) rows.push_back({"advertised only", fmt::format("{}", fmt::join(refused, ", "))});
  rows.push_back({"kernels in use", f.isa ? std::string(isa_name(*f.isa)) : f.isa.error().message});
  rows.push_back({"memory", fmt::format("{} physical, {} available{}", format_bytes(c.memory_bytes), format_bytes(c.memory_available_bytes),
                                        c.memory_limit_bytes ? fmt::format(", limit {}", format_bytes(c.memory_limit_bytes)) : "")});
  if (f.limits) {
    rows.push_back({"measured", fmt::format("read {}, float32 {} with {} threads", number_or_unavailable(f.limits->read_gbytes_per_s, "GB/s"),
                                            number_or_unavailable(f.limits->f32_gflops, "GFLOP/s"), f.limits->threads)});
  }
  std::vector<std::vector<std::string>> table = {{"HARDWARE", "VERDICT", "WHAT AND WHY"}};
  for (const Verdict& verdict : f.verdicts) {
    const bool available = verdict.state == Verdict::State::kAvailable;
    std::vector<std::string> names;
    for (const Device& device : verdict.devices) names.push_back(fmt::format("{} {}", to_string(device), device.name));
    const std::string what = available ? fmt::format("{}{}{}", fmt::join(names, ", "), names.empty() ? "" : "; ", verdict.evidence)
                                       : verdict.reason;
    table.push_back({verdict.hardware, std::string(verdict_state_name(verdict.state)), what});
  }
  return format_table(rows) + "\n" + format_table(table) + "\n--json adds how to get each.\n";
}

class DevicesVerb : public Verb {
 public:
  void declare(CLI::App& app) override {
    app.add_flag("--json", json_, "One JSON object");
    app.add_flag("--no-measure", no_measure_, "Leave out bandwidth and GFLOP/s (about a second)");
  }
  bool json() const override { return json_; }

  Result<void> run(Console& console) override {
    ACC_TRY(const std::unique_ptr<Engine> engine, make_engine({}));
    Findings findings{.cpu = cpu_info(), .probes = probe_isas(), .isa = usable_isa(), .limits = {}, .verdicts = {}};
    if (!no_measure_) findings.limits = measure_machine(engine->context().threads);
    findings.verdicts = engine->hardware(std::chrono::steady_clock::now() + kProbeTimeout);
    const bool put = json_ ? console.put_json(dump_json(to_json(findings), 2)) : console.put(to_text(findings));
    return put ? Result<void>() : console.output_error();
  }

 private:
  bool json_ = false, no_measure_ = false;
};

}  // namespace

std::unique_ptr<Verb> make_devices_verb() { return std::make_unique<DevicesVerb>(); }

}  // namespace accelerate
