#include "accelerate/formats/gguf_model.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>

#include <fmt/format.h>

#include "accelerate/formats/gguf.h"
#include "accelerate/formats/gguf_tokenizer.h"
#include "accelerate/formats/quote.h"

namespace accelerate {
namespace {

/// The architecture whose GGUF query and key rows pair (2i, 2i + 1): its converter permutes Hugging Face's halves. Others
/// that do so are not families of ours yet.
constexpr std::string_view kInterleaved = "llama";

/// Gemma 3's values that GGUF files do not carry, by the architecture's definition (Gemma 3 report, arXiv 2503.19786,
/// section 2: five local layers for each global one, local base 10 000 beside 1 000 000; config.json of the released
/// models: sliding_window_pattern 6, rope_local_base_freq 10000, 27B alone query_pre_attn_scalar = width / heads).
constexpr uint32_t kGemma3Pattern = 6;
constexpr double kGemma3LocalBase = 10000.0;
constexpr uint32_t kGemma3Layers27B = 62;

Error bad(ErrorCode code, std::string text) { return Error{code, "[gguf] " + std::move(text)}; }

/// Reads architecture-prefixed keys and remembers which, so that the rest can be handed on by name.
class ConfigReader {
 public:
  ConfigReader(const GgufFile& gguf, std::string architecture) : gguf_(gguf), prefix_(std::move(architecture) + ".") {}

  std::string key(std::string_view suffix) {
    std::string full = prefix_ + std::string(suffix);
    used_.insert(full);
    return full;
  }
  Result<void> integer(std::string_view suffix, uint32_t& out) {
    ACC_TRY(const std::optional<uint64_t> value, gguf_.integer(key(suffix)));
    if (value && *value > UINT32_MAX) return bad(ErrorCode::kDataLoss, fmt::format("{} fits 32 bits; got {}", key(suffix), *value));
    if (value) out = static_cast<uint32_t>(*value);
    return {};
  }
  Result<void> number(std::string_view suffix, double& out) {
    ACC_TRY(const std::optional<double> value, gguf_.number(key(suffix)));
    if (value && !std::isfinite(*value)) return bad(ErrorCode::kDataLoss, fmt::format("{} is finite; got {}", key(suffix), *value));
    if (value) out = *value;
    return {};
  }
  Result<std::string> text(std::string_view suffix) {
    ACC_TRY(const std::optional<std::string_view> value, gguf_.text(key(suffix)));
    return std::string(value.value_or(""));
  }
  Result<void> uniform(std::string_view suffix, uint32_t& out);
  void hand_on(ModelConfig& config) const {
    for (auto it = gguf_.metadata.lower_bound(prefix_); it != gguf_.metadata.end() && it->first.starts_with(prefix_); ++it) {
      if (!used_.contains(it->first)) config.other.emplace(it->first, to_string(it->second));
    }
  }
  void give_back(std::string_view suffix) { used_.erase(prefix_ + std::string(suffix)); }
  const GgufFile& gguf() const { return gguf_; }

 private:
  const GgufFile& gguf_;
  std::string prefix_;
  std::set<std::string> used_;
};

/// A number, or a per-layer list whose entries are all the same.
Result<void> ConfigReader::uniform(std::string_view suffix, uint32_t& out) {
  const std::string full = key(suffix);
  const GgufValue* value = gguf_.find(full);
  const GgufArray* array = value ? std::get_if<GgufArray>(value) : nullptr;
  if (!array) return integer(suffix, out);
  const std::optional<double> first = array->number(0);
  if (!first || !(*first >= 0 && *first <= UINT32_MAX)) {
    return bad(ErrorCode::kDataLoss, fmt::format("{} holds whole numbers; got {}", full, to_string(*value)));
  }
  for (uint64_t i = 1; i < array->count; ++i) {
    if (array->number(i) != first) {
      return bad(ErrorCode::kUnimplemented, fmt::format("{} is the same for every layer; got {}; try a model whose layers are "
                                                        "all alike", full, to_string(*value)));
    }
  }
  out = static_cast<uint32_t>(*first);
  return {};
}

Result<void> read_rope(ConfigReader& reader, ModelConfig& config) {
  ACC_TRY_VOID(reader.number("rope.freq_base", config.rope.base));
  ACC_TRY_VOID(reader.integer("rope.dimension_count", config.rope_width));
  ACC_TRY(const std::string scaling, reader.text("rope.scaling.type"));
  if (!scaling.empty()) config.rope.scaling = scaling;
  ACC_TRY_VOID(reader.number("rope.scaling.factor", config.rope.factor));
  ACC_TRY_VOID(reader.integer("rope.scaling.original_context_length", config.rope.original_context));
  // Pre-2023 files say linear scaling by this key alone.
  double linear = 0;
  ACC_TRY_VOID(reader.number("rope.scale_linear", linear));
  if (linear != 0 && linear != 1 && scaling.empty()) {
    config.rope.scaling = "linear";
    config.rope.factor = linear;
  }
  double local_base = 0;
  ACC_TRY_VOID(reader.number("rope.freq_base_swa", local_base));
  if (local_base != 0) config.rope_local = RopeConfig{.base = local_base};
  return {};
}

/// sliding_window_pattern is a number, or one bool a layer (true = local).
Result<void> read_window(ConfigReader& reader, ModelConfig& config) {
  ACC_TRY_VOID(reader.integer("attention.sliding_window", config.sliding_window));
  const std::string suffix = "attention.sliding_window_pattern";
  const GgufValue* value = reader.gguf().find(reader.key(suffix));
  const GgufArray* array = value ? std::get_if<GgufArray>(value) : nullptr;
  if (!array) return reader.integer(suffix, config.sliding_window_pattern);
  uint64_t first_global = 0;
  while (first_global < array->count && array->number(first_global) != 0.0) ++first_global;
  const uint64_t pattern = first_global + 1;
  for (uint64_t i = 0; i < array->count; ++i) {
    const std::optional<double> local = array->number(i);
    if (!local || (*local != 0.0) != ((i + 1) % pattern != 0)) {
      return bad(ErrorCode::kUnimplemented, fmt::format("every n-th layer is global; got {} {}", suffix, to_string(*value)));
    }
  }
  if (pattern > UINT32_MAX) return bad(ErrorCode::kDataLoss, suffix + " has one entry a layer; got far more");
  config.sliding_window_pattern = static_cast<uint32_t>(pattern);
  return {};
}

Result<void> read_attention(ConfigReader& reader, ModelConfig& config) {
  ACC_TRY_VOID(reader.uniform("attention.head_count", config.heads));
  config.kv_heads = config.heads;
  ACC_TRY_VOID(reader.uniform("attention.head_count_kv", config.kv_heads));
  uint32_t value_width = 0;
  ACC_TRY_VOID(reader.integer("attention.key_length", config.head_width));
  ACC_TRY_VOID(reader.integer("attention.value_length", value_width));
  if (config.head_width == 0 && config.heads != 0) config.head_width = config.width / config.heads;
  if (value_width != 0 && value_width != config.head_width) reader.give_back("attention.value_length");  // a family must refuse it
  ACC_TRY_VOID(reader.number("attention.scale", config.attention_scale));
  ACC_TRY_VOID(reader.number("attn_logit_softcapping", config.attention_softcap));
  ACC_TRY_VOID(reader.number("final_logit_softcapping", config.final_softcap));
  ACC_TRY_VOID(reader.number("attention.layer_norm_epsilon", config.norm_epsilon));
  return reader.number("attention.layer_norm_rms_epsilon", config.norm_epsilon);
}

void complete_gemma3(ModelConfig& config) {
  if (config.sliding_window != 0 && config.sliding_window_pattern == 0) config.sliding_window_pattern = kGemma3Pattern;
  if (!config.rope_local) config.rope_local = RopeConfig{.base = kGemma3LocalBase};
  if (config.attention_scale == 0 && config.layers == kGemma3Layers27B && config.heads != 0) {
    config.attention_scale = 1.0 / std::sqrt(static_cast<double>(config.width) / config.heads);
  }
}

/// Key "pooling_type": the numbers of the format's PoolingType.
Result<void> read_pooling(ConfigReader& reader, Model& model) {
  uint32_t pooling = 0;
  ACC_TRY_VOID(reader.integer("pooling_type", pooling));
  switch (pooling) {
    case 0: model.pooling = Pooling::kNone; break;
    case 1: model.pooling = Pooling::kMean; break;
    case 2: model.pooling = Pooling::kCls; break;
    case 3: model.pooling = Pooling::kLast; break;
    default: reader.give_back("pooling_type");  // ranking and later kinds: a family must refuse it by name
  }
  return {};
}

Result<void> read_config(const GgufFile& gguf, Model& model) {
  ModelConfig& config = model.config;
  ACC_TRY(const std::optional<std::string_view> architecture, gguf.text("general.architecture"));
  if (!architecture || !is_printable_name(*architecture)) {
    return bad(ErrorCode::kDataLoss, fmt::format("general.architecture names the model's family; got {}",
                                                 architecture ? in_quotes(*architecture) : "no such key"));
  }
  ACC_TRY(const std::optional<std::string_view> name, gguf.text("general.name"));
  config.architecture = *architecture;
  config.name = name.value_or("");
  ConfigReader reader(gguf, config.architecture);
  ACC_TRY_VOID(reader.integer("block_count", config.layers));
  ACC_TRY_VOID(reader.integer("embedding_length", config.width));
  ACC_TRY_VOID(reader.uniform("feed_forward_length", config.ff_width));
  ACC_TRY_VOID(reader.integer("context_length", config.context));
  ACC_TRY_VOID(reader.integer("vocab_size", config.vocabulary));
  ACC_TRY_VOID(read_attention(reader, config));
  ACC_TRY_VOID(read_rope(reader, config));
  ACC_TRY_VOID(read_window(reader, config));
  ACC_TRY_VOID(read_pooling(reader, model));
  ACC_TRY(const std::optional<uint64_t> token_types, gguf.integer("tokenizer.ggml.token_type_count"));
  config.token_types = static_cast<uint32_t>(std::min<uint64_t>(token_types.value_or(0), UINT32_MAX));
  if (config.architecture == kInterleaved) config.rope_style = RopeStyle::kInterleaved;
  if (config.architecture == "gemma3") complete_gemma3(config);
  reader.hand_on(config);
  return {};
}

Result<void> read_generation(const GgufFile& gguf, GenerationDefaults& generation) {
  const auto read = [&](const char* key, std::optional<float>& out) -> Result<void> {
    ACC_TRY(const std::optional<double> value, gguf.number(key));
    if (value) out = static_cast<float>(*value);
    return {};
  };
  ACC_TRY_VOID(read("general.sampling.temp", generation.temperature));
  ACC_TRY_VOID(read("general.sampling.top_p", generation.top_p));
  ACC_TRY_VOID(read("general.sampling.min_p", generation.min_p));
  ACC_TRY_VOID(read("general.sampling.penalty_repeat", generation.repetition_penalty));
  ACC_TRY(const std::optional<double> top_k, gguf.number("general.sampling.top_k"));
  if (top_k && *top_k >= 0 && *top_k <= UINT32_MAX) generation.top_k = static_cast<uint32_t>(*top_k);
  return {};
}

/// A file that is one of several holds a part of the tensors only; and only models have weights to run.
Result<void> check_whole(const GgufFile& gguf) {
  ACC_TRY(const std::optional<uint64_t> splits, gguf.integer("split.count"));
  if (splits.value_or(1) > 1) {
    return bad(ErrorCode::kUnimplemented, fmt::format("a model is one file; got one of {} splits; try merging them first", *splits));
  }
  ACC_TRY(const std::optional<std::string_view> type, gguf.text("general.type"));
  if (type.value_or("model") != "model") {
    return bad(ErrorCode::kUnimplemented, fmt::format("general.type is 'model'; got {}", in_quotes(*type)));
  }
  return {};
}

Result<void> check_vocabulary(const Model& model) {
  const uint32_t said = model.config.vocabulary;
  if (!model.tokenizer || said == 0) return {};
  const size_t tokens = model.tokenizer->vocabulary->tokens.size();
  if (tokens > said) {
    return bad(ErrorCode::kDataLoss, fmt::format("vocab_size covers the token list; got {} for {} tokens", said, tokens));
  }
  return {};
}

/// Files without vocab_size: the token list's length, or without that the rows of the embedding.
void complete_vocabulary(Model& model) {
  if (model.config.vocabulary != 0) return;
  const TensorView* table = model.find("token_embd.weight");
  const uint64_t rows = table ? table->rows() : 0;
  const uint64_t count = model.tokenizer ? model.tokenizer->vocabulary->tokens.size() : rows;
  model.config.vocabulary = static_cast<uint32_t>(std::min<uint64_t>(count, UINT32_MAX));
}

}  // namespace

Result<Model> model_from_gguf(std::span<const std::byte> bytes) {
  ACC_TRY(GgufFile gguf, parse_gguf(bytes));
  ACC_TRY_VOID(check_whole(gguf));
  Model model;
  model.format = fmt::format("gguf v{}", gguf.version);
  ACC_TRY_VOID(read_config(gguf, model));
  ACC_TRY(model.tokenizer, tokenizer_from_gguf(gguf));
  ACC_TRY_VOID(check_vocabulary(model));
  ACC_TRY(const std::optional<std::string_view> chat_template, gguf.text("tokenizer.chat_template"));
  model.chat_template = chat_template.value_or("");
  ACC_TRY_VOID(read_generation(gguf, model.generation));
  model.tensors = std::move(gguf.tensors);
  complete_vocabulary(model);
  return model;
}

Result<Model> open_gguf(std::shared_ptr<const MappedFile> file) {
  ACC_TRY(Model model, model_from_gguf(file->bytes()));
  model.path = file->path().string();
  model.files.push_back(std::move(file));
  return model;
}

}  // namespace accelerate
