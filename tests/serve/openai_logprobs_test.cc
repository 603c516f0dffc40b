#include "accelerate/serve/openai_logprobs.h"

#include <gtest/gtest.h>

namespace accelerate {
namespace {

const std::vector<TokenLogprob> kTokens = {
    {.token = 1, .logprob = -0.25f, .bytes = "né", .top = {{.token = 1, .logprob = -0.25f, .bytes = "né", .top = {}},
                                                              {.token = 9, .logprob = -3.0f, .bytes = "x", .top = {}}}},
    {.token = 2, .logprob = -1.0f, .bytes = "\xe4\xbd", .top = {{.token = 4, .logprob = -0.5f, .bytes = "\xa0", .top = {}}}},
    {.token = 3, .logprob = -2.0f, .bytes = "\xa0", .top = {}}};

TEST(OpenAiLogprobs, ChatShape) {
  const Json out = chat_logprobs(kTokens);
  EXPECT_TRUE(out["refusal"].is_null());
  ASSERT_EQ(out["content"].size(), 3u);
  const Json& first = out["content"][0];
  EXPECT_EQ(first["token"], "né");
  EXPECT_EQ(first["logprob"], -0.25f);
  EXPECT_EQ(first["bytes"], Json({0x6e, 0xc3, 0xa9}));
  ASSERT_EQ(first["top_logprobs"].size(), 2u);
  EXPECT_EQ(first["top_logprobs"][1], Json({{"token", "x"}, {"logprob", -3.0f}, {"bytes", {0x78}}}));
  EXPECT_EQ(out["content"][1]["token"], "\xef\xbf\xbd") << "a part of a character";
  EXPECT_EQ(out["content"][1]["bytes"], Json({0xe4, 0xbd}));
  EXPECT_EQ(out["content"][2]["top_logprobs"], Json::array());
  EXPECT_NO_THROW(out.dump());
}

TEST(OpenAiLogprobs, LegacyShape) {
  size_t offset = 10;
  const Json out = text_logprobs(kTokens, offset);
  EXPECT_EQ(out["tokens"], Json({"né", "bytes:\\xe4\\xbd", "bytes:\\xa0"}));
  EXPECT_EQ(out["token_logprobs"], Json({-0.25f, -1.0f, -2.0f}));
  EXPECT_EQ(out["top_logprobs"][0], Json({{"né", -0.25f}, {"x", -3.0f}}));
  EXPECT_EQ(out["top_logprobs"][1].size(), 2u) << "the alternative and the token itself";
  EXPECT_EQ(out["text_offset"], Json({10, 12, 13})) << "characters, a split one where it begins";
  EXPECT_EQ(offset, 13u);
}

TEST(OpenAiLogprobs, LegacyWithoutAlternatives) {
  size_t offset = 0;
  const std::vector<TokenLogprob> tokens = {{.token = 1, .logprob = -1.0f, .bytes = "a", .top = {}}};
  const Json out = text_logprobs(tokens, offset);
  EXPECT_TRUE(out["top_logprobs"].is_null());
  EXPECT_EQ(text_logprobs({}, offset)["tokens"], Json::array());
}

}  // namespace
}  // namespace accelerate
