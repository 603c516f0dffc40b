#include "accelerate/engine/bench_targets.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <limits>

#include <fmt/format.h>

#include "accelerate/base/cpu.h"
#include "accelerate/base/file.h"
#include "accelerate/base/log.h"
#include "accelerate/core/quantization.h"
#include "accelerate/engine/bench_round.h"
#include "accelerate/engine/fingerprint.h"
#include "accelerate/engine/hardware.h"
#include "accelerate/engine/isolated_backend.h"
#include "accelerate/engine/parity_gate.h"

namespace accelerate {
namespace {

constexpr auto kProbeDeadline = std::chrono::seconds(20);
constexpr size_t kCounterBytesMax = 64;

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

// Words behind ':' are modes, but for the index of a device: "cpu@cpu:0:exact".
Result<BenchTarget> target_of(std::string_view word, const OpenOptions& base) {
  BenchTarget target{.label = std::string(word), .open = base};
  std::vector<std::string_view> parts = split(word, ':');
  target.open.hardware = parts.front();
  size_t next = 1;
  if (parts.front().find('@') != std::string_view::npos && parts.size() > 1) target.open.hardware += fmt::format(":{}", parts[next++]);
  for (; next < parts.size(); ++next) {
    if (parts[next] == "exact") target.open.compile.precision = Precision::kExact;
    else if (parts[next] == "deterministic") target.open.compile.deterministic = true;
    else if (quantization_from_name(parts[next])) target.open.compile.quantization = std::string(parts[next]);
    else return Error{ErrorCode::kInvalidArgument, fmt::format("[bench] a target is HARDWARE or BACKEND@DEVICE:N, with :exact, :deterministic or a quantization; got '{}'", word)};
  }
  return target;
}

struct Loaded {
  std::shared_ptr<Endpoint> endpoint;
  Engine* engine = nullptr;
  ~Loaded() {
    if (endpoint) (void)engine->close(endpoint->info().name);
  }
  Loaded() = default;
  Loaded(Loaded&&) = default;
  Loaded& operator=(Loaded&&) = delete;
};

// Several backends run on one device: that of the target's own name comes first, isolated or not.
std::string version_of(const Engine& engine, const std::string& target) {
  const std::string_view backend = backend_named(target);
  std::string other;
  for (const Verdict& verdict : engine.hardware(std::chrono::steady_clock::now() + kProbeDeadline)) {
    for (const Device& device : verdict.devices) {
      if (!target.ends_with("@" + to_string(device))) continue;
      if (verdict.hardware == backend) return verdict.version;
      if (other.empty()) other = verdict.version;
    }
  }
  return other;
}

void look_up_parity(Engine& engine, const std::string& model_id, const TargetBench& bench, const OpenOptions& open, TargetResult& result) {
  if (open.parity == ParityMode::kOff || !engine.records()) return;
  const Result<std::vector<Record>> known = engine.records()->find({.kind = "parity", .model_id = model_id, .quantization = result.report.quantization,
                                                                    .target = target_label(result.report.target, open.compile),
                                                                    .versions = exact_versions(version_of(engine, result.report.target)),
                                                                    .fingerprint = bench.fingerprint, .threads = result.report.threads});
  if (!known || known->empty()) return;
  result.parity = known->front().verdict;
  if (const auto verdict = parity_verdict_of(known->front()); verdict && verdict->numbers.kl_mean > 0) result.kl_mean = verdict->numbers.kl_mean;
}

void remember(Engine& engine, TargetBench& bench, const BenchTarget& target, const TargetResult& result) {
  Records* records = engine.records();
  const BenchReport& r = result.report;
  if (!records || r.rounds == 0 || bench.model_id.empty()) return;
  const Record record = bench_record({.model_id = bench.model_id, .quantization = r.quantization, .shape = bench.shape,
                                      .target = target_label(r.target, target.open.compile), .versions = release_versions(version_of(engine, r.target)),
                                      .fingerprint = bench.fingerprint, .threads = r.threads}, result);
  if (const Result<void> added = records->add(record); !added) bench.notes.push_back("not kept in the records: " + added.error().message);
}

}  // namespace

Result<std::vector<BenchTarget>> bench_targets(std::string_view words, const OpenOptions& base, const Engine& engine) {
  std::vector<BenchTarget> targets;
  std::vector<std::string> names;
  if (words == "all") {
    for (const Verdict& verdict : engine.hardware(std::chrono::steady_clock::now() + kProbeDeadline)) {
      if (verdict.state != Verdict::State::kAvailable) continue;
      for (const char* mode : {"", ":exact", ":deterministic"}) names.push_back(verdict.hardware + mode);
    }
  } else {
    for (const std::string_view word : split(words, ',')) names.emplace_back(word);
  }
  if (names.size() > kBenchTargetsMax) {
    return Error{ErrorCode::kOutOfRange, fmt::format("[bench] at most {} targets; got {}", kBenchTargetsMax, names.size())};
  }
  for (const std::string& name : names) {
    if (std::any_of(targets.begin(), targets.end(), [&](const BenchTarget& t) { return t.label == name; })) {
      return Error{ErrorCode::kInvalidArgument, fmt::format("[bench] each target once; got '{}' again", name)};
    }
    ACC_TRY(BenchTarget target, target_of(name, base));
    targets.push_back(std::move(target));
  }
  return targets;
}

Result<TargetBench> run_target_bench(Engine& engine, const std::string& model, std::span<const BenchTarget> targets, const BenchOptions& options,
                                     Progress& progress) {
  ACC_TRY_VOID(check_bench_options(options));
  TargetBench bench{.fingerprint = device_fingerprint(), .results = {}, .notes = {}};
  const StepControl control{.deadline = {}, .stop = options.stop};
  if (Result<std::string> id = engine.model_id(model, options.stop)) bench.model_id = *std::move(id);
  else bench.notes.push_back("not kept in the records: " + id.error().message);
  std::vector<Loaded> loaded(targets.size());
  std::vector<std::optional<BenchRounds>> rounds(targets.size());
  std::optional<Error> first_refusal;
  for (size_t i = 0; i < targets.size(); ++i) {
    TargetResult result{.label = targets[i].label};
    OpenOptions open = bench_open_options(options, targets[i].open);
    ACC_TRY(const ModelDescription description, engine.describe(model, open));
    open.name = fmt::format("{} on {}", description.name, targets[i].label);
    bench.model = description.name;
    Result<std::shared_ptr<Endpoint>> opened = engine.open(model, open, progress);
    if (!opened && opened.error().code == ErrorCode::kCancelled) return opened.error();
    Result<void> able = opened ? check_bench_context(options, (*opened)->info()) : opened.error();
    if (opened) loaded[i].endpoint = *opened, loaded[i].engine = &engine;
    if (able) {
      result.report = begin_report(engine, description, (*opened)->info(), options, open);
      bench.shape = shape_bucket({.name = "", .prompt_tokens = options.prompt_tokens,
                                  .generate_tokens = (*opened)->info().kind == ProgramKind::kDecoder ? options.generate_tokens : 0,
                                  .concurrency = options.batch});
      look_up_parity(engine, bench.model_id, bench, open, result);
      rounds[i].emplace(*loaded[i].endpoint, options, description.vocabulary);
      able = rounds[i]->warm_up(control);
    }
    if (!able && able.error().code == ErrorCode::kCancelled) return able.error();
    if (!able) {
      first_refusal = first_refusal.value_or(able.error());
      result.refusal = able.error().message;
      rounds[i].reset();
    }
    bench.results.push_back(std::move(result));
  }
  if (std::none_of(rounds.begin(), rounds.end(), [](const auto& r) { return r.has_value(); })) {
    return first_refusal.value_or(Error{ErrorCode::kInvalidArgument, "[bench] at least one target; got none"});
  }
  for (uint32_t round = 0; round < options.rounds && !bench.cancelled; ++round) {
    for (size_t turn = 0; turn < targets.size(); ++turn) {
      // Places rotate: whoever comes right behind a Target whose threads still spin (torch's do, for milliseconds) pays for it.
      const size_t i = (turn + round) % targets.size();
      if (!rounds[i]) continue;
      TargetResult& result = bench.results[i];
      if (!progress.update(fmt::format("round on {}", result.label), round, options.rounds, "rounds")) {
        bench.cancelled = true;
        break;
      }
      if (const Result<void> measured = run_bench_round(*rounds[i], options, result, control); !measured) {
        bench.cancelled = measured.error().code == ErrorCode::kCancelled;
        if (bench.cancelled) break;
        result.refusal = measured.error().message;
        rounds[i].reset();
      }
    }
  }
  bench.memory_peak_bytes = resident_peak_bytes();
  for (size_t i = 0; i < targets.size(); ++i) remember(engine, bench, targets[i], bench.results[i]);
  return bench;
}

Result<void> run_bench_round(BenchRounds& rounds, const BenchOptions& options, TargetResult& result, const StepControl& control) {
  const std::optional<uint64_t> before = rapl_microjoules();
  const size_t decoded = result.report.samples.decode_tokens_per_s.size();
  ACC_TRY_VOID(rounds.run(result.report.samples, control));
  ++result.report.rounds;
  const std::optional<uint64_t> after = rapl_microjoules();
  if (result.report.samples.decode_tokens_per_s.size() > decoded) {
    result.tpot_ms.push_back(1e3 * options.batch / result.report.samples.decode_tokens_per_s.back());
  }
  // A counter that wrapped around between the two gives no figure.
  if (before && after && *after > *before) {
    const double tokens = double(options.batch) * (result.report.samples.texts_per_s.empty() ? options.generate_tokens + 1 : options.prompt_tokens);
    result.joules_per_token.push_back(static_cast<double>(*after - *before) / 1e6 / tokens);
  }
  return {};
}

Record bench_record(RecordKey key, const TargetResult& result) {
  Record record{.key = std::move(key), .kind = "bench", .samples = {}, .notes = result.report.notes};
  for (const BenchMetric& metric : bench_metrics()) {
    if (std::vector<double> samples = metric.samples(result); !samples.empty()) record.samples[metric.name] = std::move(samples);
  }
  record.samples["load_ms"] = {result.report.load_ms};
  record.samples["memory_program_bytes"] = {static_cast<double>(result.report.memory_program_bytes)};
  return record;
}

std::span<const BenchMetric> bench_metrics() {
  static constexpr BenchMetric kMetrics[] = {
      {"ttft_ms", true, [](const TargetResult& r) { return r.report.samples.ttft_ms; }},
      {"tpot_ms", true, [](const TargetResult& r) { return r.tpot_ms; }},
      {"prefill_tokens_per_s", false, [](const TargetResult& r) { return r.report.samples.prefill_tokens_per_s; }},
      {"decode_tokens_per_s", false, [](const TargetResult& r) { return r.report.samples.decode_tokens_per_s; }},
      {"texts_per_s", false, [](const TargetResult& r) { return r.report.samples.texts_per_s; }},
      {"joules_per_token", true, [](const TargetResult& r) { return r.joules_per_token; }},
  };
  return kMetrics;
}

void record_bench(Engine& engine, const std::string& model, const BenchReport& report, const OpenOptions& open) {
  TargetBench bench{.fingerprint = device_fingerprint(), .results = {}, .notes = {}};
  const Result<std::string> id = engine.model_id(model, nullptr);
  if (!id) return log_warning("the measurement is not kept: " + id.error().message);
  bench.model_id = *id;
  bench.shape = shape_bucket({.name = "", .prompt_tokens = report.prompt_tokens, .generate_tokens = report.samples.texts_per_s.empty() ? report.generate_tokens : 0,
                              .concurrency = report.batch});
  TargetResult result{.label = report.target, .report = report};
  for (const double rate : report.samples.decode_tokens_per_s) result.tpot_ms.push_back(1e3 * report.batch / rate);
  remember(engine, bench, {.label = report.target, .open = open}, result);
  for (const std::string& note : bench.notes) log_warning(note);
}

double percentile(std::vector<double> samples, double share) {
  if (samples.empty()) return std::numeric_limits<double>::quiet_NaN();
  std::sort(samples.begin(), samples.end());
  const double at = std::clamp(share, 0.0, 1.0) * static_cast<double>(samples.size() - 1);
  const auto below = static_cast<size_t>(at);
  const size_t above = std::min(below + 1, samples.size() - 1);
  return samples[below] + (samples[above] - samples[below]) * (at - static_cast<double>(below));
}

double noise_of(const std::vector<double>& samples) {
  if (samples.size() < 2) return std::numeric_limits<double>::quiet_NaN();
  return (percentile(samples, 0.9) - percentile(samples, 0.1)) / std::fabs(median(samples));
}

std::optional<uint64_t> rapl_microjoules(const std::string& folder) {
  std::optional<uint64_t> total;
  std::error_code failed;
  for (auto it = std::filesystem::directory_iterator(folder, failed); !failed && it != std::filesystem::directory_iterator(); it.increment(failed)) {
    const std::string name = it->path().filename().string();
    // "intel-rapl:0" is a package; "intel-rapl:0:1" a part of it, counted already.
    if (!name.starts_with("intel-rapl:") || std::count(name.begin(), name.end(), ':') != 1) continue;
    const Result<std::string> text = read_file(it->path() / "energy_uj", kCounterBytesMax);
    if (!text) continue;
    uint64_t value = 0;
    const auto [end, bad] = std::from_chars(text->data(), text->data() + text->size(), value);
    if (bad == std::errc() && end != text->data()) total = total.value_or(0) + value;
  }
  return total;
}

}  // namespace accelerate
