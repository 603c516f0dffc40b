#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "accelerate/base/json.h"
#include "accelerate/cli/engine_flags.h"
#include "accelerate/cli/verb.h"
#include "accelerate/engine/hardware.h"

namespace accelerate {
namespace {

/// What one hardware name can do with one model: the best of its targets.
struct Cell {
  std::string word;  // "measured 245 tokens/s", "yes", "no", "-"
  Json json;
};

Cell cell_of(const ModelPlan& plan, std::string_view hardware) {
  for (const PlanEntry& entry : plan.plan.entries) {  // every yes before every no
    if (entry.hardware != hardware) continue;
    Json json = {{"yes", entry.yes}, {"reason", entry.reason}, {"parity", entry.parity.empty() ? Json() : Json(entry.parity)}, {"tokens_per_s", Json()}};
    if (!entry.yes) return {entry.target.device.kind.empty() ? "-" : "no", std::move(json)};
    json["target"] = to_string(entry.target);
    const std::string proven = entry.parity == "pass" ? ", right" : "";
    const auto speed = entry.measured ? (plan.use.generate_tokens ? entry.measured->tokens_per_s : entry.measured->texts_per_s) : std::nullopt;
    if (!speed) return {"yes" + proven, std::move(json)};
    json[plan.use.generate_tokens ? "tokens_per_s" : "texts_per_s"] = *speed;
    return {format_number(*speed) + (plan.use.generate_tokens ? " tok/s" : " texts/s") + proven, std::move(json)};
  }
  return {"-", Json{{"yes", false}, {"reason", "nothing of it found"}}};
}

class MatrixVerb : public Verb {
 public:
  void declare(CLI::App& app) override {
    app.add_option("MODEL", models_, "Models to show; default: every model of the catalog that is here");
    app.add_flag("--json", json_, "One JSON object");
    add_engine_flags(app, flags_);
  }
  bool json() const override { return json_; }

  Result<void> run(Console& console) override {
    if (models_.empty()) {
      for (const CatalogEntry& entry : catalog()) {
        if (locate_model(entry.alias)) models_.emplace_back(entry.alias);
      }
    }
    if (models_.empty()) return Error{ErrorCode::kNotFound, "[matrix] it takes a model; got none, and none of the catalog is here; try pull"};
    ACC_TRY(const std::unique_ptr<Engine> engine, make_engine(flags_));
    ACC_TRY(const OpenOptions options, open_options(flags_));
    std::vector<std::vector<std::string>> table = {{"MODEL", "FAMILY", "WEIGHTS"}};
    for (const HardwareName& hardware : hardware_names()) table.front().emplace_back(hardware.name);
    Json rows = Json::array();
    for (const std::string& model : models_) {
      ACC_TRY(const ModelPlan plan, engine->plan(model, options));
      ACC_TRY(const ModelDescription description, engine->describe(model, options));
      table.push_back({plan.name, description.family, plan.quantization});
      Json cells = Json::object();
      for (const HardwareName& hardware : hardware_names()) {
        Cell cell = cell_of(plan, hardware.name);
        table.back().push_back(std::move(cell.word));
        cells[std::string(hardware.name)] = std::move(cell.json);
      }
      rows.push_back({{"model", plan.name}, {"family", description.family}, {"quantization", plan.quantization}, {"hardware", std::move(cells)}});
    }
    if (json_) return console.put_json(dump_json(Json{{"models", rows}}, 2)) ? Result<void>() : console.output_error();
    return console.put(format_table(table) + "\nyes: it can run here; right: proven against the reference; a speed: measured here by `bench`; -: not on this machine.\n")
               ? Result<void>() : console.output_error();
  }

 private:
  std::vector<std::string> models_;
  bool json_ = false;
  EngineFlags flags_;
};

}  // namespace

std::unique_ptr<Verb> make_matrix_verb() { return std::make_unique<MatrixVerb>(); }

}  // namespace accelerate
