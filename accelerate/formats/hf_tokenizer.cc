#include "accelerate/formats/hf_tokenizer.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "accelerate/base/file.h"
#include "accelerate/base/limits.h"
#include "accelerate/base/log.h"
#include "accelerate/formats/hf_files.h"
#include "accelerate/formats/json_fields.h"
#include "accelerate/formats/quote.h"
#include "accelerate/formats/token_ids.h"

namespace accelerate {
namespace {

using TokenType = TokenizerSpec::TokenType;

/// "bos_token": "<s>" or {"content": "<s>", ...}. Empty when it is not there.
std::string special_token(const Json& json, const char* key) {
  if (!json.is_object()) return {};
  const auto found = json.find(key);
  if (found == json.end()) return {};
  if (found->is_string()) return found->get<std::string>();
  if (found->is_object() && found->contains("content") && (*found)["content"].is_string()) return (*found)["content"].get<std::string>();
  return {};
}

/// The text of the first of `keys` that one of the files names.
std::string first_token(const Json& config, const Json& map, std::initializer_list<const char*> keys) {
  for (const char* key : keys) {
    for (const Json* json : {&config, &map}) {
      if (std::string token = special_token(*json, key); !token.empty()) return token;
    }
  }
  return {};
}

Result<void> read_special_ids(const Json& config, const Json& map, TokenizerSpec& spec) {
  // BERT's sequence begins with [CLS] and ends with [SEP].
  const std::string bos = first_token(config, map, {"bos_token", "cls_token"}), eos = first_token(config, map, {"eos_token", "sep_token"});
  const std::string unknown = first_token(config, map, {"unk_token"}), padding = first_token(config, map, {"pad_token"});
  std::set<std::string> wanted{bos, eos, unknown, padding};
  wanted.erase("");
  ACC_TRY(const auto ids, find_token_ids(spec.tokenizer_json, wanted));
  const auto id_of = [&](const std::string& token) -> std::optional<uint32_t> {
    const auto found = ids.find(token);
    return found == ids.end() ? std::nullopt : std::optional(found->second);
  };
  spec.bos = id_of(bos);
  spec.eos = id_of(eos);
  spec.unknown = id_of(unknown);
  spec.padding = id_of(padding);
  return {};
}

/// A text, or a list of {"name", "template"}.
Result<std::string> template_in(const Json& config) {
  if (!config.is_object()) return std::string();
  const auto found = config.find("chat_template");
  if (found == config.end() || found->is_null()) return std::string();
  if (found->is_string()) return found->get<std::string>();
  if (found->is_array()) {
    for (const Json& entry : *found) {
      if (entry.is_object() && special_token(entry, "name") == "default") return special_token(entry, "template");
    }
    return std::string();
  }
  return Error{ErrorCode::kDataLoss, "[hugging face] chat_template in tokenizer_config.json is a text or a list; got " + in_quotes(printed(*found))};
}

}  // namespace

TokenizerSpec wordpiece_spec(std::string_view vocab_txt) {
  constexpr std::string_view kWordMark = "\u2581";
  TokenizerSpec spec;
  spec.vocabulary = TokenizerSpec::Vocabulary();  // emplace() does not compile with clang for a nested class with defaults
  TokenizerSpec::Vocabulary& vocabulary = *spec.vocabulary;
  vocabulary.model = "bert";
  while (!vocab_txt.empty()) {
    const size_t end = std::min(vocab_txt.find('\n'), vocab_txt.size());
    std::string_view token = vocab_txt.substr(0, end);
    vocab_txt.remove_prefix(std::min(end + 1, vocab_txt.size()));
    if (token.ends_with('\r')) token.remove_suffix(1);
    const auto id = static_cast<uint32_t>(vocabulary.tokens.size());
    const bool control = token.size() > 2 && token.starts_with('[') && token.ends_with(']');
    if (control) vocabulary.tokens.emplace_back(token);
    else if (token.starts_with("##") && token.size() > 2) vocabulary.tokens.emplace_back(token.substr(2));
    else vocabulary.tokens.push_back(std::string(kWordMark) + std::string(token));
    vocabulary.types.push_back(token == "[UNK]" ? TokenType::kUnknown : control ? TokenType::kControl : TokenType::kNormal);
    if (token == "[CLS]") spec.bos = id;
    if (token == "[SEP]") spec.eos = id;
    if (token == "[UNK]") spec.unknown = id;
    if (token == "[PAD]") spec.padding = id;
  }
  spec.add_bos = spec.add_eos = true;
  return spec;
}

Result<HfTokenizer> read_hf_tokenizer(const std::filesystem::path& directory) {
  HfTokenizer out;
  ACC_TRY(const Json config, read_json_if_there(directory / "tokenizer_config.json"));
  ACC_TRY(const Json map, read_json_if_there(directory / "special_tokens_map.json"));
  ACC_TRY(std::optional<std::string> tokenizer_json, read_text_if_there(directory / "tokenizer.json", limits::kTokenizerFileBytesMax));
  if (tokenizer_json) {
    out.spec.emplace().tokenizer_json = std::move(*tokenizer_json);
    ACC_TRY_VOID(read_special_ids(config, map, *out.spec));
  } else {
    ACC_TRY(const std::optional<std::string> vocabulary, read_text_if_there(directory / "vocab.txt", limits::kTokenizerFileBytesMax));
    const bool keeps_case = config.is_object() && config.contains("do_lower_case") && config["do_lower_case"] == false;
    if (vocabulary && keeps_case) {
      log_warning(fmt::format("[hugging face] vocab.txt is read as lower-case WordPiece; got do_lower_case false in {}, so the model has no "
                              "tokenizer; try adding its tokenizer.json", directory.string()));
    } else if (vocabulary) {
      out.spec = wordpiece_spec(*vocabulary);
    }
  }
  ACC_TRY(std::optional<std::string> file, read_text_if_there(directory / "chat_template.jinja", limits::kConfigFileBytesMax));
  if (file) {
    out.chat_template = std::move(*file);
  } else {
    ACC_TRY(out.chat_template, template_in(config));
  }
  return out;
}

}  // namespace accelerate
