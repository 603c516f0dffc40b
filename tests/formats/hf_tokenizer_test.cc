#include "accelerate/formats/hf_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/temporary.h"

namespace accelerate {
namespace {

using ::testing::ElementsAre;

constexpr const char* kTokenizer = R"({"added_tokens":[{"id":1,"content":"<s>"},{"id":2,"content":"</s>"}],"model":{"vocab":{"<unk>":0,"a":3}}})";

TEST(HfTokenizer, ResolvesSpecialTokensGivenAsTextOrObject) {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", kTokenizer);
  folder.write("tokenizer_config.json", R"({"bos_token":"<s>","eos_token":{"content":"</s>","lstrip":false},"unk_token":null,"chat_template":"T"})");
  folder.write("special_tokens_map.json", R"({"unk_token":"<unk>","pad_token":"nowhere"})");
  const auto tokenizer = read_hf_tokenizer(folder.path());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  EXPECT_EQ(tokenizer->spec->tokenizer_json, kTokenizer);
  EXPECT_EQ(tokenizer->spec->bos, 1u);
  EXPECT_EQ(tokenizer->spec->eos, 2u);
  EXPECT_EQ(tokenizer->spec->unknown, 0u);
  EXPECT_EQ(tokenizer->spec->padding, std::nullopt);
  EXPECT_EQ(tokenizer->spec->add_bos, std::nullopt);  // tokenizer.json's post-processor decides
  EXPECT_EQ(tokenizer->chat_template, "T");
}

TEST(HfTokenizer, FindsTheChatTemplateInAllItsPlaces) {
  const TemporaryFolder folder;
  folder.write("tokenizer_config.json", R"({"chat_template":[{"name":"tools","template":"X"},{"name":"default","template":"D"}]})");
  EXPECT_EQ(read_hf_tokenizer(folder.path())->chat_template, "D");
  folder.write("chat_template.jinja", "J");
  EXPECT_EQ(read_hf_tokenizer(folder.path())->chat_template, "J");
}

TEST(HfTokenizer, NoTokenizerIsNoError) {
  const TemporaryFolder folder;
  const auto tokenizer = read_hf_tokenizer(folder.path());
  ASSERT_TRUE(tokenizer.ok());
  EXPECT_FALSE(tokenizer->spec.has_value());
  EXPECT_TRUE(tokenizer->chat_template.empty());
}

TEST(HfTokenizer, BrokenFilesAreErrors) {
  const TemporaryFolder folder;
  folder.write("tokenizer_config.json", "{");
  EXPECT_FALSE(read_hf_tokenizer(folder.path()).ok());
  folder.write("tokenizer_config.json", R"({"bos_token":"<s>","chat_template":5})");
  EXPECT_FALSE(read_hf_tokenizer(folder.path()).ok());
  folder.write("tokenizer_config.json", R"({"bos_token":"<s>"})");
  folder.write("tokenizer.json", "{\"added_tokens\":[");
  EXPECT_EQ(read_hf_tokenizer(folder.path()).error().code, ErrorCode::kDataLoss);
}

TEST(HfTokenizer, AVocabularyFileBecomesAWordPieceVocabulary) {
  const TokenizerSpec spec = wordpiece_spec("[PAD]\n[UNK]\r\n[CLS]\n[SEP]\nword\n##ing\n##\n[");
  EXPECT_EQ(spec.vocabulary->model, "bert");
  EXPECT_THAT(spec.vocabulary->tokens, ElementsAre("[PAD]", "[UNK]", "[CLS]", "[SEP]", "\u2581word", "ing", "\u2581##", "\u2581["));
  EXPECT_EQ(spec.vocabulary->types[1], TokenizerSpec::TokenType::kUnknown);
  EXPECT_EQ(spec.vocabulary->types[2], TokenizerSpec::TokenType::kControl);
  EXPECT_EQ(spec.vocabulary->types[4], TokenizerSpec::TokenType::kNormal);
  EXPECT_EQ(spec.bos, 2u);
  EXPECT_EQ(spec.eos, 3u);
  EXPECT_EQ(spec.unknown, 1u);
  EXPECT_EQ(spec.padding, 0u);
  EXPECT_TRUE(wordpiece_spec("").vocabulary->tokens.empty());
}

TEST(HfTokenizer, VocabTxtIsTakenOnlyInLowerCase) {
  const TemporaryFolder folder;
  folder.write("vocab.txt", "[PAD]\n[UNK]\na\n");
  EXPECT_EQ(read_hf_tokenizer(folder.path())->spec->vocabulary->tokens.size(), 3u);
  folder.write("tokenizer_config.json", R"({"do_lower_case":false})");
  EXPECT_FALSE(read_hf_tokenizer(folder.path())->spec.has_value());
}

}  // namespace
}  // namespace accelerate
