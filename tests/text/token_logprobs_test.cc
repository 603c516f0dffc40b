#include "accelerate/text/token_logprobs.h"

#include <cmath>

#include <gtest/gtest.h>

#include "tests/text/spaced_tokenizer.h"

namespace accelerate {
namespace {

const std::vector<float> kRow = {0.0f, 1.0f, 1.0f, -2.0f, 3.0f, 0.5f, -1.0f, 2.0f, 2.5f, -5.0f};

double logprob_of(uint32_t token) {
  double sum = 0;
  for (const float logit : kRow) sum += std::exp(double{logit});
  return kRow[token] - std::log(sum);
}

TEST(TokenLogprob, TheTokenAndTheLikeliestOnesInOrder) {
  const auto tokenizer = spaced_tokenizer();
  const TokenLogprob one = token_logprob(kRow, 3, 5, *tokenizer);
  EXPECT_EQ(one.token, 3u);
  EXPECT_EQ(one.bytes, "\xE4") << "part of a character";
  EXPECT_NEAR(one.logprob, logprob_of(3), 1e-6);
  std::vector<uint32_t> order;
  for (const TokenLogprob& entry : one.top) {
    order.push_back(entry.token);
    EXPECT_NEAR(entry.logprob, logprob_of(entry.token), 1e-6);
    EXPECT_EQ(entry.bytes, tokenizer->token_bytes(entry.token));
    EXPECT_TRUE(entry.top.empty());
  }
  EXPECT_EQ(order, (std::vector<uint32_t>{4, 8, 7, 1, 2})) << "of equals the lowest id first";
}

TEST(TokenLogprob, NoneOrAllOfTheRow) {
  const auto tokenizer = spaced_tokenizer();
  EXPECT_TRUE(token_logprob(kRow, 0, 0, *tokenizer).top.empty());
  const TokenLogprob all = token_logprob(kRow, 0, 20, *tokenizer);
  ASSERT_EQ(all.top.size(), kRow.size());
  double sum = 0;
  for (const TokenLogprob& entry : all.top) sum += std::exp(double{entry.logprob});
  EXPECT_NEAR(sum, 1, 1e-6);
}

}  // namespace
}  // namespace accelerate
