#include "accelerate/cli/bench_print.h"

#include <algorithm>

#include <fmt/format.h>

#include "accelerate/base/json.h"
#include "accelerate/cli/console.h"

namespace accelerate {
namespace {

// Two equal runs of three rounds, a minute apart on a shared machine of two cores, differed by up to 10 % in medians whose own
// rounds differed by 1 %.
constexpr double kNoiseMin = 0.10;

std::string spread(const std::vector<double>& samples) {
  if (samples.empty()) return "unavailable";
  return fmt::format("{} ({} .. {})", format_number(median(samples)), format_number(percentile(samples, 0.1)), format_number(percentile(samples, 0.9)));
}

// A median and noise of a metric in a JSON that may be anything.
bool read_metric(const Json& target, const char* name, double& value, double& noise) {
  const auto metrics = target.find("metrics");
  if (metrics == target.end() || !metrics->is_object() || !metrics->contains(name) || !(*metrics)[name].is_object()) return false;
  const Json& metric = (*metrics)[name];
  if (!metric.contains("median") || !metric["median"].is_number()) return false;
  value = metric["median"].get<double>();
  noise = metric.contains("noise") && metric["noise"].is_number() ? metric["noise"].get<double>() : 0;
  return value > 0 && noise >= 0;
}

const Json* find_target(const Json& bench, const Json& label) {
  for (const Json& target : bench["targets"]) {
    if (target.is_object() && target.contains("label") && target["label"] == label) return &target;
  }
  return nullptr;
}

}  // namespace

std::string target_bench_table(const TargetBench& bench, const BenchOptions& options) {
  std::vector<std::vector<std::string>> rows = {{"TARGET", "LOAD ms", "FIRST TOKEN ms", "TOKEN ms", "TOKENS/s", "TEXTS/s", "MEMORY", "J/TOKEN", "PARITY"}};
  for (const TargetResult& r : bench.results) {
    if (!r.refusal.empty() && r.report.rounds == 0) {
      rows.push_back({r.label, "not measured: " + r.refusal});
      continue;
    }
    const std::string parity = r.parity.empty() ? "not compared" : r.kl_mean ? fmt::format("{}, KL {:.1e}", r.parity, *r.kl_mean) : r.parity;
    rows.push_back({r.label, format_number(r.report.load_ms, 0), spread(r.report.samples.ttft_ms), spread(r.tpot_ms), spread(r.report.samples.decode_tokens_per_s),
                    spread(r.report.samples.texts_per_s), format_bytes(r.report.memory_program_bytes), spread(r.joules_per_token), parity});
  }
  const bool encodes = std::any_of(bench.results.begin(), bench.results.end(), [](const TargetResult& r) { return !r.report.samples.texts_per_s.empty(); });
  for (auto& row : rows) {
    if (row.size() < 6) continue;
    if (encodes) row.erase(row.begin() + 2, row.begin() + 5);
    else row.erase(row.begin() + 5);
  }
  return fmt::format("{}: {} tokens in, {} out, {} at a time; median (p10 .. p90), rounds interleaved\non {}\n\n{}", bench.model, options.prompt_tokens,
                     encodes ? 0 : options.generate_tokens, options.batch, bench.fingerprint, format_table(rows));
}

std::string target_bench_csv(const TargetBench& bench) {
  const auto quoted = [](std::string text) {
    for (size_t at = 0; (at = text.find('"', at)) != std::string::npos; at += 2) text.insert(at, 1, '"');
    return '"' + text + '"';
  };
  std::string csv = "model,target,metric,round,value\r\n";
  for (const TargetResult& result : bench.results) {
    for (const BenchMetric& metric : bench_metrics()) {
      const std::vector<double> samples = metric.samples(result);
      for (size_t i = 0; i < samples.size(); ++i) csv += fmt::format("{},{},{},{},{}\r\n", quoted(bench.model), quoted(result.label), metric.name, i, samples[i]);
    }
  }
  return csv;
}

Result<std::vector<std::string>> compare_benches(const Json& earlier, const Json& now) {
  if (!earlier.is_object() || !earlier.contains("targets") || !earlier["targets"].is_array()) {
    return Error{ErrorCode::kInvalidArgument, "[bench] --compare takes the JSON of an earlier `bench --targets ... --json`; got something else"};
  }
  for (const char* same : {"model_id", "shape", "machine"}) {
    if (!earlier.contains(same) || earlier[same] != now[same]) {
      return Error{ErrorCode::kInvalidArgument, fmt::format("[bench] runs of one {} compare; got {} before and {} now", same,
                                                            earlier.contains(same) ? dump_json(earlier[same]) : "none", dump_json(now[same]))};
    }
  }
  std::vector<std::string> regressions;
  size_t compared = 0;
  for (const Json& target : now["targets"]) {
    const Json* before = find_target(earlier, target["label"]);
    if (!before) continue;
    for (const BenchMetric& metric : bench_metrics()) {
      double was = 0, was_noise = 0, is = 0, is_noise = 0;
      if (!read_metric(*before, metric.name, was, was_noise) || !read_metric(target, metric.name, is, is_noise)) continue;
      ++compared;
      const double worse = metric.less_is_better ? is / was - 1 : was / is - 1, allowed = std::max(kNoiseMin, was_noise + is_noise);
      if (worse <= allowed) continue;
      regressions.push_back(fmt::format("{}: {} {} was {}: {:.0f} % worse, noise {:.0f} %", target["label"].get<std::string>(), metric.name, format_number(is),
                                        format_number(was), 100 * worse, 100 * allowed));
    }
  }
  if (compared == 0) return Error{ErrorCode::kInvalidArgument, "[bench] --compare needs a target measured in both runs; got none"};
  return regressions;
}

}  // namespace accelerate
