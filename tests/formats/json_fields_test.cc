#include "accelerate/formats/json_fields.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace accelerate {
namespace {

using ::testing::HasSubstr;

TEST(JsonFields, ReadsWhatIsThereAndLeavesTheRest) {
  const Json json = Json::parse(R"({"n": 3, "x": 0.5, "b": true, "t": "text", "nothing": null, "left": [1, 2], "word": "w"})");
  JsonFields fields(json, "file.json");
  uint32_t n = 0, absent = 7;
  double x = 0;
  std::optional<bool> b;
  std::optional<float> f;
  std::string t;
  EXPECT_TRUE(fields.integer("n", n).ok() && fields.integer("absent", absent).ok() && fields.integer("nothing", absent).ok());
  EXPECT_TRUE(fields.number("x", x).ok() && fields.number("x", f).ok() && fields.boolean("b", b).ok() && fields.text("t", t).ok());
  EXPECT_EQ(n, 3u);
  EXPECT_EQ(absent, 7u);
  EXPECT_EQ(x, 0.5);
  EXPECT_EQ(f, 0.5f);
  EXPECT_EQ(b, true);
  EXPECT_EQ(t, "text");
  EXPECT_EQ(fields.rest(), (std::map<std::string, std::string>{{"left", "[1,2]"}, {"word", "w"}}));
  fields.give_back("n");
  EXPECT_TRUE(fields.rest().contains("n"));
}

TEST(JsonFields, NamesFileFieldAndValueOfWhatIsWrong) {
  const Json json = Json::parse(R"({"n": -1, "big": 5000000000, "t": 1, "x": "1", "b": 1, "f": 1.5})");
  JsonFields fields(json, "file.json");
  uint32_t n = 0;
  double x = 0;
  std::optional<bool> b;
  std::string t;
  EXPECT_THAT(fields.integer("n", n).error().message, HasSubstr("n in file.json is a whole number of 32 bits; got '-1'"));
  EXPECT_FALSE(fields.integer("big", n).ok());
  EXPECT_FALSE(fields.integer("f", n).ok());
  EXPECT_FALSE(fields.text("t", t).ok());
  EXPECT_FALSE(fields.number("x", x).ok());
  EXPECT_FALSE(fields.boolean("b", b).ok());
}

TEST(JsonFields, WhatIsNoObjectHasNoFields) {
  const Json list = Json::array({1, 2});
  JsonFields fields(list, "file.json");
  uint32_t n = 5;
  EXPECT_TRUE(fields.integer("n", n).ok());
  EXPECT_EQ(n, 5u);
  EXPECT_TRUE(fields.rest().empty());
}

}  // namespace
}  // namespace accelerate
