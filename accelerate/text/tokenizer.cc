#include "accelerate/text/tokenizer.h"

#include <algorithm>
#include <array>
#include <cstring>

#include <fmt/format.h>

#include "accelerate/base/limits.h"
#include "accelerate/base/log.h"
#include "accelerate/text/ffi/received.h"
#include "accelerate/text/gguf_vocabulary.h"
#include "accelerate/text/limits.h"
#include "accelerate/text/sentencepiece.h"
#include "accelerate/text/utf8.h"

namespace accelerate {
namespace {

/// Tokens that end a turn by their published names, whatever the file says about EOS: control tokens, and in a GGUF
/// vocabulary user-defined ones, as some converters marked them. Ignoring them makes a model talk on past its answer.
constexpr std::array<std::string_view, 9> kEndNames = {"<|im_end|>",    "<|eot_id|>", "<|eom_id|>",    "<|eot|>",   "<|end_of_text|>",
                                                       "<|endoftext|>", "<|end|>",    "<end_of_turn>", "<|return|>"};

struct HandleDeleter {
  void operator()(text_tokenizer* handle) const { text_tokenizer_free(handle); }
};
using Handle = std::unique_ptr<text_tokenizer, HandleDeleter>;

/// What every token adds to a text, side by side.
struct TokenTable {
  struct Token {
    size_t begin = 0;
    uint32_t bytes = 0;
    bool control = false;
  };
  std::string bytes;
  std::vector<Token> tokens;

  void set(uint32_t id, std::string_view text, bool control) {
    if (id >= tokens.size()) tokens.resize(id + 1);
    tokens[id] = {bytes.size(), static_cast<uint32_t>(text.size()), control};
    bytes += text;
  }
  std::string_view text(uint32_t id) const {
    return id < tokens.size() ? std::string_view(bytes).substr(tokens[id].begin, tokens[id].bytes) : std::string_view();
  }
};

TokenTable table_of(const SentencePiece& pieces) {
  TokenTable table;
  std::string text;
  for (uint32_t id = 0; id < pieces.size(); ++id) {
    const auto type = pieces.type(id);
    const bool control = type == SentencePiece::TokenType::kControl || type == SentencePiece::TokenType::kUnknown;
    text.clear();
    if (control) {
      text = pieces.stored(id);
    } else if (const std::optional<uint8_t> byte = pieces.byte_of(id)) {
      text += static_cast<char>(*byte);
    } else {
      constexpr std::string_view kSpaceMark = "\u2581";
      for (std::string_view rest = pieces.stored(id); !rest.empty();) {
        const bool space = rest.starts_with(kSpaceMark);
        text += space ? ' ' : rest.front();
        rest.remove_prefix(space ? kSpaceMark.size() : 1);
      }
    }
    table.set(id, text, control);
  }
  return table;
}

}  // namespace

struct Tokenizer::State {
  Handle handle;                        // one of the two
  std::optional<SentencePiece> pieces;
  text_token_kind kind = TEXT_KIND_TEXT;
  TokenTable table;
  std::vector<uint32_t> ends;           // ascending
  std::optional<uint32_t> bos, eos;
  bool processor_adds_special = false;  // the tokenizer.json's post-processor decides
  std::optional<uint32_t> prepend, append;
  uint32_t token_bytes_max = 1;

  Result<void> open_json(std::string_view json);
  Result<void> open_vocabulary(const TokenizerSpec& spec);
  Result<void> set_special(const TokenizerSpec& spec);
  Result<void> set_added(const TokenizerSpec& spec);
  std::optional<uint32_t> find(std::string_view text) const;
  Result<void> encode_plain(std::string_view text, const EncodeOptions& options, std::vector<uint32_t>& ids) const;
  Result<void> check_ids(std::span<const uint32_t> ids) const;
  std::optional<std::string> text_of(std::optional<uint32_t> id) const;
};

Result<void> Tokenizer::State::open_json(std::string_view json) {
  Received received;
  handle.reset(text_tokenizer_new(bytes_of(json), json.size(), receive, &received));
  if (!handle) {
    // Also where the library panicked: it does so over files it did not expect, such as half a surrogate in its decoder.
    return Error{ErrorCode::kDataLoss, fmt::format("[text] a tokenizer.json must be readable; got: {}", received.bytes)};
  }
  struct Listed {
    TokenTable& table;
    std::optional<uint32_t> refused;  // the first token that is none
  } listed{table, std::nullopt};
  const auto visit = [](void* user, uint32_t id, uint32_t flags, const uint8_t* data, size_t size) {
    auto& listed = *static_cast<Listed*>(user);
    const bool fits = id < limits::kVocabularyTokensMax && size <= limits::kTokenBytesMax;
    if (!fits && !listed.refused) listed.refused = id;
    if (fits) listed.table.set(id, {reinterpret_cast<const char*>(data), size}, (flags & TEXT_TOKEN_CONTROL) != 0);
  };
  const uint32_t found = text_tokenizer_tokens(handle.get(), visit, &listed);
  if (found == TEXT_KIND_NONE) return Error{ErrorCode::kInternal, "[text] a tokenizer's tokens must be listed; the text library panicked on the way"};
  if (listed.refused) {
    return Error{ErrorCode::kDataLoss, fmt::format("[text] a token must have an id below {} and at most {} bytes; got token {}",
                                                   limits::kVocabularyTokensMax, limits::kTokenBytesMax, *listed.refused)};
  }
  kind = static_cast<text_token_kind>(found);
  return {};
}

Result<void> Tokenizer::State::open_vocabulary(const TokenizerSpec& spec) {
  const TokenizerSpec::Vocabulary& vocabulary = *spec.vocabulary;
  ACC_TRY_VOID(check_gguf_vocabulary(vocabulary));
  if (vocabulary.model != "llama") {
    ACC_TRY(const std::string json, gguf_tokenizer_json(vocabulary));
    return open_json(json);
  }
  if (spec.unknown && *spec.unknown >= vocabulary.tokens.size()) {
    return Error{ErrorCode::kDataLoss, fmt::format("[text] the unknown token's id must be below {}; got {}",
                                                   vocabulary.tokens.size(), *spec.unknown)};
  }
  ACC_TRY(pieces, SentencePiece::create(vocabulary, {.unknown = spec.unknown}));
  table = table_of(*pieces);
  kind = vocabulary.add_space_prefix ? TEXT_KIND_ESCAPED_STRIPPED : TEXT_KIND_ESCAPED;
  return {};
}

std::optional<uint32_t> Tokenizer::State::find(std::string_view text) const {
  if (pieces) return pieces->find(text);
  const uint32_t id = text_tokenizer_find(handle.get(), bytes_of(text), text.size());
  return id < table.tokens.size() ? std::optional(id) : std::nullopt;
}

/// Of a GGUF vocabulary; a tokenizer.json says by "special" which tokens control.
bool is_user_defined(const TokenizerSpec& spec, uint32_t id) {
  if (!spec.tokenizer_json.empty() || !spec.vocabulary || id >= spec.vocabulary->types.size()) return false;
  return spec.vocabulary->types[id] == TokenizerSpec::TokenType::kUserDefined;
}

Result<void> Tokenizer::State::set_special(const TokenizerSpec& spec) {
  const auto count = static_cast<uint32_t>(table.tokens.size());
  std::vector<uint32_t> ids = spec.end_of_generation;
  for (const std::optional<uint32_t>& id : {spec.bos, spec.eos, spec.eot}) {
    if (id) ids.push_back(*id);
  }
  for (const uint32_t id : ids) {
    if (id >= count) {
      return Error{ErrorCode::kDataLoss,
                   fmt::format("[text] special token ids must be below the vocabulary's {}; got {}", count, id)};
    }
  }
  bos = spec.bos;
  eos = spec.eos;
  ends = spec.end_of_generation;
  for (const std::optional<uint32_t>& id : {spec.eos, spec.eot}) {
    if (id) ends.push_back(*id);
  }
  for (const std::string_view name : kEndNames) {
    const std::optional<uint32_t> id = find(name);
    if (id && (table.tokens[*id].control || is_user_defined(spec, *id))) ends.push_back(*id);
  }
  std::sort(ends.begin(), ends.end());
  ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
  for (const TokenTable::Token& token : table.tokens) token_bytes_max = std::max(token_bytes_max, token.bytes);
  return {};
}

/// What encode() puts around a text. BERT's files name CLS and SEP in more than one way; their texts do not differ.
Result<void> Tokenizer::State::set_added(const TokenizerSpec& spec) {
  const bool from_vocabulary = spec.tokenizer_json.empty();
  if (!from_vocabulary && !spec.add_bos && !spec.add_eos) {
    processor_adds_special = true;
    return {};
  }
  GgufSpecialDefaults wanted;
  if (from_vocabulary) wanted = gguf_special_defaults(*spec.vocabulary);
  const bool word_piece = from_vocabulary && spec.vocabulary->model == "bert";
  if (spec.add_bos.value_or(wanted.add_bos)) prepend = word_piece && !bos ? find("[CLS]") : bos;
  if (spec.add_eos.value_or(wanted.add_eos)) append = word_piece && !eos ? find("[SEP]") : eos;
  if (spec.add_bos.value_or(wanted.add_bos) && !prepend) {
    return Error{ErrorCode::kDataLoss, "[text] a model that adds a BOS token must name it; got no BOS id"};
  }
  if (spec.add_eos.value_or(wanted.add_eos) && !append) {
    return Error{ErrorCode::kDataLoss, "[text] a model that adds an EOS token must name it; got no EOS id"};
  }
  return {};
}

Result<void> Tokenizer::State::encode_plain(std::string_view text, const EncodeOptions& options,
                                            std::vector<uint32_t>& ids) const {
  if (pieces) return pieces->encode(text, options.parse_special, ids);
  uint32_t flags = 0;
  if (options.parse_special) flags |= TEXT_ENCODE_PARSE_SPECIAL;
  if (options.add_special && processor_adds_special) flags |= TEXT_ENCODE_ADD_SPECIAL;
  Received received;
  text_tokenizer_encode(handle.get(), bytes_of(text), text.size(), flags, receive, &received);
  if (received.status != TEXT_OK) {
    return Error{received.status == TEXT_PANICKED ? ErrorCode::kInternal : ErrorCode::kInvalidArgument,
                 fmt::format("[text] the text must be tokenizable; got: {}", received.bytes)};
  }
  const size_t count = received.bytes.size() / sizeof(uint32_t), begin = ids.size();
  ids.resize(begin + count);
  if (count != 0) std::memcpy(ids.data() + begin, received.bytes.data(), count * sizeof(uint32_t));
  return check_ids(std::span(ids).subspan(begin));
}

/// A post-processor has ids of its own, which need not be the vocabulary's.
Result<void> Tokenizer::State::check_ids(std::span<const uint32_t> ids) const {
  const auto outside = std::find_if(ids.begin(), ids.end(), [&](uint32_t id) { return id >= table.tokens.size(); });
  if (outside == ids.end()) return {};
  return Error{ErrorCode::kDataLoss, fmt::format("[text] a tokenizer.json must add tokens below its vocabulary's {}; got {}",
                                                 table.tokens.size(), *outside)};
}

std::optional<std::string> Tokenizer::State::text_of(std::optional<uint32_t> id) const {
  return id ? std::optional<std::string>(table.text(*id)) : std::nullopt;
}

Tokenizer::Tokenizer(std::unique_ptr<const State> state) : state_(std::move(state)) {}
Tokenizer::~Tokenizer() = default;

Result<std::shared_ptr<const Tokenizer>> Tokenizer::create(const TokenizerSpec& spec) {
  auto state = std::make_unique<State>();
  if (!spec.tokenizer_json.empty()) {
    if (spec.tokenizer_json.size() > limits::kTokenizerFileBytesMax) {
      return Error{ErrorCode::kResourceExhausted, fmt::format("[text] a tokenizer.json may have {} bytes; got {}",
                                                              limits::kTokenizerFileBytesMax, spec.tokenizer_json.size())};
    }
    ACC_TRY_VOID(state->open_json(spec.tokenizer_json));
  } else if (spec.vocabulary) {
    ACC_TRY_VOID(state->open_vocabulary(spec));
  } else {
    return Error{ErrorCode::kFailedPrecondition,
                 "[text] a model needs a tokenizer.json or a vocabulary; got neither; try a model folder that has one, or "
                 "send token ids"};
  }
  if (state->table.tokens.empty()) return Error{ErrorCode::kDataLoss, "[text] a tokenizer must have tokens; got none"};
  ACC_TRY_VOID(state->set_special(spec));
  ACC_TRY_VOID(state->set_added(spec));
  return std::shared_ptr<const Tokenizer>(new Tokenizer(std::move(state)));
}

Result<std::vector<uint32_t>> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  if (text.size() > limits::kTextBytesMax) {
    return Error{ErrorCode::kResourceExhausted,
                 fmt::format("[text] a text may have {} bytes; got {}", limits::kTextBytesMax, text.size())};
  }
  const auto too_long = [&](std::string_view got) {
    return Error{ErrorCode::kOutOfRange,
                 fmt::format("[text] the text must fit into {} tokens; got {}; try a shorter one", options.tokens_max, got)};
  };
  // Normalization to NFC shrinks a text at most threefold, and no token stands for more than its bytes.
  const bool limited = options.tokens_max != 0;
  if (limited && bytes_add_up() && text.size() / 4 / state_->token_bytes_max > options.tokens_max) {
    return too_long(fmt::format("{} bytes", text.size()));
  }
  if (limited && !bytes_add_up() && text.size() > limits::kEncoderTextBytesMax) return too_long(fmt::format("{} bytes", text.size()));
  std::string repaired;
  if (const size_t valid = utf8_valid_prefix(text); valid != text.size()) {
    if (!options.replace_invalid_utf8) {
      return Error{ErrorCode::kInvalidArgument,
                   fmt::format("[text] a text must be UTF-8; got ill-formed bytes at offset {}", valid)};
    }
    repaired = utf8_repair(text);
    text = repaired;
  }
  std::vector<uint32_t> ids;
  if (options.add_special && state_->prepend) ids.push_back(*state_->prepend);
  ACC_TRY_VOID(state_->encode_plain(text, options, ids));
  if (options.add_special && state_->append) ids.push_back(*state_->append);
  if (limited && ids.size() > options.tokens_max) return too_long(fmt::format("{} tokens", ids.size()));
  return ids;
}

Result<PairTokens> Tokenizer::encode_pair(std::string_view first, std::string_view second, const PairOptions& options) const {
  if (!state_->handle || !state_->processor_adds_special) {
    return Error{ErrorCode::kUnimplemented, "[text] pairs go through a tokenizer.json's pair template; got a tokenizer made from a vocabulary"};
  }
  for (const std::string_view text : {first, second}) {
    if (text.size() > limits::kEncoderTextBytesMax) {
      return Error{ErrorCode::kOutOfRange, fmt::format("[text] a text of a pair has at most {} bytes; got {}", limits::kEncoderTextBytesMax, text.size())};
    }
    if (const size_t valid = utf8_valid_prefix(text); valid != text.size()) {
      return Error{ErrorCode::kInvalidArgument, fmt::format("[text] a text must be UTF-8; got ill-formed bytes at offset {}", valid)};
    }
  }
  Received received;
  text_tokenizer_encode_pair(state_->handle.get(), {bytes_of(first), first.size()}, {bytes_of(second), second.size()},
                             std::max(options.second_tokens_max, 1u), TEXT_ENCODE_ADD_SPECIAL, receive, &received);
  if (received.status != TEXT_OK) {
    return Error{received.status == TEXT_PANICKED ? ErrorCode::kInternal : ErrorCode::kInvalidArgument,
                 fmt::format("[text] the pair must be tokenizable; got: {}", received.bytes)};
  }
  std::vector<uint32_t> values(received.bytes.size() / sizeof(uint32_t));
  CHECK(values.size() >= 2, "a pair comes behind its two numbers");
  std::memcpy(values.data(), received.bytes.data(), values.size() * sizeof(uint32_t));
  ACC_TRY_VOID(state_->check_ids(std::span(values).subspan(2)));
  return PairTokens{.tokens = {values.begin() + 2, values.end()}, .second_begin = values[0], .second_tokens = values[1]};
}

std::string Tokenizer::decode(std::span<const uint32_t> ids, const DecodeOptions& options) const {
  if (!bytes_add_up()) {
    Received received;
    text_tokenizer_decode(state_->handle.get(), ids.data(), ids.size(), options.skip_special ? TEXT_DECODE_SKIP_SPECIAL : 0,
                          receive, &received);
    if (received.status == TEXT_OK) return std::move(received.bytes);
    log_error(fmt::format("[text] ids must be decodable; got: {}; they give no text", received.bytes));
    return {};
  }
  std::string text;
  for (const uint32_t id : ids) {
    if (!options.skip_special || !is_control(id)) text += token_bytes(id);
  }
  if (strips_leading_space() && text.starts_with(' ')) text.erase(0, 1);
  return text;
}

uint32_t Tokenizer::size() const { return static_cast<uint32_t>(state_->table.tokens.size()); }
std::string_view Tokenizer::token_bytes(uint32_t id) const { return state_->table.text(id); }
std::optional<uint32_t> Tokenizer::find(std::string_view text) const { return state_->find(text); }
bool Tokenizer::is_control(uint32_t id) const { return id < size() && state_->table.tokens[id].control; }
bool Tokenizer::is_end_of_generation(uint32_t id) const {
  return std::binary_search(state_->ends.begin(), state_->ends.end(), id);
}
std::span<const uint32_t> Tokenizer::end_of_generation() const { return state_->ends; }
std::optional<uint32_t> Tokenizer::bos() const { return state_->bos; }
std::optional<uint32_t> Tokenizer::eos() const { return state_->eos; }
std::optional<std::string> Tokenizer::bos_text() const { return state_->text_of(state_->bos); }
std::optional<std::string> Tokenizer::eos_text() const { return state_->text_of(state_->eos); }
bool Tokenizer::bytes_add_up() const { return state_->kind != TEXT_KIND_TEXT; }
bool Tokenizer::strips_leading_space() const { return state_->kind == TEXT_KIND_ESCAPED_STRIPPED; }

}  // namespace accelerate
