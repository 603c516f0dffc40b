#include "accelerate/serve/fields.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace accelerate {
namespace {

using ::testing::HasSubstr;

const Json kObject = Json::parse(R"({"n":3,"f":1.5,"s":"text","b":true,"null":null,"neg":-1,"huge":18446744073709551615,"exp":1e3})");

TEST(Fields, ReadsWhatIsThere) {
  Fields fields(kObject);
  std::string text;
  bool flag = false;
  float number = 0;
  std::optional<uint32_t> integer;
  std::optional<uint64_t> seed;
  fields.string("s", text);
  fields.boolean("b", flag);
  fields.number("f", {.low = 0, .high = 2}, number);
  fields.integer("n", {.low = 0, .high = 10}, integer);
  fields.seed("neg", seed);
  EXPECT_FALSE(fields.problem());
  EXPECT_EQ(text, "text");
  EXPECT_TRUE(flag);
  EXPECT_EQ(number, 1.5f);
  EXPECT_EQ(integer, 3u);
  EXPECT_EQ(seed, UINT64_MAX);
  fields.seed("huge", seed);
  EXPECT_EQ(seed, UINT64_MAX);
  fields.number("n", {.low = 0, .high = 10}, number);
  EXPECT_EQ(number, 3.0f) << "an integer is a number";
}

TEST(Fields, AbsentAndNullChangeNothing) {
  Fields fields(kObject);
  std::string text = "before";
  fields.string("null", text);
  fields.string("absent", text);
  EXPECT_EQ(text, "before");
  EXPECT_EQ(fields.find("null"), nullptr);
  EXPECT_FALSE(fields.problem());
}

ApiError problem_of(const std::function<void(Fields&)>& read) {
  Fields fields(kObject, "outer.");
  read(fields);
  EXPECT_TRUE(fields.problem());
  return fields.problem().value_or(ApiError{});
}

TEST(Fields, WrongTypesNameTheParameter) {
  std::string text;
  bool flag;
  float number;
  std::optional<uint32_t> integer;
  EXPECT_EQ(problem_of([&](Fields& f) { f.string("n", text); }).param, "outer.n");
  EXPECT_EQ(problem_of([&](Fields& f) { f.boolean("s", flag); }).code, "invalid_type");
  EXPECT_EQ(problem_of([&](Fields& f) { f.number("s", {.low = 0, .high = 1}, number); }).code, "invalid_type");
  EXPECT_THAT(problem_of([&](Fields& f) { f.integer("exp", {.low = 0, .high = 9999}, integer); }).message, HasSubstr("a decimal number"));
}

TEST(Fields, NamesAreOpenAis) {
  for (const std::string& name : {std::string("get_weather-2"), std::string(kNameCharactersMax, 'a')}) EXPECT_TRUE(is_api_name(name)) << name;
  for (const std::string& name : {std::string(), std::string("two words"), std::string("f()"), std::string("\xc3\xa9"), std::string(kNameCharactersMax + 1, 'a')}) {
    EXPECT_FALSE(is_api_name(name)) << name;
  }
}

TEST(Fields, RangesAreChecked) {
  float number = 0;
  std::optional<uint32_t> integer;
  const ApiError high = problem_of([&](Fields& f) { f.number("f", {.low = 0, .high = 1}, number); });
  EXPECT_EQ(high.code, "invalid_value");
  EXPECT_THAT(high.message, HasSubstr("1.5"));
  EXPECT_EQ(number, 0);
  EXPECT_EQ(problem_of([&](Fields& f) { f.integer("neg", {.low = 0, .high = 9}, integer); }).code, "invalid_value");
  EXPECT_EQ(problem_of([&](Fields& f) { f.integer("huge", {.low = 0, .high = INT32_MAX}, integer); }).code, "invalid_value");
}

TEST(Fields, TheFirstProblemStays) {
  Fields fields(kObject);
  bool flag;
  fields.boolean("n", flag);
  fields.boolean("s", flag);
  EXPECT_EQ(fields.problem()->param, "n");
}

TEST(Fields, ListsAndWideNumbers) {
  const Json object = Json::parse(R"({"list":["a","b"],"mixed":["a",1],"bytes":17179869184,"f":0.1,"neg":-1})");
  Fields fields(object);
  std::vector<std::string> list;
  uint64_t bytes = 0;
  std::optional<double> number;
  fields.strings("list", 2, list);
  fields.integer("bytes", {.low = 1, .high = INT64_MAX}, bytes);
  fields.number("f", {.low = 0, .high = 1}, number);
  EXPECT_FALSE(fields.problem());
  EXPECT_EQ(list, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(bytes, 17179869184u);
  EXPECT_EQ(number, 0.1) << "not by way of a float";
  const auto refused = [&](const std::function<void(Fields&)>& read) {
    Fields strict(object, "", "admin");
    read(strict);
    EXPECT_TRUE(strict.problem());
    return strict.problem().value_or(ApiError{}).message;
  };
  EXPECT_THAT(refused([&](Fields& f) { f.strings("list", 1, list); }), HasSubstr("[admin] 'list' has at most 1 entries; got 2"));
  EXPECT_THAT(refused([&](Fields& f) { f.strings("mixed", 2, list); }), HasSubstr("'mixed[1]' is a string; got an integer"));
  EXPECT_THAT(refused([&](Fields& f) { f.strings("f", 2, list); }), HasSubstr("a list of strings"));
  EXPECT_THAT(refused([&](Fields& f) { f.integer("neg", {.low = 0, .high = 5}, bytes); }), HasSubstr("between 0 and 5"));
  EXPECT_EQ(list.size(), 2u) << "a refused list changes nothing";
}

TEST(Fields, OnlyKnownMembersPassWhereThatIsAsked) {
  static constexpr std::string_view kNames[] = {"model", "rounds"};
  const auto problem_with = [&](const char* text) {
    const Json object = Json::parse(text);
    Fields fields(object, "", "admin");
    fields.only(kNames);
    return fields.problem();
  };
  EXPECT_FALSE(problem_with(R"({"model":1,"rounds":null})"));
  const auto typo = problem_with(R"({"model":"m","round":3})");
  ASSERT_TRUE(typo);
  EXPECT_EQ(typo->param, "round");
  EXPECT_EQ(typo->code, "unknown_parameter");
  EXPECT_THAT(typo->message, HasSubstr("near matches: rounds"));
  EXPECT_THAT(problem_with(R"({"zzzzzzzzzzzz":null})")->message, HasSubstr("try one of model, rounds")) << "null is no excuse";
}

}  // namespace
}  // namespace accelerate
