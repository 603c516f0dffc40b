#include "accelerate/engine/fallback.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace accelerate {
namespace {

TEST(Fallback, NamesGoBothWays) {
  for (const Fallback fallback : {Fallback::kForbid, Fallback::kAllow, Fallback::kNotify}) EXPECT_EQ(*fallback_named(fallback_name(fallback)), fallback);
  const auto unknown = fallback_named("maybe");
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(unknown.error().message, ::testing::HasSubstr("forbid, allow or notify; got 'maybe'"));
}

}  // namespace
}  // namespace accelerate
