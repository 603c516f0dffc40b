#include <algorithm>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "accelerate/base/json.h"
#include "accelerate/cli/engine_flags.h"
#include "accelerate/cli/progress.h"
#include "accelerate/cli/verb.h"
#include "accelerate/engine/compile_model.h"

namespace accelerate {
namespace {

constexpr int kLevelMax = 3;  // CompileOptions::level

Json json_of(const std::optional<ParityVerdict>& parity) {
  if (!parity) return {};
  const LogitsComparison& n = parity->numbers;
  return {{"verdict", parity_state_name(parity->state)}, {"remembered", parity->remembered}, {"rows", n.rows}, {"kl_mean", n.kl_mean},
          {"top1_agreement", n.top1_agreement}, {"cosine_distance_max", n.cosine_distance_max}, {"reason", parity->reason}, {"notes", parity->notes}};
}

Json to_json(const CompileReport& r) {
  const StartReport& s = r.start;
  const Json artifact = s.artifact ? Json{{"id", s.artifact->id}, {"path", s.artifact->path}, {"bytes", s.artifact->bytes}} : Json();
  return {{"model", r.name}, {"path", r.path}, {"target", s.target}, {"quantization", r.quantization}, {"from_cache", s.from_cache}, {"load_s", s.load_s},
          {"total_s", r.total_s}, {"weights_bytes", r.weights_bytes}, {"memory_bytes", s.memory_bytes}, {"parity", json_of(s.parity)}, {"artifact", artifact},
          {"cached", s.cached}, {"report", s.report}, {"notes", r.notes}};
}

std::string to_text(const CompileReport& r) {
  const StartReport& s = r.start;
  std::vector<std::vector<std::string>> rows = {
      {"model", fmt::format("{} {}", r.name, r.quantization)},
      {"target", s.target},
      {s.from_cache ? "loaded" : "compiled", fmt::format("in {:.2f} s; with the proof and all else {:.2f} s", s.load_s, r.total_s)},
      {"memory", fmt::format("{}; the model's files have {}", format_bytes(s.memory_bytes), format_bytes(r.weights_bytes))},
      {"parity", s.parity ? fmt::format("{}{}", to_string(*s.parity), s.parity->remembered ? " (remembered)" : "") : "not compared: --parity off"},
      {"artifact", s.artifact ? fmt::format("{}, {}", format_bytes(s.artifact->bytes), s.cached) : s.cached},
  };
  if (s.artifact) {
    rows.push_back({"", s.artifact->path});
    rows.push_back({"id", s.artifact->id});
  }
  for (const std::string& line : s.report) rows.push_back({"note", line});
  return format_table(rows);
}

class CompileVerb : public Verb {
 public:
  void declare(CLI::App& app) override {
    app.add_option("MODEL", model_, "A path or a name that `models` lists")->required();
    add_engine_flags(app, flags_);
    add_decoder_flags(app, flags_);
    app.add_option("--target", target_, "Exactly this one, as cpu@cpu:0, instead of the best of --hardware")->type_name("TARGET")->excludes("--hardware");
    app.add_option("--level", level_, "How much work the backend's compiler puts in, 0 to 3, where it has levels; default: 1")
        ->check(CLI::Range(0, kLevelMax))->type_name("N");
    app.add_flag("--json", json_, "One JSON object");
  }
  bool json() const override { return json_; }

  Result<void> run(Console& console) override {
    ACC_TRY(OpenOptions options, open_options(flags_));
    options.compile.level = level_;
    if (!target_.empty()) options.targets = {target_};
    ACC_TRY_VOID(ensure_pulled(console, model_, flags_));
    ACC_TRY(const std::unique_ptr<Engine> engine, make_engine(flags_));
    const Result<CompileReport> report = [&] {
      ProgressLine progress(console);
      return compile_model(*engine, model_, options, progress);
    }();
    if (!report) return report.error();
    const bool put = json_ ? console.put_json(dump_json(to_json(*report), 2)) : console.put(to_text(*report));
    if (!put) return console.output_error();
    if (!json_) {
      for (const std::string& note : report->notes) console.note(note);
    }
    return {};
  }

 private:
  std::string model_, target_;
  int level_ = CompileOptions{}.level;
  bool json_ = false;
  EngineFlags flags_;
};

}  // namespace

std::unique_ptr<Verb> make_compile_verb() { return std::make_unique<CompileVerb>(); }

}  // namespace accelerate
