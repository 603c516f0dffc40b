#include "accelerate/formats/hf_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/temporary.h"

namespace accelerate {
namespace {

TEST(HfFiles, AnAbsentFileIsNothing) {
  const TemporaryFolder folder;
  EXPECT_EQ(*read_text_if_there(folder.path() / "none", 10), std::nullopt);
  EXPECT_TRUE(read_json_if_there(folder.path() / "none.json")->is_null());
}

TEST(HfFiles, ReadsWithinTheLimitAndNamesTheBrokenFile) {
  const TemporaryFolder folder;
  folder.write("a.txt", "hello");
  folder.write("a.json", "{\"k\":1}");
  folder.write("b.json", "{\"k\":");
  EXPECT_EQ(*read_text_if_there(folder.path() / "a.txt", 5), "hello");
  EXPECT_EQ(read_text_if_there(folder.path() / "a.txt", 4).error().code, ErrorCode::kResourceExhausted);
  EXPECT_EQ((*read_json_if_there(folder.path() / "a.json"))["k"], 1);
  EXPECT_THAT(read_json_if_there(folder.path() / "b.json").error().message, ::testing::HasSubstr("b.json)"));
}

}  // namespace
}  // namespace accelerate
