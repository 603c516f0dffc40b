#include "accelerate/formats/token_ids.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace accelerate {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

constexpr const char* kBpe =
    R"({"version":"1.0","added_tokens":[{"id":7,"content":"<s>","special":true},{"content":"</s>","id":9}],)"
    R"("normalizer":{"id":1,"content":"no"},"model":{"type":"BPE","vocab":{"<s>":1,"a":3,"b":4},"merges":[["a","b"]]}})";

TEST(TokenIds, AddedTokensComeBeforeTheVocabulary) {
  EXPECT_THAT(*find_token_ids(kBpe, {"<s>", "a", "absent"}), ElementsAre(Pair("<s>", 7u), Pair("a", 3u)));
  EXPECT_THAT(*find_token_ids(kBpe, {"</s>"}), ElementsAre(Pair("</s>", 9u)));
  EXPECT_THAT(*find_token_ids(kBpe, {"no"}), IsEmpty());
  EXPECT_THAT(*find_token_ids(kBpe, {}), IsEmpty());
}

TEST(TokenIds, UnigramCountsPositions) {
  constexpr const char* kUnigram = R"({"added_tokens":[],"model":{"type":"Unigram","vocab":[["<unk>",0.0],["x",-1],["y",-2.5]]}})";
  EXPECT_THAT(*find_token_ids(kUnigram, {"<unk>", "y"}), ElementsAre(Pair("<unk>", 0u), Pair("y", 2u)));
}

TEST(TokenIds, StopsReadingWhenAllAreKnown) {
  const std::string cut = std::string(kBpe).substr(0, std::string(kBpe).find('}') + 1);
  EXPECT_THAT(*find_token_ids(cut, {"<s>"}), ElementsAre(Pair("<s>", 7u)));
  EXPECT_EQ(find_token_ids(cut, {"</s>"}).error().code, ErrorCode::kDataLoss);
  EXPECT_FALSE(find_token_ids("", {"a"}).ok());
  EXPECT_THAT(*find_token_ids("[[[{}]]]", {"a"}), IsEmpty());
  EXPECT_FALSE(find_token_ids(std::string(1 << 20, '['), {"a"}).ok());
}

}  // namespace
}  // namespace accelerate
