#include "accelerate/formats/hf_config.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "accelerate/base/limits.h"
#include "accelerate/formats/json_fields.h"
#include "accelerate/formats/quote.h"

namespace accelerate {
namespace {

constexpr std::string_view kWhere = "hugging face";

Error bad(std::string text) { return Error{ErrorCode::kDataLoss, "[hugging face] " + std::move(text)}; }

bool is_gemma3(const ModelConfig& config) { return config.architecture == "gemma3_text"; }

/// Defaults of LlamaConfig, MistralConfig, BertConfig and Gemma3TextConfig: saved files leave some of them out.
void set_defaults(ModelConfig& config) {
  if (config.architecture == "llama" || config.architecture == "mistral") config.norm_epsilon = 1e-6;
  if (config.architecture == "mistral") config.sliding_window = 4096;  // later Mistral models say null
  if (config.architecture == "bert") {
    config.norm_epsilon = 1e-12;
    config.token_types = 2;
    config.activation = Activation::kGeluErf;
  }
  if (is_gemma3(config)) {
    config.norm_epsilon = 1e-6;
    config.head_width = 256;
    config.rope.base = 1'000'000;
    config.rope_local = RopeConfig{};
    config.sliding_window = 4096;
    config.sliding_window_pattern = 6;
    config.activation = Activation::kGeluTanh;
  }
}

/// One rope description: {"rope_type" or "type", "rope_theta", "factor", ...}. Unknown fields go to `other`.
Result<void> read_rope(const Json& json, const std::string& where, RopeConfig& rope, std::map<std::string, std::string>& other) {
  if (!json.is_object()) return bad(fmt::format("{} in config.json is an object; got {}", where, in_quotes(printed(json))));
  JsonFields fields(json, "config.json " + where);
  std::string type;
  ACC_TRY_VOID(fields.text("type", type));
  ACC_TRY_VOID(fields.text("rope_type", type));
  rope.scaling = type.empty() || type == "default" ? "none" : type;
  ACC_TRY_VOID(fields.number("rope_theta", rope.base));
  ACC_TRY_VOID(fields.number("factor", rope.factor));
  ACC_TRY_VOID(fields.number("low_freq_factor", rope.low_frequency_factor));
  ACC_TRY_VOID(fields.number("high_freq_factor", rope.high_frequency_factor));
  ACC_TRY_VOID(fields.integer("original_max_position_embeddings", rope.original_context));
  for (const auto& [key, value] : fields.rest()) other.emplace(where + "." + key, value);
  return {};
}

Result<void> read_ropes(JsonFields& fields, ModelConfig& config) {
  ACC_TRY_VOID(fields.number("rope_theta", config.rope.base));
  if (const Json* scaling = fields.find("rope_scaling")) ACC_TRY_VOID(read_rope(*scaling, "rope_scaling", config.rope, config.other));
  if (config.rope_local) ACC_TRY_VOID(fields.number("rope_local_base_freq", config.rope_local->base));
  // Since version 5 Transformers writes rope_parameters, for Gemma 3 one object for each kind of layer.
  if (const Json* parameters = fields.find("rope_parameters")) {
    const bool by_layer = parameters->is_object() && parameters->contains("full_attention");
    const Json& global = by_layer ? (*parameters)["full_attention"] : *parameters;
    ACC_TRY_VOID(read_rope(global, "rope_parameters", config.rope, config.other));
    if (by_layer && parameters->contains("sliding_attention")) {
      config.rope_local.emplace();
      ACC_TRY_VOID(read_rope((*parameters)["sliding_attention"], "rope_parameters.sliding_attention", *config.rope_local, config.other));
    }
  }
  double partial = 1;
  ACC_TRY_VOID(fields.number("partial_rotary_factor", partial));
  if (!(partial > 0 && partial <= 1)) return bad(fmt::format("partial_rotary_factor is above 0 and at most 1; got {}", partial));
  if (partial < 1) config.rope_width = static_cast<uint32_t>(config.head_width * partial);
  return {};
}

/// layer_types lists "sliding_attention" and "full_attention"; it becomes "every n-th is full" or is left to be refused.
void read_layer_types(JsonFields& fields, ModelConfig& config) {
  const Json* types = fields.find("layer_types");
  if (!types || !types->is_array() || types->empty()) return;
  const auto is_full = [&](size_t i) { return (*types)[i] == "full_attention"; };
  size_t first_full = 0;
  while (first_full < types->size() && !is_full(first_full)) ++first_full;
  const size_t pattern = first_full + 1;
  for (size_t i = 0; i < types->size(); ++i) {
    if (is_full(i) != ((i + 1) % pattern == 0) || (!is_full(i) && (*types)[i] != "sliding_attention")) {
      fields.give_back("layer_types");
      return;
    }
  }
  config.sliding_window_pattern = static_cast<uint32_t>(std::min<size_t>(pattern, UINT32_MAX));
  if (pattern == 1) config.sliding_window = 0;  // every layer sees all
}

Result<void> read_window(JsonFields& fields, const Json& json, ModelConfig& config) {
  if (json.contains("sliding_window") && json["sliding_window"].is_null()) config.sliding_window = 0;
  ACC_TRY_VOID(fields.integer("sliding_window", config.sliding_window));
  ACC_TRY_VOID(fields.integer("_sliding_window_pattern", config.sliding_window_pattern));
  ACC_TRY_VOID(fields.integer("sliding_window_pattern", config.sliding_window_pattern));
  std::optional<bool> use_window;
  ACC_TRY_VOID(fields.boolean("use_sliding_window", use_window));
  if (use_window == false) config.sliding_window = 0;
  read_layer_types(fields, config);
  return {};
}

/// Names of Transformers' activation table.
void read_activation(JsonFields& fields, ModelConfig& config) {
  for (const char* key : {"hidden_act", "hidden_activation"}) {
    const Json* value = fields.find(key);
    if (!value) continue;
    const std::string name = printed(*value);
    if (name == "silu" || name == "swish") config.activation = Activation::kSilu;
    else if (name == "gelu_pytorch_tanh" || name == "gelu_new" || name == "gelu_fast") config.activation = Activation::kGeluTanh;
    else if (name == "gelu" || name == "gelu_python") config.activation = Activation::kGeluErf;
    else if (name == "relu") config.activation = Activation::kRelu;
    else fields.give_back(key);  // a family refuses it by name
  }
}

Result<void> read_sizes(JsonFields& fields, ModelConfig& config) {
  ACC_TRY_VOID(fields.integer("num_hidden_layers", config.layers));
  ACC_TRY_VOID(fields.integer("hidden_size", config.width));
  ACC_TRY_VOID(fields.integer("intermediate_size", config.ff_width));
  ACC_TRY_VOID(fields.integer("num_attention_heads", config.heads));
  config.kv_heads = config.heads;
  ACC_TRY_VOID(fields.integer("num_key_value_heads", config.kv_heads));
  ACC_TRY_VOID(fields.integer("head_dim", config.head_width));
  if (config.head_width == 0 && config.heads != 0) config.head_width = config.width / config.heads;
  ACC_TRY_VOID(fields.integer("vocab_size", config.vocabulary));
  ACC_TRY_VOID(fields.integer("max_position_embeddings", config.context));
  ACC_TRY_VOID(fields.integer("type_vocab_size", config.token_types));
  ACC_TRY_VOID(fields.number("layer_norm_eps", config.norm_epsilon));
  return fields.number("rms_norm_eps", config.norm_epsilon);
}

Result<void> read_attention(JsonFields& fields, ModelConfig& config) {
  double query_scalar = is_gemma3(config) ? 256 : 0;  // Gemma3TextConfig's default
  ACC_TRY_VOID(fields.number("query_pre_attn_scalar", query_scalar));
  if (query_scalar < 0) return bad(fmt::format("query_pre_attn_scalar is above 0; got {}", query_scalar));
  if (query_scalar > 0) config.attention_scale = 1.0 / std::sqrt(query_scalar);
  ACC_TRY_VOID(fields.number("attn_logit_softcapping", config.attention_softcap));
  ACC_TRY_VOID(fields.number("final_logit_softcapping", config.final_softcap));
  return fields.boolean("tie_word_embeddings", config.tied_embeddings);
}

}  // namespace

Result<ModelConfig> parse_hf_config(std::string_view text) {
  ACC_TRY(const Json json, parse_json(text, {.where = kWhere, .bytes_max = limits::kConfigFileBytesMax}));
  JsonFields fields(json, "config.json");
  ModelConfig config;
  ACC_TRY_VOID(fields.text("model_type", config.architecture));
  if (!is_printable_name(config.architecture)) {
    return bad(fmt::format("config.json has a model_type; got {}", config.architecture.empty() ? "none" : in_quotes(config.architecture)));
  }
  ACC_TRY_VOID(fields.text("_name_or_path", config.name));
  set_defaults(config);
  config.norm_weight_is_offset = config.architecture.starts_with("gemma");
  ACC_TRY_VOID(read_sizes(fields, config));
  ACC_TRY_VOID(read_attention(fields, config));
  ACC_TRY_VOID(read_ropes(fields, config));
  ACC_TRY_VOID(read_window(fields, json, config));
  read_activation(fields, config);
  if (const Json* architectures = fields.find("architectures"); architectures && architectures->is_array() && !architectures->empty()) {
    config.other.emplace("architectures", printed(architectures->front()));
  }
  config.other.merge(fields.rest());
  return config;
}

}  // namespace accelerate
