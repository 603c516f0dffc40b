// SentencePiece - BPE by score over characters, as SentencePiece's BPE models and GGUF "llama" vocabularies have it.
//
//   ACC_TRY(SentencePiece pieces, SentencePiece::create(vocabulary, {.unknown = 3}));
//   pieces.encode("a text", {.parse_special = false}, ids);
//
// The text is cut at added tokens (user-defined ones always, control ones when asked), leftmost and longest first; in
// between, spaces become U+2581 and the two neighbours whose joined text is the token with the best score are joined,
// leftmost first among equals, until none is left. A character without a token becomes the tokens of its bytes, else
// the unknown token. Ordinary text never joins into control or byte tokens.
// Source: Sennrich et al., arXiv 1508.07909; Kudo and Richardson, arXiv 1808.06226.
//
// Merging is local: two characters that stand side by side in no token are never joined, so the text is cut there and
// each run merged by itself. This keeps cost and memory linear in the text for real vocabularies.
// Immutable and thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "accelerate/base/result.h"
#include "accelerate/core/model.h"

namespace accelerate {

struct SentencePieceOptions {
  std::optional<uint32_t> unknown;
};

class SentencePiece {
 public:
  using TokenType = TokenizerSpec::TokenType;
  /// `vocabulary` passed check_gguf_vocabulary. data_loss without scores.
  static Result<SentencePiece> create(const TokenizerSpec::Vocabulary& vocabulary, const SentencePieceOptions& options);

  /// Appends the ids of well-formed UTF-8 `text`. invalid_argument where a character has neither a token, nor byte
  /// tokens, nor an unknown token to stand for it.
  Result<void> encode(std::string_view text, bool parse_special, std::vector<uint32_t>& ids) const;

  uint32_t size() const { return static_cast<uint32_t>(offsets_.size()) - 1; }
  /// The token as the file spells it.
  std::string_view stored(uint32_t id) const { return std::string_view(texts_).substr(offsets_[id], offsets_[id + 1] - offsets_[id]); }
  TokenType type(uint32_t id) const { return types_[id]; }
  std::optional<uint32_t> find(std::string_view text) const;
  /// The byte that a token spelled <0xNN> of byte type stands for.
  std::optional<uint8_t> byte_of(uint32_t id) const;

 private:
  struct Merger;
  struct Node {          // of the trie over added tokens
    uint32_t child = 0;  // 0 = none
    uint32_t sibling = 0;
    uint32_t id = kNone;
    char byte = 0;
  };
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr uint32_t kPairBits = 20;

  SentencePiece() = default;
  void index_token(uint32_t id);
  void add_to_trie(uint32_t id);
  void note_neighbours(std::string_view token);
  bool ever_neighbours(std::string_view left, std::string_view right) const;
  bool is_control(uint32_t id) const { return types_[id] == TokenType::kControl || types_[id] == TokenType::kUnknown; }
  /// The added token at the start of `text`: {id, bytes}, or kNone.
  std::pair<uint32_t, size_t> added_at(std::string_view text, bool parse_special) const;
  Result<void> encode_escaped(std::string_view text, Merger& merger, std::vector<uint32_t>& ids) const;
  Result<void> emit_unknown(std::string_view character, std::vector<uint32_t>& ids) const;

  std::string texts_;
  std::vector<uint32_t> offsets_;
  std::vector<float> scores_;
  std::vector<TokenType> types_;
  std::vector<uint32_t> table_;      // open addressing over the hash of a token's text -> id
  std::vector<Node> trie_;           // [byte + 1] is the root's child for that byte; node 0 stands for "none"
  std::vector<uint64_t> neighbours_; // a bit for each hashed pair of characters side by side in some token
  std::vector<uint32_t> bytes_;      // id of <0xNN>, or kNone
  std::optional<uint32_t> unknown_;
  bool space_prefix_ = false;
};

}  // namespace accelerate
