#include "accelerate/engine/bench.h"

#include <limits>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "accelerate/base/cpu.h"
#include "accelerate/base/json.h"
#include "accelerate/base/file.h"
#include "accelerate/base/limits.h"
#include "accelerate/cli/bench_print.h"
#include "accelerate/cli/engine_flags.h"
#include "accelerate/cli/progress.h"
#include "accelerate/cli/verb.h"

namespace accelerate {
namespace {

constexpr double kUnavailable = std::numeric_limits<double>::quiet_NaN();

/// Speeds told as shares of what this machine was measured to do at most.
struct Shares {
  double prefill_gflops = kUnavailable, prefill_of_f32_gflops = kUnavailable;
  double decode_gbytes_per_s = kUnavailable, decode_of_read_bandwidth = kUnavailable;
};

Shares shares_of(const BenchReport& report, const MachineLimits& limits) {
  Shares shares;
  const double prefill = median(report.samples.prefill_tokens_per_s), decode = median(report.samples.decode_tokens_per_s);
  // One row of logits a prompt: its cost is spread over the prompt's tokens.
  const double flops = report.flops_per_token + (report.prompt_tokens ? report.flops_per_logits / report.prompt_tokens : 0);
  shares.prefill_gflops = prefill * flops / 1e9;
  if (limits.f32_gflops > 0) shares.prefill_of_f32_gflops = shares.prefill_gflops / limits.f32_gflops;
  // Weights are read once a step, whatever the batch.
  if (report.batch > 0) shares.decode_gbytes_per_s = decode / report.batch * static_cast<double>(report.weight_bytes) / 1e9;
  if (limits.read_gbytes_per_s > 0) shares.decode_of_read_bandwidth = shares.decode_gbytes_per_s / limits.read_gbytes_per_s;
  return shares;
}

class BenchVerb : public Verb {
 public:
  void declare(CLI::App& app) override {
    const CLI::Range counts(uint32_t{1}, kBenchTokensMax);
    app.add_option("MODEL", model_, "A path or a name that `models` lists")->required();
    app.add_option("--prompt", options_.prompt_tokens, "Tokens of each prompt (or text); default: 512")->check(counts)->type_name("N");
    app.add_option("--generate", options_.generate_tokens, "Tokens of each answer; default: 128")->check(counts)->type_name("N");
    app.add_option("--batch", options_.batch, "Sequences at the same time; default: 1")->check(CLI::Range(uint32_t{1}, kBenchBatchMax))->type_name("N");
    app.add_option("--rounds", options_.rounds, "Repetitions; medians are over them; default: 5")->check(CLI::Range(uint32_t{1}, kBenchRoundsMax))->type_name("N");
    app.add_option("--targets", targets_, "Targets side by side in interleaved rounds: cpu,cpu:exact,cpu:deterministic ..., or all")->type_name("LIST");
    app.add_option("--compare", compare_, "JSON of an earlier --targets run; worse beyond the noise is an error")->type_name("FILE");
    app.add_flag("--csv", csv_, "With --targets: raw samples, one a line")->excludes(
    app.add_flag("--json", json_, "One JSON object with medians and raw samples"));
    add_engine_flags(app, flags_);
    add_decoder_flags(app, flags_);
  }
  bool json() const override { return json_; }

  Result<void> run(Console& console) override {
    ACC_TRY(options_.open, open_options(flags_));
    ACC_TRY_VOID(ensure_pulled(console, model_, flags_));
    ACC_TRY(const std::unique_ptr<Engine> engine, make_engine(flags_));
    if (!targets_.empty() || !compare_.empty() || csv_) return run_targets(console, *engine);
    const MachineLimits limits = measure_machine(engine->context().threads);
    Result<BenchReport> report = [&] {
      ProgressLine progress(console);
      return run_bench(*engine, model_, options_, progress);
    }();
    if (!report) return report.error();
    record_bench(*engine, model_, *report, options_.open);
    const Shares shares = shares_of(*report, limits);
    const bool put = json_ ? console.put_json(dump_json(to_json(*report, limits, shares), 2))
                           : console.put(to_text(*report, limits, shares));
    if (!put) return console.output_error();
    if (!json_) {
      for (const std::string& note : report->notes) console.note(note);
    }
    if (report->cancelled) return Error{ErrorCode::kCancelled, "[bench] stopped by a signal; what was measured until then is shown"};
    return {};
  }

 private:
  Result<void> run_targets(Console& console, Engine& engine) {
    Json earlier;
    if (!compare_.empty()) {
      ACC_TRY(const std::string text, read_file(compare_, limits::kConfigFileBytesMax));
      ACC_TRY(earlier, parse_json(text, {.where = "bench"}));
    }
    ACC_TRY(const std::vector<BenchTarget> targets, bench_targets(targets_.empty() ? flags_.hardware : targets_, options_.open, engine));
    Result<TargetBench> bench = [&] {
      ProgressLine progress(console);
      return run_target_bench(engine, model_, targets, options_, progress);
    }();
    if (!bench) return bench.error();
    const Json json = target_bench_json(*bench, options_);
    const bool put = json_ ? console.put_json(dump_json(json, 2)) : console.put(csv_ ? target_bench_csv(*bench) : target_bench_table(*bench, options_));
    if (!put) return console.output_error();
    for (const std::string& note : bench->notes) console.note(note);
    if (bench->cancelled) return Error{ErrorCode::kCancelled, "[bench] stopped by a signal; what was measured until then is shown"};
    if (compare_.empty()) return {};
    ACC_TRY(const std::vector<std::string> regressions, compare_benches(earlier, json));
    for (const std::string& line : regressions) console.say(line);
    if (regressions.empty()) return {};
    return Error{ErrorCode::kFailedPrecondition, fmt::format("[bench] no figure is worse than in '{}' beyond the noise; got {}", compare_, regressions.size())};
  }

  static Json to_json(const BenchReport& r, const MachineLimits& limits, const Shares& shares) {
    const CpuInfo cpu = cpu_info();
    const Result<Isa> isa = usable_isa();
    return Json{{"model", r.model},
                {"quantization", r.quantization},
                {"target", r.target},
                {"threads", r.threads},
                {"prompt_tokens", r.prompt_tokens},
                {"generate_tokens", r.generate_tokens},
                {"batch", r.batch},
                {"rounds", r.rounds},
                {"load_ms", r.load_ms},
                {"prefill_tokens_per_s", median(r.samples.prefill_tokens_per_s)},
                {"decode_tokens_per_s", median(r.samples.decode_tokens_per_s)},
                {"ttft_ms", median(r.samples.ttft_ms)},
                {"texts_per_s", median(r.samples.texts_per_s)},
                {"samples", {{"prefill_tokens_per_s", r.samples.prefill_tokens_per_s}, {"decode_tokens_per_s", r.samples.decode_tokens_per_s},
                             {"ttft_ms", r.samples.ttft_ms}, {"texts_per_s", r.samples.texts_per_s}}},
                {"memory_peak_bytes", r.memory_peak_bytes},
                {"memory_program_bytes", r.memory_program_bytes},
                {"weight_bytes", r.weight_bytes},
                {"flops_per_token", r.flops_per_token},
                {"shares", {{"prefill_gflops", shares.prefill_gflops}, {"prefill_of_f32_gflops", shares.prefill_of_f32_gflops},
                            {"decode_gbytes_per_s", shares.decode_gbytes_per_s},
                            {"decode_of_read_bandwidth", shares.decode_of_read_bandwidth}}},
                {"machine", {{"cpu", cpu.model}, {"isa", isa ? Json(isa_name(*isa)) : Json()}, {"threads", limits.threads},
                             {"read_gbytes_per_s", limits.read_gbytes_per_s}, {"f32_gflops", limits.f32_gflops}}},
                {"cancelled", r.cancelled},
                {"notes", r.notes}};
  }
  static std::string to_text(const BenchReport& r, const MachineLimits& limits, const Shares& shares) {
    const auto percent = [](double share) { return share == share ? fmt::format("{:.0f} %", share * 100) : std::string("unavailable"); };
    std::vector<std::vector<std::string>> rows = {
        {"model", fmt::format("{} {} on {}, {} threads", r.model, r.quantization, r.target, r.threads)},
        {"load", fmt::format("{:.0f} ms", r.load_ms)},
    };
    if (!r.samples.prefill_tokens_per_s.empty()) {
      rows.push_back({"prefill", fmt::format("{} tokens/s ({} tokens x {}): {} GFLOP/s, {} of the measured f32 {}",
                                             format_number(median(r.samples.prefill_tokens_per_s)), r.prompt_tokens, r.batch,
                                             format_number(shares.prefill_gflops), percent(shares.prefill_of_f32_gflops),
                                             format_number(limits.f32_gflops))});
    }
    if (!r.samples.decode_tokens_per_s.empty()) {
      rows.push_back({"decode", fmt::format("{} tokens/s ({} tokens x {}): {} GB/s of weights, {} of the measured bandwidth {}",
                                            format_number(median(r.samples.decode_tokens_per_s)), r.generate_tokens, r.batch,
                                            format_number(shares.decode_gbytes_per_s), percent(shares.decode_of_read_bandwidth),
                                            format_number(limits.read_gbytes_per_s))});
    }
    if (!r.samples.ttft_ms.empty()) rows.push_back({"first token", fmt::format("{} ms", format_number(median(r.samples.ttft_ms)))});
    if (!r.samples.texts_per_s.empty()) {
      rows.push_back({"embedding", fmt::format("{} texts/s ({} tokens x {})", format_number(median(r.samples.texts_per_s)),
                                               r.prompt_tokens, r.batch)});
    }
    rows.push_back({"memory", fmt::format("{} peak, {} of it the program's", format_bytes(r.memory_peak_bytes),
                                          format_bytes(r.memory_program_bytes))});
    rows.push_back({"medians of", fmt::format("{} rounds", r.rounds)});
    return format_table(rows);
  }

  std::string model_;
  BenchOptions options_;
  std::string targets_, compare_;
  bool json_ = false, csv_ = false;
  EngineFlags flags_;
};

}  // namespace

std::unique_ptr<Verb> make_bench_verb() { return std::make_unique<BenchVerb>(); }

}  // namespace accelerate
