#include "accelerate/text/sentencepiece.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>

#include <fmt/format.h>

#include "accelerate/text/utf8.h"

namespace accelerate {
namespace {

constexpr std::string_view kSpaceMark = "\u2581";

/// FNV-1a folded once more: tokens are short and the table is in memory only.
uint64_t hash_text(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash ^ (hash >> 29);
}

uint64_t hash_pair(std::string_view left, std::string_view right) {
  const auto pack = [](std::string_view character) {
    uint32_t value = 0;
    std::memcpy(&value, character.data(), std::min<size_t>(character.size(), 4));
    return value;
  };
  uint64_t hash = (uint64_t{pack(left)} << 32 | pack(right)) * 0x9e3779b97f4a7c15u;
  return hash ^ (hash >> 31);
}

std::optional<uint8_t> parse_byte_token(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text.back() != '>') return std::nullopt;
  uint8_t value = 0;
  const auto [end, error] = std::from_chars(text.data() + 3, text.data() + 5, value, 16);
  if (error != std::errc() || end != text.data() + 5) return std::nullopt;
  return value;
}

std::string escaped(std::string_view text) {
  std::string result;
  result.reserve(text.size() + text.size() / 2);
  for (const char c : text) {
    if (c == ' ') {
      result += kSpaceMark;
    } else {
      result += c;
    }
  }
  return result;
}

}  // namespace

/// Joins the characters of one run. Reused from run to run, so that its buffers grow once.
struct SentencePiece::Merger {
  struct Symbol {
    uint32_t begin, bytes;  // bytes == 0: joined into its left neighbour
    uint32_t previous, next;
  };
  struct Candidate {
    float score;
    uint32_t left, right, bytes, id;
    bool operator<(const Candidate& other) const {  // the heap's top is the best: highest score, then leftmost
      return score != other.score ? score < other.score : left > other.left;
    }
  };

  explicit Merger(const SentencePiece& pieces) : pieces(pieces) {}

  void propose(uint32_t left, uint32_t right) {
    if (left == kNone || right == kNone) return;
    const uint32_t bytes = symbols[left].bytes + symbols[right].bytes;
    const std::optional<uint32_t> id = pieces.find(text.substr(symbols[left].begin, bytes));
    if (!id || pieces.is_control(*id) || pieces.types_[*id] == TokenType::kByte) return;
    heap.push_back({pieces.scores_[*id], left, right, bytes, *id});
    std::push_heap(heap.begin(), heap.end());
  }

  void run(std::string_view run_text) {
    text = run_text;
    symbols.clear();
    heap.clear();
    for (uint32_t at = 0; at < text.size();) {
      const auto bytes = static_cast<uint32_t>(utf8_character_bytes(text.substr(at)));
      const auto index = static_cast<uint32_t>(symbols.size());
      symbols.push_back({at, bytes, index == 0 ? kNone : index - 1, index + 1});
      at += bytes;
    }
    symbols.back().next = kNone;
    for (uint32_t i = 1; i < symbols.size(); ++i) propose(i - 1, i);
    while (!heap.empty()) {
      std::pop_heap(heap.begin(), heap.end());
      const Candidate best = heap.back();
      heap.pop_back();
      Symbol& left = symbols[best.left];
      Symbol& right = symbols[best.right];
      const bool stale = left.bytes == 0 || right.bytes == 0 || left.bytes + right.bytes != best.bytes;
      if (stale) continue;
      left.bytes = best.bytes;
      right.bytes = 0;
      left.next = right.next;
      if (right.next != kNone) symbols[right.next].previous = best.left;
      propose(left.previous, best.left);
      propose(best.left, left.next);
    }
  }

  const SentencePiece& pieces;
  std::string_view text;
  std::vector<Symbol> symbols;
  std::vector<Candidate> heap;
};

Result<SentencePiece> SentencePiece::create(const TokenizerSpec::Vocabulary& vocabulary,
                                            const SentencePieceOptions& options) {
  if (vocabulary.scores.empty()) {
    return Error{ErrorCode::kDataLoss, "[text] a SentencePiece vocabulary needs scores; got none"};
  }
  SentencePiece pieces;
  pieces.scores_ = vocabulary.scores;
  for (float& score : pieces.scores_) {
    if (std::isnan(score)) return Error{ErrorCode::kDataLoss, "[text] a token's score must be a number; got NaN"};
  }
  pieces.types_ = vocabulary.types;
  pieces.types_.resize(vocabulary.tokens.size(), TokenType::kNormal);
  pieces.unknown_ = options.unknown;
  pieces.space_prefix_ = vocabulary.add_space_prefix;
  pieces.bytes_.assign(256, kNone);
  pieces.neighbours_.assign(size_t{1} << (kPairBits - 6), 0);
  pieces.trie_.assign(257, Node{});
  pieces.offsets_.push_back(0);
  size_t total = 0, slots = 64;
  for (const std::string& token : vocabulary.tokens) total += token.size();
  while (slots < 2 * vocabulary.tokens.size()) slots *= 2;
  pieces.texts_.reserve(total);
  pieces.table_.assign(slots, kNone);
  for (uint32_t id = 0; id < vocabulary.tokens.size(); ++id) {
    pieces.texts_ += vocabulary.tokens[id];
    pieces.offsets_.push_back(static_cast<uint32_t>(pieces.texts_.size()));
    pieces.index_token(id);
  }
  return pieces;
}

void SentencePiece::index_token(uint32_t id) {
  const std::string_view text = stored(id);
  if (text.empty()) return;
  size_t slot = hash_text(text) & (table_.size() - 1);
  while (table_[slot] != kNone && stored(table_[slot]) != text) slot = (slot + 1) & (table_.size() - 1);
  if (table_[slot] == kNone) table_[slot] = id;  // of equal texts the first id stands
  if (types_[id] == TokenType::kByte) {
    if (const std::optional<uint8_t> byte = parse_byte_token(text)) bytes_[*byte] = id;
  } else if (is_control(id) || types_[id] == TokenType::kUserDefined) {
    add_to_trie(id);
  }
  if (!is_control(id) && types_[id] != TokenType::kByte) note_neighbours(text);
}

void SentencePiece::add_to_trie(uint32_t id) {
  const std::string_view text = stored(id);
  uint32_t node = static_cast<unsigned char>(text.front()) + 1u;
  for (const char byte : text.substr(1)) {
    uint32_t child = trie_[node].child;
    while (child != 0 && trie_[child].byte != byte) child = trie_[child].sibling;
    if (child == 0) {
      child = static_cast<uint32_t>(trie_.size());
      trie_.push_back({.sibling = trie_[node].child, .byte = byte});
      trie_[node].child = child;
    }
    node = child;
  }
  if (trie_[node].id == kNone) trie_[node].id = id;
}

void SentencePiece::note_neighbours(std::string_view token) {
  std::string_view left;
  while (!token.empty()) {
    const std::string_view character = token.substr(0, utf8_character_bytes(token));
    if (!left.empty()) {
      const uint64_t bit = hash_pair(left, character) & ((uint64_t{1} << kPairBits) - 1);
      neighbours_[bit / 64] |= uint64_t{1} << (bit % 64);
    }
    left = character;
    token.remove_prefix(character.size());
  }
}

bool SentencePiece::ever_neighbours(std::string_view left, std::string_view right) const {
  const uint64_t bit = hash_pair(left, right) & ((uint64_t{1} << kPairBits) - 1);
  return (neighbours_[bit / 64] >> (bit % 64) & 1) != 0;
}

std::optional<uint32_t> SentencePiece::find(std::string_view text) const {
  size_t slot = hash_text(text) & (table_.size() - 1);
  while (table_[slot] != kNone) {
    if (stored(table_[slot]) == text) return table_[slot];
    slot = (slot + 1) & (table_.size() - 1);
  }
  return std::nullopt;
}

std::optional<uint8_t> SentencePiece::byte_of(uint32_t id) const {
  return types_[id] == TokenType::kByte ? parse_byte_token(stored(id)) : std::nullopt;
}

std::pair<uint32_t, size_t> SentencePiece::added_at(std::string_view text, bool parse_special) const {
  std::pair<uint32_t, size_t> best{kNone, 0};
  uint32_t node = static_cast<unsigned char>(text.front()) + 1u;
  for (size_t bytes = 1;; ++bytes) {
    const uint32_t id = trie_[node].id;
    if (id != kNone && (parse_special || !is_control(id))) best = {id, bytes};
    if (bytes == text.size()) return best;
    uint32_t child = trie_[node].child;
    while (child != 0 && trie_[child].byte != text[bytes]) child = trie_[child].sibling;
    if (child == 0) return best;
    node = child;
  }
}

Result<void> SentencePiece::encode(std::string_view text, bool parse_special, std::vector<uint32_t>& ids) const {
  Merger merger(*this);
  bool after_added = true;  // the start counts: the dummy space stands before the first word of each stretch
  size_t begin = 0;
  const auto flush = [&](size_t end) -> Result<void> {
    if (begin == end) return {};
    std::string stretch = after_added && space_prefix_ ? std::string(kSpaceMark) : std::string();
    stretch += escaped(text.substr(begin, end - begin));
    after_added = false;
    return encode_escaped(stretch, merger, ids);
  };
  for (size_t at = 0; at < text.size();) {
    const auto [id, bytes] = added_at(text.substr(at), parse_special);
    if (id == kNone) {
      ++at;
      continue;
    }
    ACC_TRY_VOID(flush(at));
    ids.push_back(id);
    after_added = true;
    at += bytes;
    begin = at;
  }
  return flush(text.size());
}

Result<void> SentencePiece::encode_escaped(std::string_view text, Merger& merger, std::vector<uint32_t>& ids) const {
  while (!text.empty()) {
    size_t end = utf8_character_bytes(text);
    std::string_view left = text.substr(0, end);
    while (end < text.size()) {
      const std::string_view right = text.substr(end, utf8_character_bytes(text.substr(end)));
      if (!ever_neighbours(left, right)) break;
      end += right.size();
      left = right;
    }
    merger.run(text.substr(0, end));
    for (uint32_t i = 0; i != kNone; i = merger.symbols[i].next) {
      const std::string_view piece = merger.text.substr(merger.symbols[i].begin, merger.symbols[i].bytes);
      const std::optional<uint32_t> id = find(piece);
      if (id && !is_control(*id) && types_[*id] != TokenType::kByte) {
        ids.push_back(*id);
      } else {
        ACC_TRY_VOID(emit_unknown(piece, ids));
      }
    }
    text.remove_prefix(end);
  }
  return {};
}

Result<void> SentencePiece::emit_unknown(std::string_view character, std::vector<uint32_t>& ids) const {
  const bool in_bytes = std::all_of(character.begin(), character.end(),
                                    [&](char c) { return bytes_[static_cast<unsigned char>(c)] != kNone; });
  if (in_bytes) {
    for (const char c : character) ids.push_back(bytes_[static_cast<unsigned char>(c)]);
  } else if (unknown_) {
    ids.push_back(*unknown_);
  } else {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("[text] each character must have a token; got '{}', which the vocabulary lacks", character)};
  }
  return {};
}

}  // namespace accelerate
