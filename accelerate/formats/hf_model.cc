#include "accelerate/formats/hf_model.h"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "accelerate/base/limits.h"
#include "accelerate/formats/hf_config.h"
#include "accelerate/formats/hf_files.h"
#include "accelerate/formats/hf_heads.h"
#include "accelerate/formats/hf_tokenizer.h"
#include "accelerate/formats/json_fields.h"
#include "accelerate/formats/quote.h"
#include "accelerate/formats/safetensors.h"

namespace accelerate {
namespace {

namespace fs = std::filesystem;

constexpr size_t kModulesMax = 16;  // sentence-transformers models have 2 to 4

Error bad(ErrorCode code, std::string text) { return Error{code, "[hugging face] " + std::move(text)}; }

Result<void> add_weights(const fs::path& path, Model& model, std::set<std::string>& names) {
  ACC_TRY(std::shared_ptr<const MappedFile> file, MappedFile::open(path));
  Result<SafetensorsFile> parsed = parse_safetensors(file->bytes());
  if (!parsed) return Error{parsed.error().code, parsed.error().message + " (in " + path.string() + ")"};
  for (TensorView& tensor : parsed->tensors) {
    if (!names.insert(tensor.name).second) {
      return bad(ErrorCode::kDataLoss, fmt::format("a tensor is in one shard; got {} twice, again in {}", in_quotes(tensor.name), path.string()));
    }
    model.tensors.push_back(std::move(tensor));
  }
  model.files.push_back(std::move(file));
  return {};
}

Result<void> add_shards(const fs::path& directory, const std::string& index_text, Model& model) {
  ACC_TRY(const auto index, parse_safetensors_index(index_text));
  std::set<std::string> shards, names;
  for (const auto& [tensor, file] : index) shards.insert(file);
  for (const std::string& shard : shards) ACC_TRY_VOID(add_weights(directory / shard, model, names));
  for (const auto& [tensor, file] : index) {
    if (!names.contains(tensor)) {
      return bad(ErrorCode::kDataLoss, fmt::format("the index's tensors are in its shards; got {} in none; try fetching {} again",
                                                   in_quotes(tensor), file));
    }
  }
  return {};
}

/// model.safetensors, or the only .safetensors there is.
Result<fs::path> single_file(const fs::path& directory) {
  std::error_code error;
  if (fs::exists(directory / "model.safetensors", error)) return directory / "model.safetensors";
  std::vector<std::string> found;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    if (it->path().extension() == ".safetensors") found.push_back(it->path().filename().string());
  }
  std::sort(found.begin(), found.end());
  if (found.size() == 1) return directory / found.front();
  return bad(found.empty() ? ErrorCode::kNotFound : ErrorCode::kInvalidArgument,
             fmt::format("a model directory has model.safetensors, one *.safetensors, or model.safetensors.index.json; got {} in {}; "
                         "try {}", found.empty() ? "none" : fmt::format("{}", fmt::join(found, ", ")), directory.string(),
                         found.empty() ? "fetching the weights as safetensors" : "naming one of these files"));
}

Result<void> read_weights(const fs::path& directory, const fs::path& weights, Model& model) {
  std::set<std::string> names;
  if (!weights.empty()) return add_weights(weights, model, names);
  ACC_TRY(const std::optional<std::string> index, read_text_if_there(directory / "model.safetensors.index.json", kSafetensorsHeaderBytesMax));
  if (index) return add_shards(directory, *index, model);
  ACC_TRY(const fs::path file, single_file(directory));
  return add_weights(file, model, names);
}

/// An id or a list of ids.
std::vector<uint32_t> ids_of(const Json* value) {
  std::vector<uint32_t> ids;
  const auto add = [&](const Json& id) {
    if (id.is_number_unsigned() && id.get<uint64_t>() <= UINT32_MAX) ids.push_back(id.get<uint32_t>());
  };
  if (!value) return ids;
  if (value->is_array()) std::for_each(value->begin(), value->end(), add);
  else add(*value);
  return ids;
}

void add_special_ids(JsonFields& fields, uint32_t vocabulary, TokenizerSpec& spec) {
  const auto take = [&](const char* key, std::optional<uint32_t>& id) {
    const std::vector<uint32_t> ids = ids_of(fields.find(key));
    if (!id && !ids.empty() && ids.front() < vocabulary) id = ids.front();
    return ids;
  };
  take("bos_token_id", spec.bos);
  take("pad_token_id", spec.padding);
  for (const uint32_t id : take("eos_token_id", spec.eos)) {
    const bool known = id == spec.eos || std::find(spec.end_of_generation.begin(), spec.end_of_generation.end(), id) != spec.end_of_generation.end();
    if (!known && id < vocabulary) spec.end_of_generation.push_back(id);
  }
}

/// generation_config.json first: it is what generation goes by; config.json has the same ids in older models.
Result<void> read_generation(const fs::path& directory, const Json& config, Model& model) {
  ACC_TRY(const Json json, read_json_if_there(directory / "generation_config.json"));
  JsonFields fields(json, "generation_config.json"), config_fields(config, "config.json");
  if (model.tokenizer) {
    add_special_ids(fields, model.config.vocabulary, *model.tokenizer);
    add_special_ids(config_fields, model.config.vocabulary, *model.tokenizer);
  }
  GenerationDefaults& out = model.generation;
  ACC_TRY_VOID(fields.number("temperature", out.temperature));
  ACC_TRY_VOID(fields.number("top_p", out.top_p));
  ACC_TRY_VOID(fields.number("min_p", out.min_p));
  ACC_TRY_VOID(fields.number("repetition_penalty", out.repetition_penalty));
  uint32_t top_k = UINT32_MAX;
  ACC_TRY_VOID(fields.integer("top_k", top_k));
  if (top_k != UINT32_MAX) out.top_k = top_k;
  return {};
}

Result<void> read_pooling(const fs::path& path, Model& model) {
  ACC_TRY(const Json json, read_json_if_there(path));
  if (!json.is_object()) return bad(ErrorCode::kNotFound, fmt::format("a pooling module has its config.json; got none at {}", path.string()));
  std::vector<std::string> modes;
  for (const auto& [key, value] : json.items()) {
    if (key.starts_with("pooling_mode_") && value == true) modes.push_back(key);
  }
  if (modes.size() == 1 && modes[0] == "pooling_mode_mean_tokens") model.pooling = Pooling::kMean;
  else if (modes.size() == 1 && modes[0] == "pooling_mode_cls_token") model.pooling = Pooling::kCls;
  else if (modes.size() == 1 && modes[0] == "pooling_mode_lasttoken") model.pooling = Pooling::kLast;
  else model.config.other.emplace("pooling", modes.empty() ? "of an unknown mode" : fmt::format("{}", fmt::join(modes, " and ")));
  return {};
}

Result<void> read_modules(const fs::path& directory, Model& model) {
  ACC_TRY(const Json modules, read_json_if_there(directory / "modules.json"));
  if (modules.is_null()) return {};
  if (!modules.is_array() || modules.size() > kModulesMax) return bad(ErrorCode::kDataLoss, fmt::format("modules.json is a list of at most {}", kModulesMax));
  for (const Json& module : modules) {
    JsonFields fields(module, "modules.json");
    std::string type, path;
    ACC_TRY_VOID(fields.text("type", type));
    ACC_TRY_VOID(fields.text("path", path));
    if (path.find("..") != std::string::npos || path.starts_with('/')) {
      return bad(ErrorCode::kDataLoss, "modules.json names folders of the model; got " + in_quotes(path));
    }
    const std::string kind = type.substr(type.rfind('.') + 1);
    if (kind == "Pooling") ACC_TRY_VOID(read_pooling(directory / path / "config.json", model));
    else if (kind == "Normalize") model.normalize_embeddings = true;
    else if (kind != "Transformer" || !path.empty()) model.config.other.emplace("modules.json: " + in_quotes(type), in_quotes(path));
  }
  ACC_TRY(const Json limits, read_json_if_there(directory / "sentence_bert_config.json"));
  JsonFields fields(limits, "sentence_bert_config.json");
  ACC_TRY_VOID(fields.integer("max_seq_length", model.embedding_tokens_max));
  model.embedding_tokens_max = std::min(model.embedding_tokens_max, model.config.context);  // there are no more positions
  std::optional<bool> lower_case;
  ACC_TRY_VOID(fields.boolean("do_lower_case", lower_case));
  if (lower_case == true) model.config.other.emplace("sentence_bert_config.json: do_lower_case", "true");
  return {};
}

}  // namespace

Result<Model> open_hugging_face(const fs::path& directory, const fs::path& weights) {
  ACC_TRY(const std::optional<std::string> config_text, read_text_if_there(directory / "config.json", limits::kConfigFileBytesMax));
  if (!config_text) {
    return bad(ErrorCode::kNotFound, fmt::format("a model's config.json lies beside its safetensors; got none in {}; try fetching it too",
                                                 directory.string()));
  }
  Model model;
  model.path = (weights.empty() ? directory : weights).string();
  model.format = "safetensors";
  ACC_TRY(model.config, parse_hf_config(*config_text));
  ACC_TRY_VOID(read_weights(directory, weights, model));
  ACC_TRY(HfTokenizer tokenizer, read_hf_tokenizer(directory));
  model.tokenizer = std::move(tokenizer.spec);
  model.chat_template = std::move(tokenizer.chat_template);
  ACC_TRY(const Json config, parse_json(*config_text, {.where = "hugging face", .bytes_max = limits::kConfigFileBytesMax}));
  ACC_TRY_VOID(read_generation(directory, config, model));
  ACC_TRY_VOID(read_hf_heads(config, model));
  ACC_TRY_VOID(read_modules(directory, model));
  return model;
}

}  // namespace accelerate
