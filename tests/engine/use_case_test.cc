#include "accelerate/engine/use_case.h"

#include <gtest/gtest.h>

namespace accelerate {
namespace {

TEST(UseCase, PresetsAreFoundByNameAndTheRestIsListed) {
  for (const char* name : {"chat", "rag", "batch", "embeddings", "completion"}) EXPECT_EQ(use_case_named(name)->name, name);
  EXPECT_EQ(use_case_named("embeddings")->generate_tokens, 0u);
  const auto refused = use_case_named("poem");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(refused.error().message.find("chat, rag, batch"), std::string::npos);
}

TEST(UseCase, NearShapesShareABucket) {
  EXPECT_EQ(shape_bucket(*use_case_named("chat")), "p512-g128-b1");
  EXPECT_EQ(shape_bucket({.prompt_tokens = 400, .generate_tokens = 100, .concurrency = 1}), "p512-g128-b1");
  EXPECT_EQ(shape_bucket({.prompt_tokens = 513, .generate_tokens = 0, .concurrency = 3}), "p1024-g0-b4");
  EXPECT_EQ(shape_bucket({.prompt_tokens = UINT32_MAX, .generate_tokens = 1, .concurrency = 0}), "p1073741824-g1-b1");
}

TEST(UseCase, ABucketReadsBack) {
  for (const UseCase& use : use_cases()) {
    const auto back = use_case_of_bucket(shape_bucket(use));
    ASSERT_TRUE(back);
    EXPECT_EQ(shape_bucket(*back), shape_bucket(use));
  }
  for (const char* text : {"", "p", "p1-g2", "p1-g2-b3x", "p99999999999-g1-b1", "probe 1"}) EXPECT_FALSE(use_case_of_bucket(text)) << text;
}

}  // namespace
}  // namespace accelerate
