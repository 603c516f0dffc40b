#include "accelerate/formats/hf_heads.h"

#include <algorithm>

#include <fmt/format.h>

#include "accelerate/formats/json_fields.h"
#include "accelerate/formats/quote.h"

namespace accelerate {
namespace {

constexpr uint32_t kLabelsDefault = 2;  // PretrainedConfig's

Error bad(std::string text) { return Error{ErrorCode::kDataLoss, "[hugging face] " + std::move(text)}; }

Result<void> read_labels(JsonFields& fields, ModelConfig& config) {
  const auto architecture = config.other.find("architectures");
  if (architecture == config.other.end() || !architecture->second.ends_with("ForSequenceClassification")) return {};
  config.labels = kLabelsDefault;
  ACC_TRY_VOID(fields.integer("num_labels", config.labels));
  config.other.erase("num_labels");
  if (const Json* names = fields.find("id2label"); names != nullptr && names->is_object()) {
    config.labels = static_cast<uint32_t>(std::min<size_t>(names->size(), UINT32_MAX));
  }
  if (config.labels == 0 || config.labels > kLabelsMax) return bad(fmt::format("a classifier has 1 to {} labels; got {}", kLabelsMax, config.labels));
  return {};
}

/// False for a function that is not known here.
bool set_score_function(const std::string& name, Model& model) {
  const std::string kind = name.substr(name.rfind('.') + 1);
  if (!name.starts_with("torch.nn.")) return false;
  if (kind == "Sigmoid") model.score_function = ScoreFunction::kSigmoid;
  else if (kind == "Identity") model.score_function = ScoreFunction::kIdentity;
  else return false;
  return true;
}

void read_score_function(JsonFields& fields, Model& model) {
  static constexpr const char* kOlder = "sbert_ce_default_activation_function";
  if (const Json* name = fields.find(kOlder); name != nullptr && name->is_string() && set_score_function(name->get<std::string>(), model)) {
    model.config.other.erase(kOlder);
  }
  const Json* own = fields.find("sentence_transformers");
  if (own == nullptr || !own->is_object()) return;
  bool understood = true;
  for (const auto& [key, value] : own->items()) {
    if (key == "activation_fn") understood &= value.is_string() && set_score_function(value.get<std::string>(), model);
    else understood &= key == "version";
  }
  if (understood) model.config.other.erase("sentence_transformers");
}

Result<void> read_matryoshka(JsonFields& fields, Model& model) {
  std::optional<bool> said;
  ACC_TRY_VOID(fields.boolean("is_matryoshka", said));
  model.matryoshka = said.value_or(false);
  model.config.other.erase("is_matryoshka");
  const Json* list = fields.find("matryoshka_dimensions");
  model.config.other.erase("matryoshka_dimensions");
  if (list == nullptr) return {};
  if (!list->is_array() || list->size() > kMatryoshkaDimensionsMax) {
    return bad(fmt::format("matryoshka_dimensions is a list of at most {} lengths; got {}", kMatryoshkaDimensionsMax, in_quotes(printed(*list))));
  }
  for (const Json& entry : *list) {
    if (!entry.is_number_unsigned() || entry.get<uint64_t>() == 0 || entry.get<uint64_t>() > UINT32_MAX) {
      return bad("matryoshka_dimensions are lengths of vectors; got " + in_quotes(printed(entry)));
    }
    model.matryoshka_dimensions.push_back(entry.get<uint32_t>());
  }
  model.matryoshka = true;
  return {};
}

}  // namespace

Result<void> read_hf_heads(const Json& config, Model& model) {
  JsonFields fields(config, "config.json");
  ACC_TRY_VOID(read_labels(fields, model.config));
  read_score_function(fields, model);
  return read_matryoshka(fields, model);
}

}  // namespace accelerate
