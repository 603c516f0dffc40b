#include "accelerate/serve/json_body.h"

#include <array>

#include <gtest/gtest.h>

#include "accelerate/serve/openai_parse.h"

namespace accelerate {
namespace {

TEST(JsonBody, IsAnObjectWithinLimits) {
  EXPECT_TRUE(parse_body("{}").ok());
  EXPECT_EQ(parse_body("[]").error().status, 400);
  EXPECT_EQ(parse_body("").error().status, 400);
  EXPECT_EQ(parse_body("{\"a\":\"\xff\"}").error().status, 400);
  EXPECT_EQ(parse_body(std::string(size_t{33} << 20, ' ')).error().status, 413);
  EXPECT_EQ(parse_body("{\"a\":" + std::string(100, '[') + std::string(100, ']') + "}").error().status, 400);
}

TEST(JsonBody, RefusesMembersByNameUnlessTheyAskForNothing) {
  static constexpr std::array kRefusals = {
      Refusal{"a", nullptr, "no a"},
      Refusal{"b", [](const Json& value) { return value == 0; }, "no b"},
  };
  const auto problem = [](const char* body) {
    const Json json = *parse_json(body);
    Fields fields(json);
    refuse(fields, kRefusals);
    return fields.problem() ? fields.problem()->param + " " + fields.problem()->code : "";
  };
  EXPECT_EQ(problem("{}"), "");
  EXPECT_EQ(problem(R"({"a":null,"b":0})"), "");
  EXPECT_EQ(problem(R"({"a":0})"), "a unsupported_parameter");
  EXPECT_EQ(problem(R"({"b":1})"), "b unsupported_parameter");
}

}  // namespace
}  // namespace accelerate
