#include "accelerate/base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace accelerate {
namespace {

ErrorCode refused(std::string_view text, const JsonLimits& limits = {}) {
  const Result<Json> parsed = parse_json(text, limits);
  EXPECT_FALSE(parsed) << text.substr(0, 80);
  return parsed ? ErrorCode::kUnknown : parsed.error().code;
}

TEST(Json, ReadsWhatIsJson) {
  const Result<Json> parsed = parse_json(R"({"a":[1,2.5,null,true,"\u00e9é"],"b":{}})");
  ASSERT_TRUE(parsed);
  EXPECT_EQ((*parsed)["a"][1], 2.5);
  EXPECT_EQ((*parsed)["a"][4], "éé");
}

TEST(Json, RefusesWhatIsNot) {
  for (const std::string_view text : {"", "{", "[1,]", "nul", "{\"a\":}", "{'a':1}", "1 2", "[1e999]", "\"\\ud800\"", "NaN", "// c\n1",
                                      "\"open", "]", "[[[}", "\xEF\xBB"}) {
    EXPECT_EQ(refused(text), ErrorCode::kInvalidArgument) << text;
  }
  EXPECT_EQ(refused(std::string_view("\0", 1)), ErrorCode::kInvalidArgument);
}

TEST(Json, RefusesIllFormedUtf8) {
  for (const std::string_view text : {"\"\xff\"", "\"\xc3\"", "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"", "\"\xc0\xaf\""}) {
    EXPECT_EQ(refused(text), ErrorCode::kInvalidArgument);
  }
}

TEST(Json, DepthIsBoundedBeforeAnythingRecurses) {
  const auto nested = [](int depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_TRUE(parse_json(nested(64)));
  EXPECT_EQ(refused(nested(65)), ErrorCode::kInvalidArgument);
  EXPECT_EQ(refused(nested(10'000'000)), ErrorCode::kInvalidArgument);
  EXPECT_EQ(refused(std::string(10'000'000, '[')), ErrorCode::kInvalidArgument);
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
  EXPECT_EQ(refused(objects), ErrorCode::kInvalidArgument);
  EXPECT_TRUE(parse_json(nested(3), {.depth_max = 3}));
  EXPECT_EQ(refused(nested(4), {.depth_max = 3}), ErrorCode::kInvalidArgument);
}

TEST(Json, ValuesAreCountedBeforeTheyAreMade) {
  EXPECT_TRUE(parse_json("[0,0]", {.values_max = 3}));
  EXPECT_EQ(refused("[0,0,0]", {.values_max = 3}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(refused("[[],[],[]]", {.values_max = 5}), ErrorCode::kInvalidArgument);
  EXPECT_TRUE(parse_json(R"(["a,b,[c"])", {.values_max = 2})) << "commas inside a string are no values";
}

TEST(Json, BracketsInsideStringsAreNoDepth) {
  EXPECT_TRUE(parse_json("\"" + std::string(1000, '[') + "\\\"" + std::string(1000, '{') + "\\\\\""));
}

TEST(Json, SizeIsBounded) {
  EXPECT_TRUE(parse_json("[1,2,3]", {.bytes_max = 7}));
  EXPECT_EQ(refused("[1,2,3]", {.bytes_max = 6}), ErrorCode::kResourceExhausted);
}

TEST(Json, ErrorsNameThePlaceAndStayShort) {
  const Result<Json> broken = parse_json("{\"a\": tru", {.where = "http"});
  ASSERT_FALSE(broken);
  EXPECT_THAT(broken.error().message, ::testing::StartsWith("[http] "));
  // The parser quotes what it read last: here ten million characters of a string that never ends.
  const Result<Json> huge = parse_json("[\"" + std::string(10'000'000, 'x'));
  ASSERT_FALSE(huge);
  EXPECT_LT(huge.error().message.size(), 500u);
  const Result<Json> bytes = parse_json("[\"\xff" + std::string(1000, 'x'));
  ASSERT_FALSE(bytes);
  EXPECT_TRUE(parse_json("[" + dump_json(bytes.error().message) + "]")) << "the message can be sent on";
}

TEST(Json, DumpNeverThrows) {
  EXPECT_EQ(dump_json(Json{{"a", 1}}), R"({"a":1})");
  EXPECT_EQ(dump_json(Json("a\xff" "b")), "\"a\xEF\xBF\xBD" "b\"");
  EXPECT_EQ(dump_json(Json{{"a", 1}}, 2), "{\n  \"a\": 1\n}");
  EXPECT_EQ(dump_json(Json(std::numeric_limits<double>::quiet_NaN())), "null");
}

TEST(Json, HugeOrderedObjectsAreRefusedAsTheyWouldTakeQuadraticTime) {
  std::string wide = "{\"a\":[0";
  for (int i = 0; i < 100'000; ++i) wide += ",0";
  wide += "]}";
  EXPECT_TRUE(parse_ordered_json(wide)) << "a list is no object";
  std::string many = "{\"x\":0";
  for (int i = 0; i < 6000; ++i) many += ",\"k" + std::to_string(i) + "\":0";
  EXPECT_FALSE(parse_ordered_json(many + "}"));
  EXPECT_TRUE(parse_json(many + "}"));
  EXPECT_TRUE(parse_ordered_json(many + "}", {.ordered_work_max = 40'000'000}));
}

TEST(Json, OrderedValuesKeepTheOrderOfTheText) {
  const std::string text = R"({"z":1,"a":{"y":[2.0],"b":null}})";
  const Result<OrderedJson> value = parse_ordered_json(text);
  ASSERT_TRUE(value);
  EXPECT_EQ(dump_ordered_json(*value), text);
  EXPECT_FALSE(parse_ordered_json("{", {.where = "http"}));
  EXPECT_FALSE(parse_ordered_json("[[]]", {.depth_max = 1}));
  EXPECT_EQ(dump_ordered_json(OrderedJson("a\xff" "b")), "\"a\xEF\xBF\xBD" "b\"");
}

TEST(JsonTest, MemberTextsAreAsWritten) {
  const std::string_view text = R"( {"a" : 1e2,"s":"x\"}{,", "o":{"z": [1, {"y":null}] , "a\u0062":{"q":"\\"}},"a":[ ] })";
  ASSERT_TRUE(parse_json(text));
  EXPECT_EQ(json_member_text(text, {"a"}), "[ ]") << "the last one";
  EXPECT_EQ(json_member_text(text, {"s"}), R"("x\"}{,")");
  EXPECT_EQ(json_member_text(text, {"o"}), R"({"z": [1, {"y":null}] , "a\u0062":{"q":"\\"}})");
  EXPECT_EQ(json_member_text(text, {"o", "z"}), R"([1, {"y":null}])");
  EXPECT_EQ(json_member_text(text, {"o", "ab", "q"}), R"("\\")") << "an escaped name";
  EXPECT_EQ(json_member_text(text, {"o", "y"}), "");
  EXPECT_EQ(json_member_text(text, {"s", "y"}), "");
  EXPECT_EQ(json_member_text("[1]", {"a"}), "");
  EXPECT_EQ(json_member_text("{}", {"a"}), "");
  EXPECT_EQ(json_member_text(R"({"n":-1})", {"n"}), "-1");
  EXPECT_EQ(json_member_text(R"({"n": true })", {"n"}), "true ") << "numbers and words up to the next sign";
}

}  // namespace
}  // namespace accelerate
