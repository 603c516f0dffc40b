// Tokenizer - text to ids and back, for one model.
//
//   ACC_TRY(std::shared_ptr<const Tokenizer> tokenizer, Tokenizer::create(*model.tokenizer));
//   ACC_TRY(std::vector<uint32_t> ids, tokenizer->encode("The capital of France is", {.add_special = true}));
//   std::string text = tokenizer->decode(ids);
//
// Built from a tokenizer.json as it is, or from a GGUF vocabulary: byte-level BPE and WordPiece become a tokenizer.json
// (gguf_vocabulary.h), SentencePiece BPE is run here (sentencepiece.h). Immutable and thread-safe; shared by all requests.
//
// Text of users never turns into control tokens unless the caller says parse_special: "<|im_end|>" typed by a user is
// eight ordinary tokens. A rendered chat template is encoded with {.add_special = false, .parse_special = true}: the
// template has written its BOS itself.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "accelerate/base/result.h"
#include "accelerate/core/model.h"

namespace accelerate {

struct EncodeOptions {
  bool add_special = true;            // BOS, EOS, CLS, SEP, as the model has it
  bool parse_special = false;         // control tokens written in the text become their ids
  bool replace_invalid_utf8 = false;  // by U+FFFD; otherwise ill-formed text is refused
  /// More tokens than this are an error, found before tokenizing where the text is far too long. 0 = no limit.
  uint32_t tokens_max = 0;
};

struct PairOptions {
  uint32_t second_tokens_max = UINT32_MAX;  // the second text is cut to so many tokens; at least 1
};
/// Two texts as a cross-encoder reads them: "[CLS] query [SEP] document [SEP]".
struct PairTokens {
  std::vector<uint32_t> tokens;
  uint32_t second_begin = 0;   // where the token types change from 0 to 1
  uint32_t second_tokens = 0;  // of the second text before it was cut
};

struct DecodeOptions {
  bool skip_special = true;  // control tokens give no text
};

class Tokenizer {
 public:
  /// failed_precondition: the spec holds neither a tokenizer.json nor a vocabulary; unimplemented: a vocabulary type or
  /// pre-tokenizer that is not known here, by name; data_loss: broken content, ids out of range.
  static Result<std::shared_ptr<const Tokenizer>> create(const TokenizerSpec& spec);
  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  /// invalid_argument: ill-formed UTF-8; resource_exhausted: over limits::kTextBytesMax; out_of_range: over tokens_max.
  Result<std::vector<uint32_t>> encode(std::string_view text, const EncodeOptions& options = {}) const;
  /// Through the tokenizer.json's own pair template; control tokens spelled in the texts stay text. unimplemented for a
  /// tokenizer made from a vocabulary, which has no such template; out_of_range over limits::kEncoderTextBytesMax.
  Result<PairTokens> encode_pair(std::string_view first, std::string_view second, const PairOptions& options = {}) const;
  /// The bytes of `ids`: may begin or end inside a character (see utf8.h). Ids outside the vocabulary give nothing.
  std::string decode(std::span<const uint32_t> ids, const DecodeOptions& options = {}) const;

  /// One more than the largest id.
  uint32_t size() const;
  /// What the token adds to a text, as bytes; the stored text for control tokens. Valid as long as the tokenizer.
  std::string_view token_bytes(uint32_t id) const;
  /// Id of the token stored as `text` ("<|im_end|>", "Ġthe", "▁the").
  std::optional<uint32_t> find(std::string_view text) const;
  bool is_control(uint32_t id) const;
  /// Ends an answer: EOS, EOT, those of generation_config.json, and control tokens (GGUF: user-defined ones
  /// too) named like <|im_end|>, <end_of_turn>.
  bool is_end_of_generation(uint32_t id) const;
  /// Ascending.
  std::span<const uint32_t> end_of_generation() const;
  std::optional<uint32_t> bos() const;
  std::optional<uint32_t> eos() const;
  /// The stored text of bos() and eos(), what a chat template calls bos_token and eos_token.
  std::optional<std::string> bos_text() const;
  std::optional<std::string> eos_text() const;

  /// Whether decode() is the concatenation of token_bytes(): all vocabularies of generating models.
  bool bytes_add_up() const;
  /// Whether decode() takes one space from the start of the text (SentencePiece with a dummy prefix).
  bool strips_leading_space() const;

 private:
  struct State;
  explicit Tokenizer(std::unique_ptr<const State> state);
  std::unique_ptr<const State> state_;
};

}  // namespace accelerate
