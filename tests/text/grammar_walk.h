// Walks texts through the masks of a grammar, token by token, over a vocabulary of all bytes and some longer pieces.
#pragma once

#include <cmath>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "accelerate/base/check.h"
#include "accelerate/text/grammar.h"

namespace accelerate::testing {

/// Ids 0 to 255 are the bytes; then pieces as JSON texts are made of; then control tokens, the last one ends answers.
inline std::shared_ptr<const Tokenizer> byte_tokenizer() {
  static const std::shared_ptr<const Tokenizer> tokenizer = [] {
    TokenizerSpec spec;
    spec.vocabulary = TokenizerSpec::Vocabulary{};
    TokenizerSpec::Vocabulary& vocabulary = *spec.vocabulary;
    vocabulary.model = "llama";
    const auto add = [&](const std::string& text, TokenizerSpec::TokenType type) {
      vocabulary.tokens.push_back(text);
      vocabulary.scores.push_back(-static_cast<float>(vocabulary.scores.size()));
      vocabulary.types.push_back(type);
    };
    for (int byte = 0; byte < 256; ++byte) add(fmt::format("<0x{:02X}>", byte), TokenizerSpec::TokenType::kByte);
    for (const char* piece : {"{\"", "\":", "\",▁\"", "\",", "\"}", "}}", "]}", "},", "true", "false", "null", "na", "me", "name",
                              "▁1", "12", "123", "0.", ".5", "[1", "1]", "\\\"", "\\n", "\\\\", "▁▁", "a\"", "ab", "abc", "é", "本",
                              "call", "<call", "<call>", "1,", "\":▁", "\":▁\"", "yes", "no", "▁the"}) {
      add(piece, TokenizerSpec::TokenType::kNormal);
    }
    for (const char* control : {"<unk>", "<s>", "<|tool|>", "</s>"}) add(control, TokenizerSpec::TokenType::kControl);
    spec.add_bos = false;
    spec.eos = static_cast<uint32_t>(vocabulary.tokens.size() - 1);
    auto made = Tokenizer::create(spec);
    CHECK(made.ok(), made.ok() ? "" : made.error().message);  // not EXPECT: the fuzzer has no GoogleTest
    return *made;
  }();
  return tokenizer;
}

/// `text` cut into tokens: by single bytes where `random` is null, otherwise anyhow.
inline std::vector<uint32_t> spelled(const Tokenizer& tokenizer, std::string_view text, std::mt19937* random = nullptr) {
  std::vector<uint32_t> ids;
  while (!text.empty()) {
    std::vector<uint32_t> fitting;
    for (uint32_t id = 0; id < tokenizer.size(); ++id) {
      const std::string_view bytes = tokenizer.token_bytes(id);
      const bool usable = !bytes.empty() && !tokenizer.is_control(id) && !tokenizer.is_end_of_generation(id);
      if (usable && text.starts_with(bytes) && (random != nullptr || bytes.size() == 1)) fitting.push_back(id);
    }
    EXPECT_FALSE(fitting.empty()) << text;
    if (fitting.empty()) return ids;
    ids.push_back(random == nullptr ? fitting.front() : fitting[(*random)() % fitting.size()]);
    text.remove_prefix(tokenizer.token_bytes(ids.back()).size());
  }
  return ids;
}

inline bool allows(GrammarMatcher& matcher, uint32_t vocabulary, uint32_t token) {
  std::vector<float> row(vocabulary, 0.0f);
  const Result<void> masked = matcher.mask(row);
  return masked.ok() && row[token] == 0.0f;
}

/// Whether every one of `ids` is allowed in its turn and the answer may end after them.
inline bool walks(GrammarMatcher& matcher, const Tokenizer& tokenizer, const std::vector<uint32_t>& ids) {
  for (const uint32_t id : ids) {
    if (matcher.must_end() || !allows(matcher, tokenizer.size(), id) || !matcher.accept(id)) return false;
  }
  return matcher.may_end() && (matcher.must_end() || allows(matcher, tokenizer.size(), *tokenizer.eos()));
}

}  // namespace accelerate::testing
