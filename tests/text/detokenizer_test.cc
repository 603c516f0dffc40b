#include "accelerate/text/detokenizer.h"

#include <random>

#include <gtest/gtest.h>

#include "tests/text/real_tokenizers.h"
#include "tests/text/spaced_tokenizer.h"

namespace accelerate {
namespace {

std::string in_steps(const std::shared_ptr<const Tokenizer>& tokenizer, const std::vector<uint32_t>& ids,
                     DetokenizerOptions options = {}) {
  Detokenizer detokenizer(tokenizer, options);
  std::string text;
  for (const uint32_t id : ids) {
    const std::string piece = detokenizer.push(id);
    EXPECT_TRUE(utf8_is_valid(piece));
    text += piece;
  }
  return text + detokenizer.finish();
}

TEST(Detokenizer, SpaceAtTheStartGoesOnlyAtTheStartOfAText) {
  const auto tokenizer = spaced_tokenizer();
  EXPECT_EQ(in_steps(tokenizer, {1, 8, 8, 2}), "a a");
  EXPECT_EQ(in_steps(tokenizer, {8, 8}, {.continues_text = true}), " a a");
  EXPECT_EQ(in_steps(tokenizer, {6, 7}), "a");
}

TEST(Detokenizer, BytesWaitForTheirCharacter) {
  Detokenizer detokenizer(spaced_tokenizer());
  EXPECT_EQ(detokenizer.push(7), "a");
  EXPECT_EQ(detokenizer.push(3), "");
  EXPECT_EQ(detokenizer.push(4), "");
  EXPECT_EQ(detokenizer.push(5), "你");
  EXPECT_EQ(detokenizer.push(3), "");
  EXPECT_EQ(detokenizer.push(7), "\xEF\xBF\xBD" "a");
  EXPECT_EQ(detokenizer.push(4), "\xEF\xBF\xBD");
  EXPECT_EQ(detokenizer.push(12345), "");
  EXPECT_EQ(detokenizer.finish(), "");
}

TEST(Detokenizer, ControlTokensShowWhenAsked) {
  EXPECT_EQ(in_steps(spaced_tokenizer(), {7, 9, 8}), "a a");
  EXPECT_EQ(in_steps(spaced_tokenizer(), {7, 9, 8}, {.skip_special = false}), "a</turn> a");
}

class RealDetokenizer : public ::testing::TestWithParam<const char*> {};

TEST_P(RealDetokenizer, StepsAddUpToDecode) {
  ACC_REAL_TOKENIZER_OR_SKIP(tokenizer, GetParam());
  std::mt19937 random(3);
  for (int round = 0; round < 200; ++round) {
    std::vector<uint32_t> ids(1 + random() % 20);
    for (uint32_t& id : ids) id = random() % tokenizer->size();
    ASSERT_EQ(in_steps(tokenizer, ids), utf8_repair(tokenizer->decode(ids)));
    ASSERT_EQ(in_steps(tokenizer, ids, {.skip_special = false}), utf8_repair(tokenizer->decode(ids, {.skip_special = false})));
  }
}
INSTANTIATE_TEST_SUITE_P(All, RealDetokenizer, ::testing::Values("smollm2", "gemma3", "qwen3"),
                         [](const auto& info) { return std::string(info.param); });

TEST(Detokenizer, WordPieceStepsAddUpToo) {
  ACC_REAL_TOKENIZER_OR_SKIP(tokenizer, "minilm");
  const auto ids = tokenizer->encode("Detokenization of unbelievable words, it's fine.");
  EXPECT_EQ(in_steps(tokenizer, *ids), tokenizer->decode(*ids));
}

}  // namespace
}  // namespace accelerate
