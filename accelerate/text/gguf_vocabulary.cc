#include "accelerate/text/gguf_vocabulary.h"

#include <array>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "accelerate/text/limits.h"
#include "accelerate/text/utf8.h"

namespace accelerate {
namespace {

using Vocabulary = TokenizerSpec::Vocabulary;
using TokenType = TokenizerSpec::TokenType;

constexpr std::string_view kSpaceMark = "\u2581";

// Oniguruma patterns. \p{N} alone cuts digits one by one; {1,3} in groups of three.
constexpr std::string_view kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kO200k =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kDigit = R"(\p{N})";

/// How text is cut before byte-level BPE: each pattern in turn isolates its matches.
struct PreTokenizer {
  std::string_view name;
  std::array<std::string_view, 4> patterns;
  uint32_t traits = 0;
};
constexpr uint32_t kNfc = 1;         // normalize to NFC first
constexpr uint32_t kWholeWords = 2;  // a piece that is a token is taken whole, without merging
constexpr uint32_t kAddBos = 4;      // when the file does not say

// "default" is what files without a name mean: the first general pattern of the format.
constexpr PreTokenizer kPreTokenizers[] = {
    {"default", {R"([\p{P}\$\+<=>\^~\|]+)", kGpt2, R"(\p{N}+)", R"([0-9][0-9][0-9])"}},
    {"gpt-2", {kGpt2}},
    {"phi-2", {kGpt2}},
    {"mpt", {kGpt2}},
    {"olmo", {kGpt2}},
    {"llama-bpe", {kLlama3}, kWholeWords | kAddBos},
    {"llama3", {kLlama3}, kWholeWords | kAddBos},
    {"llama-v3", {kLlama3}, kWholeWords | kAddBos},
    {"dbrx", {kLlama3}},
    {"smaug-bpe", {kLlama3}, kWholeWords},
    {"qwen2", {kQwen2}, kNfc},
    {"deepseek-r1-qwen", {kQwen2}, kNfc},
    {"stablelm2", {kQwen2}},
    {"smollm", {kDigit, kGpt2}},
    {"starcoder", {kDigit, kGpt2}},
    {"refact", {kDigit, kGpt2}},
    {"command-r", {kDigit, kGpt2}},
    {"codeshell", {kDigit, kGpt2}},
    {"gpt-4o", {kO200k}},
};

const PreTokenizer* find_pre_tokenizer(std::string_view name) {
  for (const PreTokenizer& entry : kPreTokenizers) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

/// `text` is UTF-8, so only quotes, backslashes and control characters need an escape.
void append_quoted(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<int>(c));
    } else {
      out += c;
    }
  }
  out += '"';
}

TokenType type_of(const Vocabulary& vocabulary, size_t id) {
  return vocabulary.types.empty() ? TokenType::kNormal : vocabulary.types[id];
}

void append_added_tokens(std::string& out, const Vocabulary& vocabulary) {
  out += R"("added_tokens":[)";
  bool first = true;
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const TokenType type = type_of(vocabulary, id);
    const bool special = type == TokenType::kControl || type == TokenType::kUnknown;
    if ((!special && type != TokenType::kUserDefined) || vocabulary.tokens[id].empty()) continue;
    if (!first) out += ',';
    first = false;
    fmt::format_to(std::back_inserter(out), R"({{"id":{},"content":)", id);
    append_quoted(out, vocabulary.tokens[id]);
    fmt::format_to(std::back_inserter(out),
                   R"(,"single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":{}}})", special);
  }
  out += ']';
}

template <class Spell>
void append_vocabulary(std::string& out, const Vocabulary& vocabulary, Spell spell) {
  out += R"("vocab":{)";
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    if (id != 0) out += ',';
    append_quoted(out, spell(id));
    out += ':';
    fmt::format_to(std::back_inserter(out), "{}", id);
  }
  out += '}';
}

size_t total_bytes(const std::vector<std::string>& texts) {
  size_t total = 0;
  for (const std::string& text : texts) total += text.size();
  return total;
}

Result<std::string> byte_level_json(const Vocabulary& vocabulary) {
  const PreTokenizer* pre = find_pre_tokenizer(vocabulary.pre.empty() ? "default" : vocabulary.pre);
  if (pre == nullptr) {
    return Error{ErrorCode::kUnimplemented,
                 fmt::format("[text] tokenizer.ggml.pre must name a known pre-tokenizer; got '{}'; known: {}",
                             vocabulary.pre, fmt::join(gguf_pre_tokenizers(), ", "))};
  }
  if (vocabulary.merges.empty()) {
    return Error{ErrorCode::kDataLoss, "[text] a byte-level BPE vocabulary needs merges; got none"};
  }
  std::string out;
  out.reserve(total_bytes(vocabulary.tokens) + 12 * vocabulary.tokens.size() + total_bytes(vocabulary.merges) +
              4 * vocabulary.merges.size() + 4096);
  out += R"({"version":"1.0",)";
  append_added_tokens(out, vocabulary);
  out += (pre->traits & kNfc) != 0 ? R"(,"normalizer":{"type":"NFC"})" : "";
  out += R"(,"pre_tokenizer":{"type":"Sequence","pretokenizers":[)";
  for (const std::string_view pattern : pre->patterns) {
    if (pattern.empty()) continue;
    out += R"({"type":"Split","pattern":{"Regex":)";
    append_quoted(out, pattern);
    out += R"(},"behavior":"Isolated","invert":false},)";
  }
  out += R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false}]})";
  out += R"(,"decoder":{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false})";
  fmt::format_to(std::back_inserter(out), R"(,"model":{{"type":"BPE","fuse_unk":false,"ignore_merges":{},)",
                 (pre->traits & kWholeWords) != 0);
  append_vocabulary(out, vocabulary, [&](size_t id) -> std::string_view { return vocabulary.tokens[id]; });
  out += R"(,"merges":[)";
  for (size_t i = 0; i < vocabulary.merges.size(); ++i) {
    if (i != 0) out += ',';
    append_quoted(out, vocabulary.merges[i]);
  }
  out += "]}}";
  return out;
}

/// GGUF writes "word" as "▁word", "##ing" as "ing", and leaves "[CLS]" alone.
std::string word_piece_spelling(std::string_view token) {
  if (token.starts_with(kSpaceMark)) return std::string(token.substr(kSpaceMark.size()));
  if (token.starts_with('[') && token.ends_with(']')) return std::string(token);
  return "##" + std::string(token);
}

Result<std::string> word_piece_json(const Vocabulary& vocabulary) {
  bool has_unknown = false;
  for (const std::string& token : vocabulary.tokens) has_unknown |= token == "[UNK]";
  if (!has_unknown) {
    return Error{ErrorCode::kDataLoss, "[text] a WordPiece vocabulary needs the token [UNK]; got none"};
  }
  std::string out = R"({"version":"1.0",)";
  out += R"("added_tokens":[)";
  bool first = true;
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const std::string& token = vocabulary.tokens[id];
    if (token != "[PAD]" && token != "[UNK]" && token != "[CLS]" && token != "[SEP]" && token != "[MASK]") continue;
    fmt::format_to(std::back_inserter(out),
                   R"({}{{"id":{},"content":"{}","single_word":false,"lstrip":false,"rstrip":false,)"
                   R"("normalized":false,"special":true}})",
                   first ? "" : ",", id, token);
    first = false;
  }
  out += R"(],"normalizer":{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,)"
         R"("strip_accents":null,"lowercase":true},"pre_tokenizer":{"type":"BertPreTokenizer"},)"
         R"("decoder":{"type":"WordPiece","prefix":"##","cleanup":true},"model":{"type":"WordPiece",)"
         R"("unk_token":"[UNK]","continuing_subword_prefix":"##","max_input_chars_per_word":100,)";
  append_vocabulary(out, vocabulary, [&](size_t id) { return word_piece_spelling(vocabulary.tokens[id]); });
  out += "}}";
  return out;
}

}  // namespace

Result<void> check_gguf_vocabulary(const Vocabulary& vocabulary) {
  const size_t count = vocabulary.tokens.size();
  if (count == 0 || count > limits::kVocabularyTokensMax) {
    return Error{ErrorCode::kDataLoss, fmt::format("[text] a vocabulary must have 1 to {} tokens; got {}",
                                                   limits::kVocabularyTokensMax, count)};
  }
  if ((!vocabulary.types.empty() && vocabulary.types.size() != count) ||
      (!vocabulary.scores.empty() && vocabulary.scores.size() != count)) {
    return Error{ErrorCode::kDataLoss,
                 fmt::format("[text] tokens, types and scores must be equally many; got {}, {} and {}", count,
                             vocabulary.types.size(), vocabulary.scores.size())};
  }
  for (size_t id = 0; id < count; ++id) {
    const std::string& token = vocabulary.tokens[id];
    if (token.size() > limits::kTokenBytesMax || !utf8_is_valid(token)) {
      return Error{ErrorCode::kDataLoss, fmt::format("[text] a token must be UTF-8 of at most {} bytes; got token {} of {}",
                                                     limits::kTokenBytesMax, id, token.size())};
    }
  }
  for (const std::string& merge : vocabulary.merges) {
    if (merge.size() > 2 * limits::kTokenBytesMax + 1 || !utf8_is_valid(merge)) {
      return Error{ErrorCode::kDataLoss, "[text] a merge must be two UTF-8 tokens; got other bytes"};
    }
  }
  return {};
}

Result<std::string> gguf_tokenizer_json(const Vocabulary& vocabulary) {
  if (vocabulary.model == "gpt2") return byte_level_json(vocabulary);
  if (vocabulary.model == "bert") return word_piece_json(vocabulary);
  return Error{ErrorCode::kUnimplemented,
               fmt::format("[text] tokenizer.ggml.model must be gpt2, llama or bert; got '{}'", vocabulary.model)};
}

GgufSpecialDefaults gguf_special_defaults(const Vocabulary& vocabulary) {
  if (vocabulary.model == "bert") return {.add_bos = true, .add_eos = true};
  if (vocabulary.model == "llama") return {.add_bos = true};
  const PreTokenizer* pre = find_pre_tokenizer(vocabulary.pre);
  return {.add_bos = pre != nullptr && (pre->traits & kAddBos) != 0};
}

std::vector<std::string> gguf_pre_tokenizers() {
  std::vector<std::string> names;
  for (const PreTokenizer& entry : kPreTokenizers) names.emplace_back(entry.name);
  return names;
}

}  // namespace accelerate
