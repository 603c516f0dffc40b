#include "accelerate/text/tokenizer.h"

#include <atomic>
#include <ctime>
#include <random>
#include <thread>

#include <gtest/gtest.h>

#include "accelerate/base/json.h"
#include "accelerate/text/limits.h"
#include "accelerate/text/utf8.h"
#include "tests/text/real_tokenizers.h"

namespace accelerate {
namespace {

using Ids = std::vector<uint32_t>;

Json golden(const std::string& name) {
  const auto text = read_file(std::filesystem::path(ACC_TEST_DATA) / "tokenizer" / (name + ".json"), testing::kTestFileBytesMax);
  EXPECT_TRUE(text.ok());
  return text.ok() ? Json::parse(*text) : Json::object();
}

class GoldenTokenizer : public ::testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(All, GoldenTokenizer, ::testing::Values("smollm2", "gemma3", "minilm", "qwen3"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(GoldenTokenizer, IdsOfHardInputs) {
  ACC_REAL_TOKENIZER_OR_SKIP(tokenizer, GetParam());
  const Json data = golden(GetParam());
  const Ids prefix = data["prefix"], suffix = data["suffix"];
  ASSERT_GT(data["cases"].size(), 80u);
  for (const Json& entry : data["cases"]) {
    const std::string text = entry["text"];
    const Ids ids = entry["ids"], plain = entry.contains("ids_plain") ? Ids(entry["ids_plain"]) : ids;
    const auto parsed = tokenizer->encode(text, {.add_special = false, .parse_special = true});
    ASSERT_TRUE(parsed.ok()) << parsed.error().message;
    EXPECT_EQ(*parsed, ids) << ::testing::PrintToString(text);
    EXPECT_EQ(*tokenizer->encode(text, {.add_special = false}), plain) << ::testing::PrintToString(text);
    Ids whole = prefix;
    whole.insert(whole.end(), plain.begin(), plain.end());
    whole.insert(whole.end(), suffix.begin(), suffix.end());
    EXPECT_EQ(*tokenizer->encode(text), whole) << ::testing::PrintToString(text);
  }
}

TEST_P(GoldenTokenizer, TextOfIds) {
  ACC_REAL_TOKENIZER_OR_SKIP(tokenizer, GetParam());
  const Json data = golden(GetParam());
  for (const Json& entry : data["cases"]) {
    const std::string text = entry["text"];
    const std::string expected = entry.contains("decoded") ? std::string(entry["decoded"]) : text;
    EXPECT_EQ(utf8_repair(tokenizer->decode(Ids(entry["ids"]), {.skip_special = false})), expected);
    if (!entry.contains("ids_plain")) continue;
    const std::string plain = entry.contains("decoded_plain") ? std::string(entry["decoded_plain"]) : expected;
    EXPECT_EQ(utf8_repair(tokenizer->decode(Ids(entry["ids_plain"]), {.skip_special = false})), plain);
  }
}

TEST_P(GoldenTokenizer, ControlTokensInUserTextStayText) {
  ACC_REAL_TOKENIZER_OR_SKIP(tokenizer, GetParam());
  int seen = 0;
  for (uint32_t id = 0; id < tokenizer->size() && seen < 400; ++id) {
    if (!tokenizer->is_control(id) || tokenizer->token_bytes(id).empty()) continue;
    ++seen;
    const std::string text = "say " + std::string(tokenizer->token_bytes(id)) + " now";
    const Ids plain = *tokenizer->encode(text, {.add_special = false});
    for (const uint32_t found : plain) {
      // WordPiece has no bytes to fall back on: its unknown token is what stands for text without a token.
      const bool unknown = !tokenizer->bytes_add_up() && tokenizer->token_bytes(found) == "[UNK]";
      EXPECT_TRUE(!tokenizer->is_control(found) || unknown) << text;
    }
    const Ids parsed = *tokenizer->encode(text, {.add_special = false, .parse_special = true});
    EXPECT_NE(std::find(parsed.begin(), parsed.end(), id), parsed.end()) << text;
  }
  EXPECT_GT(seen, 2);
}

std::string random_text(std::mt19937& random) {
  std::string text;
  for (uint32_t n = random() % 60; n > 0; --n) {
    switch (random() % 6) {
      case 0: text += static_cast<char>(random() % 0x80); break;
      case 1: text += ' '; break;
      case 2: text += "\n"; break;
      case 3: text += static_cast<char>('a' + random() % 26); break;
      case 4: {
        const uint32_t code = 0xA1 + random() % 0x250;
        text += static_cast<char>(0xC0 | code >> 6);
        text += static_cast<char>(0x80 | (code & 0x3F));
        break;
      }
      default: text += std::string("\xF0\x9F\x98") + static_cast<char>(0x80 + random() % 0x40);
    }
  }
  return text;
}

// SmolLM2's vocabulary lacks eight single bytes (tests/data/README.md), so control characters are left out. Qwen3 normalizes
// to NFC, which leaves the letters of random_text (below U+02F1) alone.
TEST(Tokenizer, DecodeUndoesEncode) {
  for (const char* name : {"smollm2", "qwen3", "gemma3"}) {
    ACC_REAL_TOKENIZER_OR_SKIP(tokenizer, name);
    std::mt19937 random(17);
    for (int round = 0; round < 1500; ++round) {
      std::string text = random_text(random);
      std::erase_if(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t'; });
      const Ids ids = *tokenizer->encode(text, {.add_special = false});
      ASSERT_EQ(tokenizer->decode(ids, {.skip_special = false}), text) << name;
    }
  }
}

TEST(Tokenizer, DefaultModelKnowsItsSpecialTokens) {
  ACC_REAL_TOKENIZER_OR_SKIP(tokenizer, "smollm2");
  EXPECT_EQ(tokenizer->size(), 49152u);
  EXPECT_EQ(tokenizer->bos(), std::optional<uint32_t>(1));
  EXPECT_EQ(tokenizer->eos(), std::optional<uint32_t>(2));
  EXPECT_EQ(tokenizer->bos_text(), "<|im_start|>");
  EXPECT_EQ(tokenizer->eos_text(), "<|im_end|>");
  EXPECT_EQ(Ids(tokenizer->end_of_generation().begin(), tokenizer->end_of_generation().end()), (Ids{0, 2}));
  EXPECT_TRUE(tokenizer->is_end_of_generation(2));
  EXPECT_FALSE(tokenizer->is_end_of_generation(1));
  EXPECT_TRUE(tokenizer->is_control(1));
  EXPECT_FALSE(tokenizer->is_control(504));
  EXPECT_EQ(tokenizer->find("<|im_end|>"), std::optional<uint32_t>(2));
  EXPECT_EQ(tokenizer->find("no such token at all"), std::nullopt);
  EXPECT_EQ(tokenizer->token_bytes(3575), " capital");
  EXPECT_EQ(tokenizer->token_bytes(49152), "");
}

// Some converters marked <|im_end|> as user-defined; a tokenizer.json says "special" where it means so.
TEST(Tokenizer, TurnsEndByNameInGgufVocabularies) {
  TokenizerSpec spec;
  spec.vocabulary = TokenizerSpec::Vocabulary{};
  spec.vocabulary->model = "llama";
  spec.vocabulary->tokens = {"<unk>", "<s>", "</s>", "<|im_end|>", "<|eot|>", "<|end|>", "a"};
  spec.vocabulary->scores = {0, 0, 0, 0, 0, 0, -1};
  using enum TokenizerSpec::TokenType;
  spec.vocabulary->types = {kUnknown, kControl, kControl, kUserDefined, kControl, kNormal, kNormal};
  spec.eos = 2;
  spec.add_bos = false;
  const auto tokenizer = Tokenizer::create(spec);
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  EXPECT_EQ(Ids((*tokenizer)->end_of_generation().begin(), (*tokenizer)->end_of_generation().end()), (Ids{2, 3, 4})) << "an ordinary token is text";
}

TEST(Tokenizer, GemmaEndsItsTurns) {
  ACC_REAL_TOKENIZER_OR_SKIP(tokenizer, "gemma3");
  EXPECT_EQ(tokenizer->size(), 262144u);
  EXPECT_TRUE(tokenizer->is_end_of_generation(1));
  EXPECT_TRUE(tokenizer->is_end_of_generation(106));  // <end_of_turn>
  EXPECT_FALSE(tokenizer->strips_leading_space());
  EXPECT_EQ(tokenizer->token_bytes(248), "\n");
}

TEST(Tokenizer, IllFormedTextIsRefusedOrRepaired) {
  ACC_REAL_TOKENIZER_OR_SKIP(tokenizer, "smollm2");
  const auto refused = tokenizer->encode("abc\xFF");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(refused.error().message.find("offset 3"), std::string::npos);
  const auto repaired = tokenizer->encode("abc\xFF", {.replace_invalid_utf8 = true});
  ASSERT_TRUE(repaired.ok());
  EXPECT_EQ(tokenizer->decode(*repaired), "abc\xEF\xBF\xBD");
}

TEST(Tokenizer, TooLongTextsAreErrorsNeverCut) {
  ACC_REAL_TOKENIZER_OR_SKIP(tokenizer, "smollm2");
  EXPECT_EQ(tokenizer->encode("one two three four", {.tokens_max = 4})->size(), 4u);
  EXPECT_EQ(tokenizer->encode("one two three four five", {.tokens_max = 4}).error().code, ErrorCode::kOutOfRange);
  EXPECT_EQ(tokenizer->encode(std::string(32 << 20, 'x'), {.tokens_max = 8192}).error().code, ErrorCode::kOutOfRange);
  const std::string huge(limits::kTextBytesMax + 1, 'x');
  EXPECT_EQ(tokenizer->encode(huge).error().code, ErrorCode::kResourceExhausted);
}

TEST(Tokenizer, ThreadsShareOne) {
  ACC_REAL_TOKENIZER_OR_SKIP(tokenizer, "smollm2");
  const std::string text = "The quick brown fox, it's 2026! <|im_end|> 你好\n\n  def f(x):\n    return x";
  const Ids expected = *tokenizer->encode(text);
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 200; ++round) {
        if (*tokenizer->encode(text) != expected) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

double thread_cpu_ms() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

// CPU time, so that a shared machine does not decide; the bounds are what a user notices, several times the 80 ms and 60 ms
// that were measured, because sanitizers and debug builds run this too.
TEST(Tokenizer, BuildsQuickly) {
  for (const auto& [name, ms_max] : std::vector<std::pair<std::string, double>>{{"smollm2", 500}, {"gemma3", 1500}}) {
    const auto spec = testing::real_spec(name);
    if (!spec) GTEST_SKIP() << testing::real_model_absent(testing::tokenizer_file(name));
    const double begin = thread_cpu_ms();
    ASSERT_TRUE(Tokenizer::create(*spec).ok());
    const double ms = thread_cpu_ms() - begin;
    std::printf("%s: %.0f ms of CPU\n", name.c_str(), ms);
    EXPECT_LT(ms, ms_max);
  }
}

// A vocabulary of whole words and the given post-processor.
Result<std::shared_ptr<const Tokenizer>> words_with(const std::string& post_processor) {
  TokenizerSpec spec;
  spec.tokenizer_json = R"({"version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": {"type": "Whitespace"}, "decoder": null,
    "post_processor": )" + post_processor + R"(, "model": {"type": "WordLevel", "unk_token": "?", "vocab": {"?": 0, "[C]": 1, "[S]": 2, "a": 3, "b": 4, "c": 5}}})";
  return Tokenizer::create(spec);
}

std::string pair_template(const std::string& type_b) {
  return R"({"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [{"SpecialToken": {"id": "[C]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[S]", "type_id": 0}},
             {"Sequence": {"id": "B", "type_id": )" + type_b + R"(}}, {"SpecialToken": {"id": "[S]", "type_id": )" + type_b + R"(}}],
    "special_tokens": {"[C]": {"id": "[C]", "ids": [1], "tokens": ["[C]"]}, "[S]": {"id": "[S]", "ids": [2], "tokens": ["[S]"]}}})";
}

TEST(TokenizerPairs, GoThroughTheFilesOwnTemplate) {
  const auto tokenizer = words_with(pair_template("1"));
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  const auto pair = (*tokenizer)->encode_pair("a b", "c a b");
  ASSERT_TRUE(pair.ok()) << pair.error().message;
  EXPECT_EQ(pair->tokens, (Ids{1, 3, 4, 2, 5, 3, 4, 2}));
  EXPECT_EQ(pair->second_begin, 4u);
  EXPECT_EQ(pair->second_tokens, 3u);
  const auto cut = (*tokenizer)->encode_pair("a b", "c a b", {.second_tokens_max = 2});
  EXPECT_EQ(cut->tokens, (Ids{1, 3, 4, 2, 5, 3, 2}));
  EXPECT_EQ(cut->second_tokens, 3u) << "before it was cut";
  EXPECT_EQ((*tokenizer)->encode_pair("", "")->tokens, (Ids{1, 2, 2}));
  EXPECT_EQ((*tokenizer)->encode_pair("a", "\xff").error().code, ErrorCode::kInvalidArgument);
  const std::string huge(limits::kEncoderTextBytesMax + 1, 'a');
  EXPECT_EQ((*tokenizer)->encode_pair("a", huge).error().code, ErrorCode::kOutOfRange);
  EXPECT_EQ((*tokenizer)->encode(huge, {.tokens_max = 8}).error().code, ErrorCode::kOutOfRange) << "one word of unknown letters, but not for free";
}

TEST(TokenizerPairs, ATemplateWithoutSegmentsHasNoSecondBegin) {
  const auto tokenizer = words_with(pair_template("0"));
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  const auto pair = (*tokenizer)->encode_pair("a", "b");
  ASSERT_TRUE(pair.ok()) << pair.error().message;
  EXPECT_EQ(pair->second_begin, pair->tokens.size());
}

TEST(TokenizerPairs, StrangeSegmentsAndVocabulariesAreRefused) {
  const auto three = words_with(pair_template("2"));
  ASSERT_TRUE(three.ok()) << three.error().message;
  EXPECT_EQ((*three)->encode_pair("a", "b").error().code, ErrorCode::kInvalidArgument);
  TokenizerSpec spec;
  spec.vocabulary = TokenizerSpec::Vocabulary();
  spec.vocabulary->model = "bert";
  spec.vocabulary->tokens = {"[UNK]", "[CLS]", "[SEP]", "\u2581a"};
  spec.unknown = 0;
  const auto word_piece = Tokenizer::create(spec);
  ASSERT_TRUE(word_piece.ok()) << word_piece.error().message;
  EXPECT_EQ((*word_piece)->encode_pair("a", "a").error().code, ErrorCode::kUnimplemented);
}

// A tokenizer of the words "a" and "b" with one part of its file replaced.
Result<std::shared_ptr<const Tokenizer>> file_with(const std::string& part, const Json& value) {
  Json file = Json::parse(R"({"version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": {"type": "Whitespace"}, "decoder": null,
    "post_processor": null, "model": {"type": "WordLevel", "unk_token": "?", "vocab": {"?": 0, "a": 1, "b": 2}}})");
  file[part] = value;
  TokenizerSpec spec;
  spec.tokenizer_json = file.dump();
  return Tokenizer::create(spec);
}

void expect_refused(const std::string& part, const Json& value, std::string_view why) {
  const auto tokenizer = file_with(part, value);
  ASSERT_FALSE(tokenizer.ok()) << why;
  EXPECT_EQ(tokenizer.error().code, ErrorCode::kDataLoss);
  EXPECT_NE(tokenizer.error().message.find(why), std::string::npos) << tokenizer.error().message;
}

TEST(TokenizerFiles, WithStepsThatBlowUpAreRefused) {
  const Json grow = Json::parse(R"({"type": "Replace", "pattern": {"String": "a"}, "content": "aa"})");
  const auto chain = [](const char* name, const Json& step, size_t times) {
    return Json{{"type", "Sequence"}, {name, Json(times, step)}};
  };
  EXPECT_EQ(*(*file_with("normalizer", chain("normalizers", Json::parse(R"({"type": "Lowercase"})"), 64)))->encode("A b"), (Ids{1, 2}));
  expect_refused("normalizer", chain("normalizers", grow, 40), "64 times as long");
  expect_refused("decoder", chain("decoders", grow, 40), "64 times as long");
  expect_refused("normalizer", chain("normalizers", chain("normalizers", grow, 6), 6), "64 times as long");
  expect_refused("normalizer", Json{{"type", "Replace"}, {"pattern", {{"Regex", ""}}}, {"content", std::string(100, 'x')}}, "64 times as long");
  expect_refused("pre_tokenizer", chain("pretokenizers", Json::parse(R"({"type": "Whitespace"})"), 65), "at most 64 steps");
  expect_refused("model", Json::parse(R"({"type": "WordPiece", "unk_token": "?", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100000000,
    "vocab": {"?": 0, "a": 1}})"), "max_input_chars_per_word");
  expect_refused("normalizer", chain("normalizers", Json::parse(R"({"type": "Precompiled", "precompiled_charsmap": "/////wAAAA=="})"), 1), "trie of 4294967295");
}

TEST(TokenizerFiles, WithTemplatesThatBlowUpAreRefused) {
  Json pair = Json::parse(pair_template("1"));
  const Json text = pair["single"][0];
  pair["single"] = Json(2, text);
  expect_refused("post_processor", pair, "each text once");
  pair["single"] = Json(1, text);
  pair["special_tokens"]["[S]"]["ids"] = Json(1000, 2);
  pair["special_tokens"]["[S]"]["tokens"] = Json(1000, "[S]");
  expect_refused("post_processor", pair, "'[S]' has more");
}

TEST(TokenizerFiles, WithIdsOutOfRangeAreRefused) {
  expect_refused("model", Json::parse(R"({"type": "WordLevel", "unk_token": "?", "vocab": {"?": 0, "a": 4294967294}})"), "4294967294");
  expect_refused("model", Json{{"type", "WordLevel"}, {"unk_token", "?"}, {"vocab", {{"?", 0}, {std::string(2000, 'x'), 1}}}}, "at most 1024 bytes");
  const auto tokenizer = file_with("post_processor", Json::parse(R"({"type": "BertProcessing", "sep": ["[SEP]", 102], "cls": ["[CLS]", 101]})"));
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  EXPECT_EQ((*tokenizer)->encode("a").error().code, ErrorCode::kDataLoss);
  EXPECT_EQ((*tokenizer)->encode_pair("a", "b").error().code, ErrorCode::kDataLoss);
  EXPECT_EQ(*(*tokenizer)->encode("a", {.add_special = false}), (Ids{1}));
}

TEST(TokenizerFiles, ThatBreakOffInADecoderAreBrokenContent) {
  TokenizerSpec spec;
  spec.tokenizer_json = R"({"version": "1.0", "decoder": {"type": "ByteLevel", nul)";
  const auto tokenizer = Tokenizer::create(spec);
  ASSERT_FALSE(tokenizer.ok());
  EXPECT_EQ(tokenizer.error().code, ErrorCode::kDataLoss);
  EXPECT_EQ(tokenizer.error().message.find("panicked"), std::string::npos) << "as the library does over it";
}

}  // namespace
}  // namespace accelerate
