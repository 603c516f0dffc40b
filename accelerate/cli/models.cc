#include <algorithm>
#include <optional>
#include <utility>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "accelerate/base/json.h"
#include "accelerate/cli/engine_flags.h"
#include "accelerate/cli/signals.h"
#include "accelerate/cli/verb.h"

namespace accelerate {
namespace {

struct Row {
  std::string name, title, path;  // path empty = not pulled yet
  uint64_t bytes = 0;             // on disk, or to download
};

std::vector<Row> list_models() {
  std::vector<Row> rows;
  const std::vector<InstalledModel> installed = installed_models();
  for (const CatalogEntry& entry : catalog()) {
    Row row{std::string(entry.alias), std::string(entry.title), "", 0};
    const Result<ModelLocation> where = locate_model(entry.alias);
    const auto here = std::find_if(installed.begin(), installed.end(), [&](const InstalledModel& m) { return m.name == entry.alias; });
    if (where && here != installed.end()) {
      row.path = here->path;
      row.bytes = here->bytes;
    } else {
      for (const CatalogPackage& package : entry.packages) row.bytes += package.bytes;
    }
    rows.push_back(std::move(row));
  }
  for (const InstalledModel& model : installed) {
    const bool listed = std::any_of(rows.begin(), rows.end(), [&](const Row& row) { return row.name == model.name; });
    if (!listed) rows.push_back({model.name, "", model.path, model.bytes});
  }
  return rows;
}

uint64_t memory_bytes(const ModelDescription& d) { return d.memory_weights_bytes + d.memory_kv_bytes + d.memory_buffers_bytes; }

/// Option and value of what the model's files suggest; `run` and `serve` apply none of it.
std::vector<std::pair<std::string, double>> suggested_pairs(const GenerationDefaults& g) {
  std::vector<std::pair<std::string, double>> pairs;
  const auto add = [&](const char* name, const auto& value) {
    if (value) pairs.emplace_back(name, *value);
  };
  add("temperature", g.temperature);
  add("top_p", g.top_p);
  add("top_k", g.top_k);
  add("min_p", g.min_p);
  add("repetition_penalty", g.repetition_penalty);
  return pairs;
}

std::string suggested_text(const GenerationDefaults& g) {
  std::vector<std::string> parts;
  for (const auto& [name, value] : suggested_pairs(g)) parts.push_back(fmt::format("{} {:g}", name, value));
  return parts.empty() ? "none" : fmt::format("{} (not applied)", fmt::join(parts, ", "));
}

std::string describe_text(const ModelDescription& d, const std::optional<std::string>& id) {
  std::vector<std::string> types;
  for (const auto& [type, count] : d.tensor_types) types.push_back(fmt::format("{} {}", count, type));
  std::vector<std::vector<std::string>> rows = {
      {"name", d.name},
      {"path", d.path},
      {"format", d.format},
      {"family", d.family},
      {"parameters", fmt::format("{} ({})", format_count(d.parameters), d.parameters)},
      {"quantization", fmt::format("{} (tensors: {})", d.quantization, fmt::join(types, ", "))},
      {"shape", fmt::format("{} layers, width {}, {} heads, {} key-value heads, vocabulary {}", d.layers, d.width, d.heads, d.kv_heads,
                            d.vocabulary)},
      {"context", fmt::format("{} tokens", d.context)},
      {"tokenizer", d.tokenizer},
      {"chat template", d.chat_template.empty() ? "none" : fmt::format("{} bytes", d.chat_template.size())},
      {"suggested sampling", suggested_text(d.suggested)},
      {"graph", d.graph_hash.empty() ? "none" : "sha256:" + d.graph_hash},
      {"on disk", format_bytes(d.file_bytes)},
  };
  if (id) rows.push_back({"id", "sha256:" + *id});
  if (d.refusal.empty()) {
    rows.push_back({"memory needed", fmt::format("{}: weights {}, KV cache {}, buffers {}", format_bytes(memory_bytes(d)),
                                                 format_bytes(d.memory_weights_bytes), format_bytes(d.memory_kv_bytes),
                                                 format_bytes(d.memory_buffers_bytes))});
  } else {
    rows.push_back({"cannot run", d.refusal});
  }
  return format_table(rows);
}

Json describe_json(const ModelDescription& d, const std::optional<std::string>& id) {
  Json suggested = Json::object();
  for (const auto& [name, value] : suggested_pairs(d.suggested)) suggested[name] = value;
  return Json{{"name", d.name},
              {"id", id ? Json(*id) : Json()},
              {"graph", d.graph_hash.empty() ? Json() : Json(d.graph_hash)},
              {"suggested_sampling", std::move(suggested)},
              {"path", d.path},
              {"format", d.format},
              {"family", d.family},
              {"parameters", d.parameters},
              {"quantization", d.quantization},
              {"tensor_types", d.tensor_types},
              {"layers", d.layers},
              {"width", d.width},
              {"heads", d.heads},
              {"kv_heads", d.kv_heads},
              {"vocabulary", d.vocabulary},
              {"context", d.context},
              {"tokenizer", d.tokenizer},
              {"chat_template", d.chat_template.empty() ? Json() : Json(d.chat_template)},
              {"file_bytes", d.file_bytes},
              {"memory_bytes", {{"weights", d.memory_weights_bytes}, {"kv", d.memory_kv_bytes}, {"buffers", d.memory_buffers_bytes},
                                {"total", memory_bytes(d)}}},
              {"refusal", d.refusal.empty() ? Json() : Json(d.refusal)}};
}

class ModelsVerb : public Verb {
 public:
  void declare(CLI::App& app) override {
    app.add_flag("--json", json_, "One JSON object");
    app.add_flag("--names", names_only_, "Only the names, one a line");
    show_ = app.add_subcommand("show", "Show one model without loading it");
    show_->set_help_flag("-h,--help", "Show options and examples");
    show_->fallthrough();
    show_->add_option("MODEL", model_, "A path or a name that `models` lists")->required();
    show_->add_flag("--id", id_, "Also the model's id, a hash over its files: reads every byte once, then remembers");
    add_decoder_flags(*show_, flags_);
    app.require_subcommand(0, 1);
  }
  bool json() const override { return json_; }

  Result<void> run(Console& console) override {
    const bool put = show_->parsed() ? false : print_list(console);
    if (!show_->parsed()) return put ? Result<void>() : console.output_error();
    ACC_TRY(const OpenOptions options, open_options(flags_));
    ACC_TRY(const std::unique_ptr<Engine> engine, make_engine({}));
    ACC_TRY(const ModelDescription description, engine->describe(model_, options));
    std::optional<std::string> id;
    if (id_) {
      ACC_TRY(id, engine->model_id(model_, &stop_flag()));
    }
    const bool shown = json_ ? console.put_json(dump_json(describe_json(description, id), 2)) : console.put(describe_text(description, id));
    return shown ? Result<void>() : console.output_error();
  }

 private:
  bool print_list(Console& console) const {
    const std::vector<Row> rows = list_models();
    if (json_) {
      Json list = Json::array();
      for (const Row& row : rows) {
        list.push_back({{"name", row.name}, {"title", row.title}, {"path", row.path.empty() ? Json() : Json(row.path)},
                        {"installed", !row.path.empty()}, {"bytes", row.bytes}});
      }
      return console.put_json(dump_json(Json{{"folder", models_dir().string()}, {"models", list}}, 2));
    }
    std::string text;
    if (names_only_) {
      for (const Row& row : rows) text += row.name + "\n";
      return console.put(text);
    }
    std::vector<std::vector<std::string>> table = {{"NAME", "STATE", "SIZE", "WHAT"}};
    for (const Row& row : rows) {
      table.push_back({row.name, row.path.empty() ? "to pull" : "here", format_bytes(row.bytes), row.title.empty() ? row.path : row.title});
    }
    return console.put(format_table(table));
  }

  std::string model_;
  bool json_ = false, names_only_ = false, id_ = false;
  CLI::App* show_ = nullptr;
  EngineFlags flags_;
};

}  // namespace

std::unique_ptr<Verb> make_models_verb() { return std::make_unique<ModelsVerb>(); }

}  // namespace accelerate
