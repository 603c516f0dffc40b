#include "accelerate/formats/gguf_tokenizer.h"

#include <string>

#include <fmt/format.h>

namespace accelerate {
namespace {

using TokenType = TokenizerSpec::TokenType;

Error bad(std::string_view key, std::string_view rule, const std::string& got) {
  return Error{ErrorCode::kDataLoss, fmt::format("[gguf] {} {}; got {}", key, rule, got)};
}

Error too_many(std::string_view key, const GgufArray& array) {
  return bad(key, fmt::format("holds at most {} texts", kGgufTokensMax), fmt::format("{}", array.count));
}

Result<void> read_tokens(const GgufFile& gguf, const GgufArray& tokens, TokenizerSpec::Vocabulary& out) {
  if (tokens.element != GgufType::kString) return bad("tokenizer.ggml.tokens", "is a list of texts", to_string(GgufValue(tokens)));
  if (tokens.count > kGgufTokensMax) return too_many("tokenizer.ggml.tokens", tokens);
  out.tokens.assign(tokens.strings.begin(), tokens.strings.end());
  ACC_TRY(const GgufArray* scores, gguf.array("tokenizer.ggml.scores"));
  if (scores && scores->count > 0) {
    if (scores->element != GgufType::kF32 || scores->count != tokens.count) {
      return bad("tokenizer.ggml.scores", fmt::format("holds {} float32", tokens.count), to_string(GgufValue(*scores)));
    }
    out.scores.reserve(scores->count);
    for (uint64_t i = 0; i < scores->count; ++i) out.scores.push_back(static_cast<float>(*scores->number(i)));
  }
  ACC_TRY(const GgufArray* types, gguf.array("tokenizer.ggml.token_type"));
  if (types && types->count > 0) {
    if (types->count != tokens.count || !types->number(0)) {
      return bad("tokenizer.ggml.token_type", fmt::format("holds {} numbers", tokens.count), to_string(GgufValue(*types)));
    }
    out.types.reserve(types->count);
    for (uint64_t i = 0; i < types->count; ++i) {
      const double type = *types->number(i);
      if (!(type >= 1 && type <= 6)) return bad("tokenizer.ggml.token_type", "holds 1 to 6", fmt::format("{} for token {}", type, i));
      out.types.push_back(static_cast<TokenType>(static_cast<int>(type)));
    }
  }
  ACC_TRY(const GgufArray* merges, gguf.array("tokenizer.ggml.merges"));
  if (merges) {
    if (merges->count > 0 && merges->element != GgufType::kString) {
      return bad("tokenizer.ggml.merges", "is a list of texts", to_string(GgufValue(*merges)));
    }
    if (merges->count > kGgufTokensMax) return too_many("tokenizer.ggml.merges", *merges);
    out.merges.assign(merges->strings.begin(), merges->strings.end());
  }
  return {};
}

Result<std::optional<uint32_t>> read_id(const GgufFile& gguf, const std::string& key, size_t token_count) {
  ACC_TRY(const std::optional<uint64_t> id, gguf.integer(key));
  if (!id) return std::optional<uint32_t>{};
  // Converters write -1 as uint32 for "there is none".
  if (*id == UINT32_MAX) return std::optional<uint32_t>{};
  if (*id >= token_count) return bad(key, fmt::format("is below the {} tokens", token_count), fmt::format("{}", *id));
  return std::optional(static_cast<uint32_t>(*id));
}

Result<void> read_special_ids(const GgufFile& gguf, TokenizerSpec& spec) {
  const size_t count = spec.vocabulary->tokens.size();
  const auto read = [&](const char* name) { return read_id(gguf, std::string("tokenizer.ggml.") + name, count); };
  ACC_TRY(spec.bos, read("bos_token_id"));
  ACC_TRY(spec.eos, read("eos_token_id"));
  ACC_TRY(spec.eot, read("eot_token_id"));
  ACC_TRY(spec.unknown, read("unknown_token_id"));
  ACC_TRY(spec.padding, read("padding_token_id"));
  ACC_TRY(const std::optional<uint32_t> end_of_message, read("eom_token_id"));
  if (end_of_message) spec.end_of_generation.push_back(*end_of_message);
  // BERT files of older converters name [CLS] and [SEP] by these keys only.
  ACC_TRY(const std::optional<uint32_t> cls, read("cls_token_id"));
  ACC_TRY(const std::optional<uint32_t> sep, read("seperator_token_id"));  // sic: the key is misspelt in the format
  if (!spec.bos) spec.bos = cls;
  if (!spec.eos) spec.eos = sep;
  ACC_TRY(spec.add_bos, gguf.boolean("tokenizer.ggml.add_bos_token"));
  ACC_TRY(spec.add_eos, gguf.boolean("tokenizer.ggml.add_eos_token"));
  return {};
}

}  // namespace

Result<std::optional<TokenizerSpec>> tokenizer_from_gguf(const GgufFile& gguf) {
  ACC_TRY(const GgufArray* tokens, gguf.array("tokenizer.ggml.tokens"));
  if (!tokens || tokens->count == 0) return std::optional<TokenizerSpec>{};
  TokenizerSpec spec;
  spec.vocabulary = TokenizerSpec::Vocabulary();  // emplace() does not compile with clang for a nested class with defaults
  ACC_TRY(const std::optional<std::string_view> model, gguf.text("tokenizer.ggml.model"));
  ACC_TRY(const std::optional<std::string_view> pre, gguf.text("tokenizer.ggml.pre"));
  if (!model) return bad("tokenizer.ggml.model", "says how tokens are made", "a token list without it");
  spec.vocabulary->model = *model;
  spec.vocabulary->pre = pre.value_or("");
  ACC_TRY_VOID(read_tokens(gguf, *tokens, *spec.vocabulary));
  ACC_TRY_VOID(read_special_ids(gguf, spec));
  ACC_TRY(const std::optional<bool> prefix, gguf.boolean("tokenizer.ggml.add_space_prefix"));
  spec.vocabulary->add_space_prefix = prefix.value_or(true);
  return std::optional(std::move(spec));
}

}  // namespace accelerate
