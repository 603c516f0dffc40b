// TargetBench - several Targets (or modes of one) measured on the same inputs in interleaved rounds, so that what the machine
// does meanwhile falls on all of them alike.
//
//   ACC_TRY(std::vector<BenchTarget> targets, bench_targets("cpu,cpu:exact", base));
//   ACC_TRY(TargetBench bench, run_target_bench(engine, "smollm2", targets, options, progress));
//   for (const TargetResult& r : bench.results) print(r.label, median(r.report.samples.ttft_ms), r.parity);
//
// All are loaded before the first round. One that can not be loaded is a result with its refusal; when none can, that is the
// error. Raw samples go into Engine::records() as kind "bench", one Record a target; energy is read from RAPL where readable.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "accelerate/engine/bench.h"
#include "accelerate/engine/records.h"

namespace accelerate {

struct BenchTarget {
  std::string label;   // "cpu", "cpu:exact", "cpu@cpu:0:deterministic"
  OpenOptions open;
};
inline constexpr size_t kBenchTargetsMax = 32;

/// "HARDWARE[:MODE]..." separated by commas; modes: exact, deterministic, or a quantization as
/// core/quantization.h names it. "all": every hardware name that is available here,
/// in each mode. invalid_argument for anything else. `base` gives everything that the words do not say.
Result<std::vector<BenchTarget>> bench_targets(std::string_view words, const OpenOptions& base, const Engine& engine);

struct TargetResult {
  std::string label;
  std::string refusal;                     // why it was not measured; empty = it was
  std::string parity;                      // verdict of the gate at this load; empty = not compared
  std::optional<double> kl_mean;
  BenchReport report;
  std::vector<double> tpot_ms;             // one a round: of each sequence, the mean over its tokens
  std::vector<double> joules_per_token;    // one a round: of all CPU packages over the whole round, prompts included, by tokens
                                           // generated (encoders: read); empty = unavailable
};
struct TargetBench {
  std::string model, model_id, fingerprint, shape;
  std::vector<TargetResult> results;
  uint64_t memory_peak_bytes = 0;          // of the process, all targets loaded
  bool cancelled = false;                  // what was measured until then is kept
  std::vector<std::string> notes;
};

/// A figure of a result by its name, for whoever prints or compares: raw samples, empty where nobody measured.
struct BenchMetric {
  const char* name;
  bool less_is_better;
  std::vector<double> (*samples)(const TargetResult& result);
};
std::span<const BenchMetric> bench_metrics();

Result<TargetBench> run_target_bench(Engine& engine, const std::string& model, std::span<const BenchTarget> targets, const BenchOptions& options,
                                     Progress& progress);

class BenchRounds;
/// One round of one target, with its energy and time per token. cancelled as BenchRounds::run.
Result<void> run_bench_round(BenchRounds& rounds, const BenchOptions& options, TargetResult& result, const StepControl& control = {});
/// What was measured, as Records keep it: kind "bench".
Record bench_record(RecordKey key, const TargetResult& result);

/// Keeps what run_bench measured as a Record; a warning in the log where that can not be.
void record_bench(Engine& engine, const std::string& model, const BenchReport& report, const OpenOptions& open);

/// Value below which `share` (0..1) of the samples lie, between neighbours linearly; NaN without samples.
double percentile(std::vector<double> samples, double share);
/// (p90 - p10) / median: what a repetition differs by. NaN with fewer than two samples.
double noise_of(const std::vector<double>& samples);

/// Microjoules of all CPU packages since some time, from /sys/class/powercap; nothing where it can not be read.
std::optional<uint64_t> rapl_microjoules(const std::string& folder = "/sys/class/powercap");

}  // namespace accelerate
