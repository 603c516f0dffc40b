#include "accelerate/formats/gguf_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/formats/gguf_writer.h"

namespace accelerate {
namespace {

using testing::AlignedBytes;
using testing::GgufWriter;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Result<std::optional<TokenizerSpec>> tokenizer(const GgufWriter& writer) {
  const AlignedBytes file = writer.build();
  const auto gguf = parse_gguf(file.span());
  if (!gguf) return gguf.error();
  return tokenizer_from_gguf(*gguf);
}

GgufWriter three_tokens() {
  return GgufWriter().text("tokenizer.ggml.model", "llama").texts("tokenizer.ggml.tokens", {"<s>", "</s>", "<end_of_turn>"});
}

TEST(GgufTokenizer, ReadsTheWholeVocabulary) {
  GgufWriter writer = three_tokens();
  writer.text("tokenizer.ggml.pre", "default").list<float>("tokenizer.ggml.scores", 6, {0, -1, -2});
  writer.list<int32_t>("tokenizer.ggml.token_type", 5, {3, 3, 3}).texts("tokenizer.ggml.merges", {"a b"});
  writer.u32("tokenizer.ggml.bos_token_id", 0).u32("tokenizer.ggml.eos_token_id", 1).u32("tokenizer.ggml.padding_token_id", UINT32_MAX);
  writer.boolean("tokenizer.ggml.add_bos_token", true).boolean("tokenizer.ggml.add_space_prefix", false);
  const auto spec = tokenizer(writer);
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  const TokenizerSpec& found = **spec;
  EXPECT_EQ(found.vocabulary->model, "llama");
  EXPECT_EQ(found.vocabulary->pre, "default");
  EXPECT_THAT(found.vocabulary->tokens, ElementsAre("<s>", "</s>", "<end_of_turn>"));
  EXPECT_THAT(found.vocabulary->scores, ElementsAre(0, -1, -2));
  EXPECT_EQ(found.vocabulary->types.size(), 3u);
  EXPECT_THAT(found.vocabulary->merges, ElementsAre("a b"));
  EXPECT_FALSE(found.vocabulary->add_space_prefix);
  EXPECT_EQ(found.bos, 0u);
  EXPECT_EQ(found.eos, 1u);
  EXPECT_EQ(found.padding, std::nullopt);
  EXPECT_EQ(found.add_bos, true);
  EXPECT_EQ(found.add_eos, std::nullopt);
  EXPECT_TRUE(found.end_of_generation.empty()) << "what ends a turn by its name is the Tokenizer's to find";
}

TEST(GgufTokenizer, AFileWithoutTokensHasNone) {
  const auto spec = tokenizer(GgufWriter().text("general.architecture", "llama"));
  ASSERT_TRUE(spec.ok());
  EXPECT_FALSE(spec->has_value());
}

TEST(GgufTokenizer, BoundsTheVocabularyBeforeCopyingIt) {
  const uint64_t count = kGgufTokensMax + 1;
  const std::string empty_texts = GgufWriter::raw<uint32_t>(8) + GgufWriter::raw(count) + std::string(8 * count, '\0');
  GgufWriter tokens;
  tokens.text("tokenizer.ggml.model", "gpt2").entry("tokenizer.ggml.tokens", 9, empty_texts);
  EXPECT_THAT(tokenizer(tokens).error().message, HasSubstr("at most 4194304 texts; got 4194305"));
  EXPECT_THAT(tokenizer(three_tokens().entry("tokenizer.ggml.merges", 9, empty_texts)).error().message, HasSubstr("tokenizer.ggml.merges"));
}

TEST(GgufTokenizer, RefusesContradictions) {
  EXPECT_THAT(tokenizer(GgufWriter().texts("tokenizer.ggml.tokens", {"a"})).error().message, HasSubstr("tokenizer.ggml.model"));
  EXPECT_THAT(tokenizer(three_tokens().list<float>("tokenizer.ggml.scores", 6, {1})).error().message, HasSubstr("holds 3 float32"));
  EXPECT_THAT(tokenizer(three_tokens().list<int32_t>("tokenizer.ggml.token_type", 5, {1, 1})).error().message, HasSubstr("holds 3 numbers"));
  EXPECT_THAT(tokenizer(three_tokens().list<int32_t>("tokenizer.ggml.token_type", 5, {1, 9, 1})).error().message, HasSubstr("9 for token 1"));
  EXPECT_THAT(tokenizer(three_tokens().list<int32_t>("tokenizer.ggml.merges", 5, {1})).error().message, HasSubstr("list of texts"));
  EXPECT_THAT(tokenizer(three_tokens().u32("tokenizer.ggml.eos_token_id", 3)).error().message, HasSubstr("below the 3 tokens"));
  EXPECT_THAT(tokenizer(three_tokens().text("tokenizer.ggml.eos_token_id", "x")).error().message, HasSubstr("whole number"));
  const auto numbers = tokenizer(GgufWriter().text("tokenizer.ggml.model", "llama").list<int32_t>("tokenizer.ggml.tokens", 5, {1}));
  EXPECT_THAT(numbers.error().message, HasSubstr("list of texts"));
}

}  // namespace
}  // namespace accelerate
