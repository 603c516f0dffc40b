#include "accelerate/text/json_scanner.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace accelerate {
namespace {

// Bytes taken of `text`.
size_t taken(std::string_view text, JsonScanner& scanner) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (!scanner.push(text[i])) return i;
  }
  return text.size();
}

TEST(JsonScanner, ObjectsEndWhereTheyEnd) {
  for (const std::string text : {"{}", "{ }", R"({"a":1})", R"({"a": [1, 2.5e-3, -0, [], {}], "b\"}": {"c": "}\\"}, "d": true})",
                                 R"({"n":null,"f":false,"u":"\u00e9\ud83d\ude00 \/\b\f\n\r\t"})", "{\"x\":0 ,\n\t\"y\" : 10E+2\r}", "{\"é\":\"🙂\"}"}) {
    JsonScanner scanner;
    ASSERT_EQ(taken(text, scanner), text.size()) << text;
    EXPECT_TRUE(scanner.done()) << text;
    EXPECT_TRUE(nlohmann::json::accept(text)) << text;
    EXPECT_FALSE(scanner.push(' ')) << "nothing behind the end";
  }
}

TEST(JsonScanner, WhatIsNoJsonIsRefusedAtItsFirstWrongByte) {
  const std::vector<std::pair<std::string, size_t>> cases = {
      {"[1]", 0}, {" {}", 0}, {"{a", 1}, {"{,", 1}, {R"({"a" 1)", 5}, {R"({"a":})", 5}, {R"({"a":1,})", 7}, {R"({"a":01)", 6}, {R"({"a":-})", 6},
      {R"({"a":1.})", 7}, {R"({"a":1e})", 7}, {R"({"a":+1)", 5}, {R"({"a":tru})", 8}, {R"({"a":nulll)", 9}, {"{\"a\":\"\n", 6},
      {R"({"a":"\x)", 7}, {R"({"a":"\u12g)", 10}, {R"({"a":[1})", 7}, {R"({"a":[1,])", 8}, {R"({"a":1]})", 6}, {R"({"a":'x')", 5},
      {R"({"a":1 2)", 7}, {R"({"a":NaN)", 5}, {R"({"a":1/**/})", 6}};
  for (const auto& [text, at] : cases) {
    JsonScanner scanner;
    EXPECT_EQ(taken(text, scanner), at) << text;
    EXPECT_FALSE(scanner.done()) << text;
  }
}

TEST(JsonScanner, DepthIsLimited) {
  JsonScanner scanner;
  const std::string deep = "{\"a\":" + std::string(JsonScanner::kDepthMax, '[');
  EXPECT_EQ(taken(deep, scanner), deep.size() - 1);
  EXPECT_EQ(scanner.depth(), JsonScanner::kDepthMax);
}

TEST(JsonScanner, KnowsWhereItIs) {
  JsonScanner scanner;
  EXPECT_EQ(taken(R"({"ke)", scanner), 4u);
  EXPECT_TRUE(scanner.in_key());
  EXPECT_EQ(taken(R"(y":)", scanner), 3u);
  EXPECT_TRUE(scanner.wants_value());
  EXPECT_FALSE(scanner.in_string());
  EXPECT_EQ(taken(R"( "v\)", scanner), 4u);
  EXPECT_TRUE(scanner.in_string());
  EXPECT_FALSE(scanner.in_key());
  EXPECT_EQ(taken("\"\", \"b\": {", scanner), 10u);
  EXPECT_EQ(scanner.depth(), 2u);
}

// Against a parser that is not ours: every single-byte change of an object is taken to its end exactly where that parser accepts it.
TEST(JsonScanner, AgreesWithTheLibraryOnMutations) {
  const std::string base = R"({"a":[1,-2.5e3,true,null],"b":{"c":"x\n\u0041"},"d":""})";
  for (size_t i = 0; i < base.size(); ++i) {
    for (int byte = 0x01; byte < 0x7F; ++byte) {
      std::string text = base;
      text[i] = static_cast<char>(byte);
      JsonScanner scanner;
      const bool whole = taken(text, scanner) == text.size() && scanner.done();
      EXPECT_EQ(whole, nlohmann::json::accept(text)) << text;
    }
  }
}

}  // namespace
}  // namespace accelerate
