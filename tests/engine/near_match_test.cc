#include "accelerate/engine/near_match.h"

#include <gtest/gtest.h>

namespace accelerate {
namespace {

TEST(NearMatch, CountsEdits) {
  EXPECT_EQ(edit_distance("", ""), 0u);
  EXPECT_EQ(edit_distance("abc", ""), 3u);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
  EXPECT_EQ(edit_distance("smolm2", "smollm2"), 1u);
  EXPECT_EQ(edit_distance("mniilm", "minilm"), 1u) << "neighbours swapped count once";
}

TEST(NearMatch, FindsTypicalMistakesBestFirst) {
  const std::vector<std::string> known = {"gemma3", "minilm", "smollm2", "smollm2-old"};
  EXPECT_EQ(near_matches("smolm2", known), (std::vector<std::string>{"smollm2"}));
  EXPECT_EQ(near_matches("smollm", known), (std::vector<std::string>{"smollm2", "smollm2-old"}));
  EXPECT_EQ(near_matches("GEMMA", known), (std::vector<std::string>{"gemma3"}));
  EXPECT_EQ(near_matches("gemma-3", known), (std::vector<std::string>{"gemma3"}));
  EXPECT_TRUE(near_matches("whisper", known).empty());
  EXPECT_TRUE(near_matches("", known).empty());
}

TEST(NearMatch, UnderscoresAndDashesAreTheSame) {
  EXPECT_EQ(near_matches("max_tokens", {"max-tokens", "max"}).front(), "max-tokens");
}

TEST(NearMatch, IsBoundedInNumberAndInWordLength) {
  const std::vector<std::string> many = {"aaaa1", "aaaa2", "aaaa3", "aaaa4", "aaaa5", "aaaa6"};
  EXPECT_EQ(near_matches("aaaa", many).size(), kNearMatchesMax);
  EXPECT_TRUE(near_matches(std::string(1 << 20, 'x'), many).empty()) << "and it returned, in no time";
}

TEST(NearMatch, HintIsReadyToAppend) {
  EXPECT_EQ(near_match_hint("minilmm", {"minilm", "gemma3"}), "; near matches: minilm");
  EXPECT_EQ(near_match_hint("zzzzzz", {"minilm"}), "");
}

}  // namespace
}  // namespace accelerate
