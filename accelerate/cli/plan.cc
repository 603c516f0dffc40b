#include <ctime>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "accelerate/base/json.h"
#include "accelerate/cli/engine_flags.h"
#include "accelerate/cli/verb.h"
#include "accelerate/serve/admin_write.h"

namespace accelerate {
namespace {

std::string date_of(int64_t unix_s) {
  const std::time_t time = unix_s;
  std::tm utc{};
  gmtime_r(&time, &utc);
  char text[32];
  return std::string(text, std::strftime(text, sizeof text, "%Y-%m-%d", &utc));
}

std::string number(const std::optional<double>& value) { return value ? format_number(*value) : "unavailable"; }

std::string figures_text(const PlanFigures& f, const UseCase& use) {
  std::string text = use.generate_tokens == 0 && f.texts_per_s
                         ? fmt::format("{} texts/s", number(f.texts_per_s))
                         : fmt::format("first token {} ms, then {} ms a token, {} tokens/s", number(f.ttft_ms), number(f.tpot_ms), number(f.tokens_per_s));
  if (f.joules_per_token) text += fmt::format(", {} J a token", number(f.joules_per_token));
  return text;
}

std::string to_text(const ModelPlan& p) {
  std::string text = fmt::format("{} {} for {}: {} tokens in, {} out, {} at a time; by {}\non {}, {} threads\n\n", p.name, p.quantization, p.use.name,
                                 p.use.prompt_tokens, p.use.generate_tokens, p.use.concurrency, objective_name(p.objective), p.fingerprint, p.threads);
  std::vector<std::vector<std::string>> table = {{"HARDWARE", "TARGET", "", "PARITY", "MEMORY", "WHY"}};
  std::vector<std::vector<std::string>> figures;
  for (const PlanEntry& entry : p.plan.entries) {
    const std::string target = entry.backend && !entry.target.device.kind.empty() ? to_string(entry.target) : "-";
    const std::string parity = entry.parity.empty() ? "not yet" : entry.parity;
    table.push_back({entry.hardware, target, entry.yes ? "yes" : "no", entry.yes ? parity : entry.parity.empty() ? "-" : entry.parity,
                     entry.yes ? format_bytes(entry.memory.total()) : "-", entry.reason});
    if (entry.measured) {
      figures.push_back({target, fmt::format("measured {}, {} samples", date_of(entry.measured->unix_s), entry.measured->samples), figures_text(*entry.measured, p.use)});
    } else if (entry.predicted) {
      figures.push_back({target, fmt::format("predicted from {}", entry.predicted->from), figures_text(*entry.predicted, p.use)});
    }
  }
  text += format_table(table);
  if (!figures.empty()) {
    figures.insert(figures.begin(), {"TARGET", "FIGURES", ""});
    text += "\n" + format_table(figures);
  }
  if (!p.plan.nearest_miss.empty()) text += "\nnothing satisfies this; the nearest is " + p.plan.nearest_miss + "\n";
  return text + "\nMEMORY is an estimate; --json adds how to get each missing one.\n";
}

class PlanVerb : public Verb {
 public:
  void declare(CLI::App& app) override {
    app.add_option("MODEL", model_, "A path or a name that `models` lists")->required();
    app.add_flag("--json", json_, "One JSON object");
    add_engine_flags(app, flags_);
    add_decoder_flags(app, flags_);
    add_choice_flags(app, flags_.choice);
  }
  bool json() const override { return json_; }

  Result<void> run(Console& console) override {
    ACC_TRY(const OpenOptions options, open_options(flags_));
    ACC_TRY(const std::unique_ptr<Engine> engine, make_engine(flags_));
    ACC_TRY(const ModelPlan plan, engine->plan(model_, options));
    const bool put = json_ ? console.put_json(dump_json(plan_json(plan), 2)) : console.put(to_text(plan));
    if (!put) return console.output_error();
    if (!json_) {
      for (const std::string& note : plan.notes) console.note(note);
    }
    if (plan.plan.best()) return {};
    if (!plan.plan.nearest_miss.empty()) {
      return Error{ErrorCode::kFailedPrecondition, "[plan] no target satisfies the constraints; the nearest is " + plan.plan.nearest_miss};
    }
    const Error refusal = plan.plan.refusal();
    return Error{refusal.code, "[plan] no target can run it; got " + refusal.message};
  }

 private:
  std::string model_;
  bool json_ = false;
  EngineFlags flags_;
};

}  // namespace

std::unique_ptr<Verb> make_plan_verb() { return std::make_unique<PlanVerb>(); }

}  // namespace accelerate
