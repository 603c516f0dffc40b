#include <optional>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "accelerate/base/json.h"
#include "accelerate/cli/engine_flags.h"
#include "accelerate/cli/signals.h"
#include "accelerate/cli/verb.h"
#include "accelerate/engine/known_models.h"
#include "accelerate/serve/admin_write.h"

namespace accelerate {
namespace {

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
    rows.push_back({"memory needed", fmt::format("{}: weights {}, KV cache {}, buffers {}", format_bytes(memory_needed_bytes(d)),
                                                 format_bytes(d.memory_weights_bytes), format_bytes(d.memory_kv_bytes),
                                                 format_bytes(d.memory_buffers_bytes))});
  } else {
    rows.push_back({"cannot run", d.refusal});
  }
  return format_table(rows);
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
    const bool shown = json_ ? console.put_json(dump_json(description_json(description, id), 2)) : console.put(describe_text(description, id));
    return shown ? Result<void>() : console.output_error();
  }

 private:
  bool print_list(Console& console) const {
    if (json_) return console.put_json(dump_json(known_models_json(), 2));
    const std::vector<KnownModel> models = known_models();
    std::string text;
    if (names_only_) {
      for (const KnownModel& model : models) text += model.name + "\n";
      return console.put(text);
    }
    std::vector<std::vector<std::string>> table = {{"NAME", "STATE", "SIZE", "WHAT"}};
    for (const KnownModel& model : models) {
      table.push_back({model.name, model.installed() ? "here" : "to pull", format_bytes(model.bytes), model.title.empty() ? model.path : model.title});
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
