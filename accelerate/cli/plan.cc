#include <ctime>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "accelerate/base/json.h"
#include "accelerate/cli/engine_flags.h"
#include "accelerate/cli/verb.h"

namespace accelerate {
namespace {

Json json_of(const std::optional<double>& value) { return value ? Json(*value) : Json(); }

std::string date_of(int64_t unix_s) {
  const std::time_t time = unix_s;
  std::tm utc{};
  gmtime_r(&time, &utc);
  char text[32];
  return std::string(text, std::strftime(text, sizeof text, "%Y-%m-%d", &utc));
}

Json json_of(const std::optional<PlanFigures>& figures) {
  if (!figures) return {};
  const PlanFigures& f = *figures;
  Json json = {{"ttft_ms", json_of(f.ttft_ms)}, {"tpot_ms", json_of(f.tpot_ms)}, {"tokens_per_s", json_of(f.tokens_per_s)}, {"texts_per_s", json_of(f.texts_per_s)},
               {"joules_per_token", json_of(f.joules_per_token)}, {"memory_bytes", json_of(f.memory_bytes)}, {"samples", f.samples}, {"unix_s", f.unix_s}};
  if (!f.from.empty()) json["from_shape"] = f.from;
  return json;
}

Json json_of(const PlanEntry& entry) {
  const bool has_target = entry.backend && !entry.target.device.kind.empty();
  return {{"hardware", entry.hardware}, {"target", has_target ? Json(to_string(entry.target)) : Json()}, {"yes", entry.yes}, {"reason", entry.reason},
          {"how_to_get", entry.how_to_get}, {"measured", json_of(entry.measured)}, {"predicted", json_of(entry.predicted)},
          {"parity", {{"verdict", entry.parity.empty() ? Json() : Json(entry.parity)}, {"kl_mean", json_of(entry.kl_mean)}}},
          {"memory_estimate", entry.yes || entry.memory.total() ? Json{{"weights_bytes", entry.memory.weights}, {"kv_bytes", entry.memory.kv},
                                                                       {"buffers_bytes", entry.memory.buffers}, {"total_bytes", entry.memory.total()}} : Json()}};
}

Json to_json(const ModelPlan& p) {
  Json targets = Json::array();
  for (const PlanEntry& entry : p.plan.entries) targets.push_back(json_of(entry));
  return {{"model", p.name}, {"model_id", p.model_id}, {"quantization", p.quantization}, {"objective", objective_name(p.objective)},
          {"use", {{"name", p.use.name}, {"prompt_tokens", p.use.prompt_tokens}, {"generate_tokens", p.use.generate_tokens},
                   {"concurrency", p.use.concurrency}, {"shape", shape_bucket(p.use)}}},
          {"machine", p.fingerprint}, {"threads", p.threads}, {"best", p.plan.best() ? Json(to_string(p.plan.best()->target)) : Json()},
          {"nearest_miss", p.plan.nearest_miss.empty() ? Json() : Json(p.plan.nearest_miss)}, {"targets", targets}, {"notes", p.notes}};
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
    const bool put = json_ ? console.put_json(dump_json(to_json(plan), 2)) : console.put(to_text(plan));
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
