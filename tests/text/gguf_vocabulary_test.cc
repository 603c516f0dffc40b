#include "accelerate/text/gguf_vocabulary.h"

#include <gtest/gtest.h>

#include "accelerate/base/json.h"
#include "accelerate/text/limits.h"
#include "accelerate/text/tokenizer.h"

namespace accelerate {
namespace {

using TokenType = TokenizerSpec::TokenType;

TokenizerSpec::Vocabulary byte_level(const std::string& pre) {
  TokenizerSpec::Vocabulary vocabulary;
  vocabulary.model = "gpt2";
  vocabulary.pre = pre;
  vocabulary.tokens = {"<|im_end|>", "\n\n", "a", "b", "1", "2", "3", "Ġ", "Ċ", "ab", "Ġa", "12", "123", "\"", "\\"};
  vocabulary.types.assign(vocabulary.tokens.size(), TokenType::kNormal);
  vocabulary.types[0] = TokenType::kControl;
  vocabulary.types[1] = TokenType::kUserDefined;
  vocabulary.merges = {"a b", "Ġ a", "1 2", "12 3"};
  return vocabulary;
}

std::vector<uint32_t> encode(const TokenizerSpec& spec, std::string_view text, const EncodeOptions& options) {
  const auto tokenizer = Tokenizer::create(spec);
  EXPECT_TRUE(tokenizer.ok()) << (tokenizer.ok() ? "" : tokenizer.error().message);
  return *(*tokenizer)->encode(text, options);
}

TEST(GgufVocabulary, EachPreTokenizerBuildsATokenizer) {
  for (const std::string& pre : gguf_pre_tokenizers()) {
    TokenizerSpec spec;
    spec.vocabulary = byte_level(pre);
    spec.bos = 0;
    EXPECT_EQ(encode(spec, "ab a\n\n", {.add_special = false}), (std::vector<uint32_t>{9, 10, 1})) << pre;
  }
}

TEST(GgufVocabulary, PreTokenizersCutDigitsTheirOwnWay) {
  const auto digits = [](const std::string& pre) {
    TokenizerSpec spec;
    spec.vocabulary = byte_level(pre);
    spec.bos = 0;
    return encode(spec, "123", {.add_special = false});
  };
  EXPECT_EQ(digits("gpt-2"), (std::vector<uint32_t>{12}));
  EXPECT_EQ(digits("llama-bpe").size(), 1u);
  EXPECT_EQ(digits("qwen2"), (std::vector<uint32_t>{4, 5, 6}));
  EXPECT_EQ(digits("smollm"), (std::vector<uint32_t>{4, 5, 6}));
}

TEST(GgufVocabulary, LlamaThreeAddsBosUnlessTold) {
  TokenizerSpec spec;
  spec.vocabulary = byte_level("llama-bpe");
  spec.bos = 0;
  EXPECT_EQ(encode(spec, "ab", {}), (std::vector<uint32_t>{0, 9}));
  spec.add_bos = false;
  EXPECT_EQ(encode(spec, "ab", {}), (std::vector<uint32_t>{9}));
}

TEST(GgufVocabulary, QuotesSurviveTheJson) {
  const Result<std::string> json = gguf_tokenizer_json(byte_level("gpt-2"));
  ASSERT_TRUE(json.ok());
  const Json parsed = Json::parse(*json);
  EXPECT_EQ(parsed["model"]["vocab"]["\""], 13);
  EXPECT_EQ(parsed["model"]["vocab"]["\\"], 14);
  EXPECT_EQ(parsed["added_tokens"].size(), 2u);
  EXPECT_TRUE(parsed["added_tokens"][0]["special"]);
  EXPECT_FALSE(parsed["added_tokens"][1]["special"]);
}

TEST(GgufVocabulary, UnknownNamesAreRefusedByName) {
  Result<std::string> json = gguf_tokenizer_json(byte_level("klingon"));
  ASSERT_FALSE(json.ok());
  EXPECT_EQ(json.error().code, ErrorCode::kUnimplemented);
  EXPECT_NE(json.error().message.find("'klingon'"), std::string::npos);
  EXPECT_NE(json.error().message.find("smollm"), std::string::npos);
  TokenizerSpec::Vocabulary other = byte_level("gpt-2");
  other.model = "rwkv";
  json = gguf_tokenizer_json(other);
  ASSERT_FALSE(json.ok());
  EXPECT_NE(json.error().message.find("'rwkv'"), std::string::npos);
}

TEST(GgufVocabulary, WordPieceSpellingIsTurnedBack) {
  TokenizerSpec spec;
  spec.vocabulary = TokenizerSpec::Vocabulary{};
  spec.vocabulary->model = "bert";
  spec.vocabulary->tokens = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "▁play", "ing", "▁a"};
  spec.bos = 2;
  spec.eos = 3;
  EXPECT_EQ(encode(spec, "Playing à b", {}), (std::vector<uint32_t>{2, 4, 5, 6, 1, 3}));
  spec.bos.reset();
  spec.eos.reset();
  EXPECT_EQ(encode(spec, "a [CLS]", {}), (std::vector<uint32_t>{2, 6, 1, 1, 1, 3}));
  EXPECT_EQ(encode(spec, "a [CLS]", {.add_special = false, .parse_special = true}), (std::vector<uint32_t>{6, 2}));
}

TEST(GgufVocabulary, BrokenVocabulariesAreRefused) {
  const auto code = [](auto change) {
    TokenizerSpec spec;
    spec.vocabulary = byte_level("gpt-2");
    change(spec);
    const auto tokenizer = Tokenizer::create(spec);
    return tokenizer.ok() ? std::string("accepted") : std::string(error_code_traits(tokenizer.error().code).name);
  };
  EXPECT_EQ(code([](TokenizerSpec& spec) { spec.vocabulary->tokens.clear(); }), "data_loss");
  EXPECT_EQ(code([](TokenizerSpec& spec) { spec.vocabulary->types.pop_back(); }), "data_loss");
  EXPECT_EQ(code([](TokenizerSpec& spec) { spec.vocabulary->scores = {1.0f}; }), "data_loss");
  EXPECT_EQ(code([](TokenizerSpec& spec) { spec.vocabulary->tokens[2] = "\xFF"; }), "data_loss");
  EXPECT_EQ(code([](TokenizerSpec& spec) { spec.vocabulary->tokens[2] = std::string(limits::kTokenBytesMax + 1, 'a'); }), "data_loss");
  EXPECT_EQ(code([](TokenizerSpec& spec) { spec.vocabulary->merges = {"a nosuchtoken"}; }), "data_loss");
  EXPECT_EQ(code([](TokenizerSpec& spec) { spec.vocabulary->merges = {"\xFF b"}; }), "data_loss");
  EXPECT_EQ(code([](TokenizerSpec& spec) { spec.vocabulary->merges.clear(); }), "data_loss");
  EXPECT_EQ(code([](TokenizerSpec& spec) { spec.eos = 15; }), "data_loss");
  EXPECT_EQ(code([](TokenizerSpec& spec) { spec.end_of_generation = {99}; }), "data_loss");
  EXPECT_EQ(code([](TokenizerSpec& spec) { spec.add_bos = true; }), "data_loss");
  EXPECT_EQ(code([](TokenizerSpec& spec) { spec.vocabulary.reset(); }), "failed_precondition");
  EXPECT_EQ(code([](TokenizerSpec& spec) { spec.tokenizer_json = "{\"model\":"; }), "data_loss");
  EXPECT_EQ(code([](TokenizerSpec& spec) { spec.tokenizer_json = std::string(100000, '['); }), "data_loss");
  EXPECT_EQ(code([](TokenizerSpec&) {}), "accepted");
}

}  // namespace
}  // namespace accelerate
