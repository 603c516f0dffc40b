#include "accelerate/serve/api_keys.h"

#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "accelerate/base/sha256.h"
#include "tests/temporary.h"

namespace accelerate {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(ApiKeys, KnowsItsKeysAndNoOthers) {
  ApiKeys keys;
  EXPECT_TRUE(keys.empty());
  EXPECT_FALSE(keys.client_of("").has_value());
  ASSERT_TRUE(keys.add("sk-one").ok());
  ASSERT_TRUE(keys.add("sk-two").ok());
  ASSERT_TRUE(keys.add("sk-one").ok());
  EXPECT_EQ(keys.size(), 2u) << "one key twice is one key";
  EXPECT_EQ(keys.client_of("sk-one"), "key-" + sha256_hex("sk-one").substr(0, 8));
  EXPECT_EQ(keys.client_of("sk-two"), "key-" + sha256_hex("sk-two").substr(0, 8));
  for (const char* wrong : {"", "sk-on", "sk-onee", "SK-ONE", "sk-three"}) EXPECT_FALSE(keys.client_of(wrong).has_value()) << wrong;
  EXPECT_FALSE(keys.client_of(sha256_hex("sk-one")).has_value()) << "a leaked digest is no key";
}

TEST(ApiKeys, WhatFitsNoHeaderIsNoKey) {
  ApiKeys keys;
  for (const std::string& wrong : {std::string(), std::string("two words"), std::string("line\n"), std::string("\xc3\xa9"), std::string(kApiKeyBytesMax + 1, 'x')}) {
    const Result<void> added = keys.add(wrong);
    ASSERT_FALSE(added.ok()) << wrong;
    EXPECT_EQ(added.error().code, ErrorCode::kInvalidArgument);
    EXPECT_TRUE(wrong.empty() || added.error().message.find(wrong) == std::string::npos) << added.error().message;
  }
  EXPECT_TRUE(keys.add(std::string(kApiKeyBytesMax, 'x')).ok());
}

TEST(ApiKeys, ReadsFiles) {
  const TemporaryFolder folder;
  folder.write("keys", "# the team's\r\n\n  sk-one  \r\n\tsk-two\n#sk-three\nsk-four");
  ApiKeys keys;
  ASSERT_TRUE(keys.add_file(folder / "keys").ok());
  EXPECT_EQ(keys.size(), 3u);
  for (const char* key : {"sk-one", "sk-two", "sk-four"}) EXPECT_TRUE(keys.client_of(key).has_value()) << key;
  EXPECT_FALSE(keys.client_of("sk-three").has_value());
}

TEST(ApiKeys, BadFilesAreNamedAndTheirKeysAreNot) {
  const TemporaryFolder folder;
  folder.write("empty", "# nobody\n\n");
  folder.write("broken", "sk-one\nsk-two of ours\n");
  ApiKeys keys;
  EXPECT_EQ(keys.add_file(folder / "none").error().code, ErrorCode::kNotFound);
  EXPECT_THAT(keys.add_file(folder / "empty").error().message, HasSubstr("empty"));
  const Error broken = keys.add_file(folder / "broken").error();
  EXPECT_THAT(broken.message, HasSubstr("broken:2"));
  EXPECT_THAT(broken.message, Not(HasSubstr("sk-two")));
}

TEST(ApiKeys, SeesWhoMayRead) {
  const TemporaryFolder folder;
  folder.write("keys", "x");
  std::filesystem::permissions(folder / "keys", std::filesystem::perms(0644));
  EXPECT_TRUE(world_readable(folder / "keys"));
  std::filesystem::permissions(folder / "keys", std::filesystem::perms(0640));
  EXPECT_FALSE(world_readable(folder / "keys"));
  EXPECT_FALSE(world_readable(folder / "none"));
}

}  // namespace
}  // namespace accelerate
