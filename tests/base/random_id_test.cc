#include "accelerate/base/random_id.h"

#include <algorithm>
#include <cctype>
#include <set>

#include <gtest/gtest.h>

namespace accelerate {
namespace {

TEST(RandomId, HasItsPrefixAndAlphanumericCharactersAndDiffers) {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const std::string id = random_id("call_");
    ASSERT_EQ(id.size(), 5u + 24u);
    EXPECT_TRUE(id.starts_with("call_"));
    EXPECT_TRUE(std::all_of(id.begin() + 5, id.end(), [](unsigned char c) { return std::isalnum(c) != 0; })) << id;
    seen.insert(id);
  }
  EXPECT_EQ(seen.size(), 1000u);
  EXPECT_EQ(random_id("", 9).size(), 9u);
}

}  // namespace
}  // namespace accelerate
