#include "accelerate/text/sentencepiece.h"

#include <map>
#include <random>

#include <gtest/gtest.h>

#include "accelerate/text/tokenizer.h"
#include "accelerate/text/utf8.h"

namespace accelerate {
namespace {

using TokenType = TokenizerSpec::TokenType;

struct Entry {
  std::string text;
  float score = 0;
  TokenType type = TokenType::kNormal;
};

TokenizerSpec::Vocabulary vocabulary_of(const std::vector<Entry>& entries) {
  TokenizerSpec::Vocabulary vocabulary;
  vocabulary.model = "llama";
  vocabulary.add_space_prefix = false;
  for (const Entry& entry : entries) {
    vocabulary.tokens.push_back(entry.text);
    vocabulary.scores.push_back(entry.score);
    vocabulary.types.push_back(entry.type);
  }
  return vocabulary;
}

std::vector<Entry> small_entries() {
  return {{"<unk>", 0, TokenType::kUnknown}, {"<s>", 0, TokenType::kControl}, {"</s>", 0, TokenType::kControl},
          {"<0xC3>", 0, TokenType::kByte},   {"<0xA9>", 0, TokenType::kByte}, {"  ", 0, TokenType::kUserDefined},
          {"\n\n", 0, TokenType::kUserDefined},
          {"▁", -10},  {"a", -11}, {"b", -12}, {"c", -13}, {"<", -14}, {"s", -15}, {">", -16},
          {"ab", -1},  {"bc", -2}, {"abc", -3}, {"▁a", -4}, {"<s", -5}};
}

std::vector<std::string> pieces_of(const SentencePiece& pieces, std::string_view text, bool parse_special = false) {
  std::vector<uint32_t> ids;
  const Result<void> encoded = pieces.encode(text, parse_special, ids);
  EXPECT_TRUE(encoded.ok());
  std::vector<std::string> result;
  for (const uint32_t id : ids) result.emplace_back(pieces.stored(id));
  return result;
}

using Pieces = std::vector<std::string>;

TEST(SentencePiece, JoinsTheBestScoreFirst) {
  const Result<SentencePiece> pieces = SentencePiece::create(vocabulary_of(small_entries()), {.unknown = 0});
  EXPECT_EQ(pieces_of(*pieces, "abc"), (Pieces{"abc"}));        // ab (-1), then abc
  EXPECT_EQ(pieces_of(*pieces, "bcab"), (Pieces{"bc", "ab"}));
  EXPECT_EQ(pieces_of(*pieces, "a a"), (Pieces{"a", "▁a"}));
  EXPECT_EQ(pieces_of(*pieces, ""), (Pieces{}));
}

TEST(SentencePiece, AddedTokensMatchFirstLongestAndControlOnlyWhenAsked) {
  const Result<SentencePiece> pieces = SentencePiece::create(vocabulary_of(small_entries()), {.unknown = 0});
  EXPECT_EQ(pieces_of(*pieces, "a  a"), (Pieces{"a", "  ", "a"}));
  EXPECT_EQ(pieces_of(*pieces, "a   a"), (Pieces{"a", "  ", "▁a"}));
  EXPECT_EQ(pieces_of(*pieces, "a\n\nb"), (Pieces{"a", "\n\n", "b"}));
  EXPECT_EQ(pieces_of(*pieces, "a<s>b", true), (Pieces{"a", "<s>", "b"}));
  EXPECT_EQ(pieces_of(*pieces, "a<s>b"), (Pieces{"a", "<s", ">", "b"}));  // "<s" + ">" is the control token: not joined
}

TEST(SentencePiece, CharactersWithoutATokenBecomeBytesOrUnknown) {
  const Result<SentencePiece> pieces = SentencePiece::create(vocabulary_of(small_entries()), {.unknown = 0});
  EXPECT_EQ(pieces_of(*pieces, "aéb"), (Pieces{"a", "<0xC3>", "<0xA9>", "b"}));
  EXPECT_EQ(pieces_of(*pieces, "a你b"), (Pieces{"a", "<unk>", "b"}));
  const Result<SentencePiece> strict = SentencePiece::create(vocabulary_of(small_entries()), {});
  std::vector<uint32_t> ids;
  const Result<void> encoded = strict->encode("你", false, ids);
  ASSERT_FALSE(encoded.ok());
  EXPECT_EQ(encoded.error().code, ErrorCode::kInvalidArgument);
}

TEST(SentencePiece, SpacePrefixStandsBeforeEachStretch) {
  TokenizerSpec::Vocabulary vocabulary = vocabulary_of(small_entries());
  vocabulary.add_space_prefix = true;
  const Result<SentencePiece> pieces = SentencePiece::create(vocabulary, {.unknown = 0});
  EXPECT_EQ(pieces_of(*pieces, "a b"), (Pieces{"▁a", "▁", "b"}));
  EXPECT_EQ(pieces_of(*pieces, "<s>a", true), (Pieces{"<s>", "▁a"}));
}

TEST(SentencePiece, NeedsScores) {
  TokenizerSpec::Vocabulary vocabulary = vocabulary_of(small_entries());
  vocabulary.scores.clear();
  EXPECT_EQ(SentencePiece::create(vocabulary, {}).error().code, ErrorCode::kDataLoss);
}

// The definition without any cutting or heap: look at all neighbours, join the best, again.
Pieces naive(const std::map<std::string, float>& scores, std::string_view text) {
  Pieces symbols;
  for (; !text.empty(); text.remove_prefix(utf8_character_bytes(text))) {
    symbols.emplace_back(text.substr(0, utf8_character_bytes(text)));
  }
  for (;;) {
    size_t best = symbols.size();
    float best_score = 0;
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto it = scores.find(symbols[i] + symbols[i + 1]);
      if (it != scores.end() && (best == symbols.size() || it->second > best_score)) {
        best = i;
        best_score = it->second;
      }
    }
    if (best == symbols.size()) return symbols;
    symbols[best] += symbols[best + 1];
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
}

TEST(SentencePiece, EqualsTheNaiveDefinitionOnRandomVocabularies) {
  std::mt19937 random(5);
  const std::vector<std::string> characters = {"a", "b", "c", "é", "你"};
  for (int round = 0; round < 300; ++round) {
    std::map<std::string, float> scores;
    for (const std::string& character : characters) scores[character] = -100;
    for (int i = 0; i < 20; ++i) {
      std::string token;
      for (uint32_t n = 2 + random() % 4; n > 0; --n) token += characters[random() % characters.size()];
      scores[token] = -static_cast<float>(random() % 12);  // few values: ties matter
    }
    std::vector<Entry> entries;
    for (const auto& [text, score] : scores) entries.push_back({text, score});
    const Result<SentencePiece> pieces = SentencePiece::create(vocabulary_of(entries), {});
    for (int i = 0; i < 10; ++i) {
      std::string text;
      for (uint32_t n = random() % 20; n > 0; --n) text += characters[random() % characters.size()];
      ASSERT_EQ(pieces_of(*pieces, text), naive(scores, text)) << text;
    }
  }
}

}  // namespace
}  // namespace accelerate
