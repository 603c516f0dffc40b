#include "accelerate/engine/matryoshka.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace accelerate {
namespace {

using ::testing::HasSubstr;

EndpointInfo info(bool matryoshka, std::vector<uint32_t> dimensions = {}) {
  EndpointInfo out;
  out.name = "nest";
  out.embedding_width = 4;
  out.matryoshka = matryoshka;
  out.matryoshka_dimensions = std::move(dimensions);
  return out;
}

TEST(Matryoshka, OnlyModelsThatSayTheyAreOneAreCut) {
  EXPECT_TRUE(check_dimensions(info(false), 4)) << "the whole width";
  const Result<void> other = check_dimensions(info(false), 2);
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(other.error().message, HasSubstr("'nest' does not say"));
}

TEST(Matryoshka, TheLengthsAreThoseItWasTrainedFor) {
  for (const uint32_t dimensions : {1u, 3u, 4u}) EXPECT_TRUE(check_dimensions(info(true), dimensions)) << dimensions;
  for (const uint32_t dimensions : {0u, 5u}) EXPECT_FALSE(check_dimensions(info(true), dimensions)) << dimensions;
  EXPECT_TRUE(check_dimensions(info(true, {2}), 2));
  EXPECT_TRUE(check_dimensions(info(true, {2}), 4));
  EXPECT_THAT(check_dimensions(info(true, {2}), 3).error().message, HasSubstr("2 or 4"));
  EXPECT_FALSE(check_dimensions(info(true, {9}), 9)) << "there are no more numbers than the width";
}

TEST(Matryoshka, TheFrontIsBroughtBackToLengthOne) {
  EmbedReply reply{.vectors = {{3, 4, 12, 0}, {0, 0, 1, 0}}, .prompt_tokens = 0, .served_by = ""};
  cut_embeddings(reply, 4);
  EXPECT_EQ(reply.vectors[0], (std::vector<float>{3, 4, 12, 0})) << "not touched at its own width";
  cut_embeddings(reply, 2);
  EXPECT_EQ(reply.vectors[0], (std::vector<float>{0.6f, 0.8f}));
  EXPECT_EQ(reply.vectors[1], (std::vector<float>{0, 0})) << "no division by zero";
}

}  // namespace
}  // namespace accelerate
