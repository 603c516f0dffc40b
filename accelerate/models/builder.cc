#include "accelerate/models/builder.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace accelerate {
namespace {

Error data_loss(std::string text) { return Error{ErrorCode::kDataLoss, "[models] " + std::move(text)}; }
Error unimplemented(std::string text) { return Error{ErrorCode::kUnimplemented, "[models] " + std::move(text)}; }

bool is_weight_type(DType type) { return type <= DType::kQ6_K; }

/// Fields that say how a model was made, saved or trained, or how to sample from it, but not what it computes.
constexpr std::string_view kMetadataFields[] = {
    "transformers_version", "torch_dtype", "dtype", "use_cache", "initializer_range", "initializer_factor", "pretraining_tp",
    "bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "cls_token_id", "decoder_start_token_id",
    "attention_dropout", "hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout", "attn_implementation",
    "gradient_checkpointing", "output_attentions", "output_hidden_states", "return_dict", "id2label", "label2id",
    "problem_type", "finetuning_task", "task_specific_params", "cache_implementation", "is_llama_config",
    "torchscript", "max_length", "min_length", "temperature", "top_k", "top_p", "do_sample", "num_beams", "is_decoder",
    "add_cross_attention", "chunk_size_feed_forward", "model_max_length", "transformers.js_config", "directionality",
    "pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers", "pooler_size_per_head", "pooler_type",
};

bool is_neutral(const std::string& value) {
  static constexpr std::string_view kNeutral[] = {"", "null", "false", "0", "0.0", "1", "1.0", "[]", "{}", "\"\"", "''"};
  return std::find(std::begin(kNeutral), std::end(kNeutral), value) != std::end(kNeutral);
}

/// "a, b, c and 4 more"
std::string listed(const std::vector<std::string>& unsorted) {
  std::vector<std::string> names = unsorted;
  std::sort(names.begin(), names.end());
  const size_t shown = std::min(names.size(), kRefusedNamesShown);
  std::string out = fmt::format("{}", fmt::join(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(shown), ", "));
  if (names.size() > shown) out += fmt::format(" and {} more", names.size() - shown);
  return out;
}

}  // namespace

std::string shown(std::string_view text) {
  std::string out(text.substr(0, kShownBytesMax));
  std::replace_if(out.begin(), out.end(), [](char c) { return c < 0x20 || c > 0x7e; }, '?');
  return text.size() > kShownBytesMax ? out + "..." : out;
}

GraphBuilder::GraphBuilder(const Model& model, std::string family) : model_(model) {
  graph_.family = std::move(family);
  for (const TensorView& tensor : model.tensors) tensors_.emplace(tensor.name, &tensor);
}

const TensorView* GraphBuilder::find(const std::string& tensor) const {
  const auto found = tensors_.find(tensor);
  return found == tensors_.end() ? nullptr : found->second;
}

Result<WeightId> GraphBuilder::weight(const std::string& name, std::vector<uint64_t> shape) {
  const TensorView* tensor = find(name);
  if (!tensor) return data_loss(fmt::format("a {} model has the tensor '{}'; got {} tensors without it", graph_.family, name, tensors_.size()));
  if (tensor->shape != shape) {
    return data_loss(fmt::format("'{}' is [{}] by the config; got {}", name, fmt::join(shape, ", "), to_string(*tensor)));
  }
  if (!is_weight_type(tensor->dtype)) {
    return unimplemented(fmt::format("weights are F32, F16, BF16 or GGUF blocks; got {} in '{}'", to_string(*tensor), name));
  }
  if (const auto used = used_.find(name); used != used_.end()) return used->second;
  const WeightId id{static_cast<uint32_t>(graph_.weights.size())};
  graph_.weights.push_back({.tensor = name, .shape = std::move(shape)});
  used_.emplace(name, id);
  return id;
}

Result<std::optional<WeightId>> GraphBuilder::weight_if_there(const std::string& name, std::vector<uint64_t> shape) {
  if (!find(name)) return std::optional<WeightId>{};
  ACC_TRY(const WeightId id, weight(name, std::move(shape)));
  return std::optional(id);
}

void GraphBuilder::ignore(const std::string& tensor, const std::string& reason) {
  if (find(tensor)) ignored_.emplace(tensor, reason);
}

ValueId GraphBuilder::new_value(std::string name, uint64_t width) {
  CHECK(width <= UINT32_MAX, "check_config bounds every width");
  graph_.values.push_back({.name = std::move(name), .width = static_cast<uint32_t>(width)});
  return ValueId{static_cast<uint32_t>(graph_.values.size() - 1)};
}

Result<Graph> GraphBuilder::finish(GraphNotes* notes) {
  std::vector<std::string> unknown;
  for (const auto& [name, tensor] : tensors_) {
    if (!used_.contains(name) && !ignored_.contains(name)) unknown.push_back(name);
  }
  if (!unknown.empty()) {
    return unimplemented(fmt::format("every tensor of a {} model takes part in it; got {} not understood: {}; try a model of "
                                     "the plain architecture", graph_.family, unknown.size(), listed(unknown)));
  }
  if (notes) {
    for (const auto& [name, reason] : ignored_) notes->ignored.push_back(name + ": " + reason);
    std::sort(notes->ignored.begin(), notes->ignored.end());
  }
  graph_.context = model_.config.context;
  ACC_TRY_VOID(check_graph(graph_, model_));
  return std::move(graph_);
}

Result<void> check_size(std::string_view what, uint64_t value, uint64_t most) {
  if (value >= 1 && value <= most) return {};
  return data_loss(fmt::format("the model's {} is 1 to {}; got {}", what, most,
                               value == 0 ? "none (the file does not say)" : fmt::format("{}", value)));
}

Result<void> check_config(const ModelConfig& config) {
  ACC_TRY_VOID(check_size("layer count", config.layers, kModelLayersMax));
  ACC_TRY_VOID(check_size("width", config.width, kModelWidthMax));
  ACC_TRY_VOID(check_size("feed-forward width", config.ff_width, kModelWidthMax));
  ACC_TRY_VOID(check_size("head count", config.heads, kModelHeadsMax));
  ACC_TRY_VOID(check_size("kv head count", config.kv_heads, kModelHeadsMax));
  ACC_TRY_VOID(check_size("head width", config.head_width, kModelWidthMax));
  ACC_TRY_VOID(check_size("heads times head width", uint64_t{config.heads} * config.head_width, kModelWidthMax));
  ACC_TRY_VOID(check_size("vocabulary", config.vocabulary, kModelVocabularyMax));
  ACC_TRY_VOID(check_size("context", config.context, kModelContextMax));
  if (config.heads % config.kv_heads != 0) {
    return data_loss(fmt::format("heads are a multiple of kv heads; got {} and {}", config.heads, config.kv_heads));
  }
  if (config.rope_width > config.head_width || config.rope_width % 2 != 0) {
    return data_loss(fmt::format("the rotated width is even and within the head's {}; got {}", config.head_width, config.rope_width));
  }
  if (!(config.norm_epsilon > 0 && config.norm_epsilon < 1)) {
    return data_loss(fmt::format("the norm's epsilon is above 0 and below 1; got {}", config.norm_epsilon));
  }
  const auto in_range = [](double value) { return value >= 0 && value < 1e6; };
  if (!in_range(config.attention_scale) || !in_range(config.attention_softcap) || !in_range(config.final_softcap)) {
    return data_loss(fmt::format("attention scale and softcaps are 0 to 1e6; got {}, {} and {}", config.attention_scale,
                                 config.attention_softcap, config.final_softcap));
  }
  return {};
}

Result<void> check_other_fields(const ModelConfig& config, const std::vector<std::string_view>& harmless) {
  std::vector<std::string> unknown;
  for (const auto& [name, value] : config.other) {
    const bool metadata = name.starts_with('_') || name.starts_with("unsloth_") ||
                          std::find(std::begin(kMetadataFields), std::end(kMetadataFields), name) != std::end(kMetadataFields);
    if (metadata || is_neutral(value) || std::find(harmless.begin(), harmless.end(), name) != harmless.end()) continue;
    unknown.push_back(shown(name) + " = " + shown(value));
  }
  if (unknown.empty()) return {};
  return unimplemented(fmt::format("every field of a {} config is understood; got {} that may change what is computed: {}; "
                                   "try a model of the plain architecture", config.architecture, unknown.size(), listed(unknown)));
}

Result<void> check_architectures(const ModelConfig& config, const std::vector<std::string_view>& served) {
  const auto said = config.other.find("architectures");
  if (said == config.other.end() || std::find(served.begin(), served.end(), said->second) != served.end()) return {};
  return unimplemented(fmt::format("a {} model is one of {}; got '{}'", config.architecture, fmt::join(served, ", "), shown(said->second)));
}

Result<void> check_pooling_absent(const Model& model) {
  if (model.pooling == Pooling::kNone && !model.normalize_embeddings) return {};
  return unimplemented(fmt::format("{} models make tokens; got one that pools its states into an embedding", model.config.architecture));
}

Result<WeightId> tied_or_own_head(GraphBuilder& builder, const ModelConfig& config, WeightId table, const std::string& own) {
  const bool there = builder.find(own) != nullptr;
  if (config.tied_embeddings.value_or(!there)) {
    builder.ignore(own, "the config ties the output head to the embedding table");
    return table;
  }
  return builder.weight(own, {config.vocabulary, config.width});
}

Result<void> check_rotated(const ModelConfig& config) {
  const uint32_t rotated = config.rope_width == 0 ? config.head_width : config.rope_width;
  if (rotated % 2 == 0) return {};
  return data_loss(fmt::format("rope turns pairs of a head's values; got a rotated width of {}", rotated));
}

Result<void> check_rope(const RopeConfig& rope) {
  if (!(rope.base >= 1 && rope.base <= 1e12)) return data_loss(fmt::format("the rope base is 1 to 1e12; got {}", rope.base));
  if (rope.scaling == "none") return {};
  if (rope.scaling != "linear" && rope.scaling != "llama3") {
    return unimplemented(fmt::format("rope scaling is none, linear or llama3; got '{}'", shown(rope.scaling)));
  }
  if (!(rope.factor >= 1 && rope.factor <= 1e6)) return data_loss(fmt::format("the rope factor is 1 to 1e6; got {}", rope.factor));
  if (rope.scaling == "linear") return {};
  if (rope.original_context == 0 || !(rope.low_frequency_factor > 0) || !(rope.high_frequency_factor > rope.low_frequency_factor)) {
    return data_loss(fmt::format("llama3 rope scaling has an original context and 0 < low < high frequency factor; got {}, {}, {}",
                                 rope.original_context, rope.low_frequency_factor, rope.high_frequency_factor));
  }
  return {};
}

}  // namespace accelerate
