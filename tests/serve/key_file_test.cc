#include "accelerate/serve/key_file.h"

#include <gtest/gtest.h>

#include "accelerate/serve/api_keys.h"
#include "tests/temporary.h"

namespace accelerate {
namespace {

TEST(KeyFile, KnowsWhatAKeyIs) {
  EXPECT_TRUE(is_key("sk-1~!"));
  for (const std::string& none : {std::string(), std::string("a b"), std::string("a\n"), std::string("\xc3\xa4"), std::string(kApiKeyBytesMax + 1, 'x')}) EXPECT_FALSE(is_key(none)) << none;
}

TEST(KeyFile, GivesItsKeysInOrder) {
  TemporaryFolder folder;
  folder.write("keys", "# comment\n\n  second \r\nfirst\n");
  const auto keys = read_key_file(folder / "keys");
  ASSERT_TRUE(keys.ok());
  EXPECT_EQ(*keys, (std::vector<std::string>{"second", "first"}));
  folder.write("none", "# nothing\n");
  EXPECT_EQ(read_key_file(folder / "none").error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace accelerate
