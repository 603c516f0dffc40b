// JSON Schema both ways: no keyword passes unenforced, and what a schema allows can come out.
#include <array>
#include <chrono>
#include <functional>

#include <fmt/format.h>

#include "accelerate/text/limits.h"
#include "tests/text/grammar_walk.h"

namespace accelerate {
namespace {

using testing::byte_tokenizer;
using testing::spelled;
using testing::walks;

GrammarEngine& engine() {
  static const std::shared_ptr<GrammarEngine> engine = GrammarEngine::create(byte_tokenizer());
  return *engine;
}

Result<std::unique_ptr<GrammarMatcher>> compile(const std::string& schema) { return engine().matcher({Grammar::Kind::kJsonSchema, schema}); }

// By bytes, and in ways drawn at random, which must not differ.
bool can_say(const std::string& schema, const std::string& text) {
  std::optional<bool> answer;
  std::mt19937 random(7);
  for (int i = 0; i < 4; ++i) {
    auto matcher = compile(schema);
    EXPECT_TRUE(matcher.ok()) << schema << " " << matcher.error().message;
    if (!matcher) return false;
    const bool walked = walks(**matcher, *byte_tokenizer(), spelled(*byte_tokenizer(), text, i == 0 ? nullptr : &random));
    EXPECT_EQ(answer.value_or(walked), walked) << text;
    answer = walked;
  }
  return *answer;
}

struct Case {
  const char* keyword;
  const char* schema;
  const char* valid;     // null where the schema is refused
  const char* violating; // only the keyword
};

// Every keyword of draft 2020-12 and of the drafts before it that validates, and what else changes what a schema means.
const Case kCases[] = {
    {"type", R"({"type": "string"})", R"("a")", "1"},
    {"type", R"({"type": ["null", "integer"]})", "null", R"("a")"},
    {"enum", R"({"enum": [1, "a", [true], {"k": null}, 1.5]})", R"({"k":null})", "2"},
    {"const", R"({"const": {"a": [1, "x"]}})", R"({"a":[1,"x"]})", R"({"a":[1,"y"]})"},
    {"multipleOf", R"({"type": "integer", "multipleOf": 7})", "-21", "20"},
    {"multipleOf", R"({"type": "number", "multipleOf": 0.25})", "1.75", "1.8"},
    {"maximum", R"({"type": "integer", "maximum": 99})", "99", "100"},
    {"exclusiveMaximum", R"({"type": "integer", "exclusiveMaximum": 99})", "98", "99"},
    {"minimum", R"({"type": "number", "minimum": -1.5})", "-1.5", "-1.6"},
    {"exclusiveMinimum", R"({"type": "number", "exclusiveMinimum": 0})", "0.1", "0"},
    {"maxLength", R"({"type": "string", "maxLength": 3})", R"("本é\n")", R"("abcd")"},
    {"minLength", R"({"type": "string", "minLength": 3})", R"("abc")", R"("ab")"},
    {"pattern", R"({"type": "string", "pattern": "^a+b?$"})", R"("aab")", R"("aac")"},
    {"pattern", R"({"type": "string", "pattern": "b"})", R"("abc")", R"("aac")"},
    {"pattern", R"({"type": "string", "pattern": "^[^\"]*$"})", R"("a")", R"("a\"b")"},
    {"pattern", R"({"type": "string", "pattern": "^[^\\\\]*$"})", R"("a")", R"("a\\b")"},
    {"pattern", R"({"type": "string", "pattern": "^(?<stop>a)b$"})", R"("ab")", R"("a")"},
    {"pattern", R"({"type": "string", "pattern": "^.$"})", R"("a")", R"("\r")"},
    {"pattern", R"({"type": "string", "pattern": "^[a-c&&b]$"})", R"("&")", R"("d")"},
    {"pattern", R"({"type": "string", "pattern": "^[[a]$"})", R"("[")", R"("b")"},
    {"pattern", R"({"type": "string", "pattern": "^(?=a)b"})", nullptr, R"("b")"},
    {"pattern", R"({"type": "string", "pattern": "(a)\\1"})", nullptr, R"("ab")"},
    {"pattern", R"({"type": "string", "pattern": "\\bword\\b"})", nullptr, R"("swords")"},
    {"format", R"({"type": "string", "format": "date"})", R"("2024-02-29")", R"("2024-13-01")"},
    {"format", R"({"type": "string", "format": "date-time"})", R"("2024-02-29T23:59:59Z")", R"("2024-02-29")"},
    {"format", R"({"type": "string", "format": "time"})", R"("23:59:59+01:00")", R"("24:00:00Z")"},
    {"format", R"({"type": "string", "format": "duration"})", R"("P1DT12H")", R"("1D")"},
    {"format", R"({"type": "string", "format": "email"})", R"("a@b.c")", R"("ab.c")"},
    {"format", R"({"type": "string", "format": "hostname"})", R"("a-b.example")", R"("-a")"},
    {"format", R"({"type": "string", "format": "ipv4"})", R"("127.0.0.1")", R"("127.0.0.256")"},
    {"format", R"({"type": "string", "format": "ipv6"})", R"("::1")", R"(":1")"},
    {"format", R"({"type": "string", "format": "uuid"})", R"("123e4567-e89b-12d3-a456-426614174000")", R"("123e4567")"},
    {"format", R"({"type": "string", "format": "uri"})", R"("https://a.b/c?d#e")", R"("no uri")"},
    {"format", R"({"type": "string", "format": "regex"})", nullptr, R"("(")"},
    {"format", R"({"type": "string", "format": "unknown"})", nullptr, "\"\""},
    {"format", R"({"type": "integer", "format": "int32"})", nullptr, "99999999999"},
    {"contentEncoding", R"({"type": "string", "contentEncoding": "base64"})", R"("?")", "1"},  // an annotation since 2019-09
    {"items", R"({"type": "array", "items": {"type": "integer"}})", "[1,2]", R"([1,"a"])"},
    {"items", R"({"type": "array", "items": [{"type": "integer"}], "additionalItems": false})", "[1]", R"([1,2])"},
    {"items", R"({"items": [{"type": "integer"}], "anyOf": [{"type": "array"}], "additionalItems": false})", "[1]", "[1,2]"},
    {"additionalItems", R"({"prefixItems": [{"type": "integer"}], "additionalItems": false})", nullptr, "[1,2]"},
    {"additionalItems", R"({"type": "array", "items": {"type": "integer"}, "additionalItems": {"type": "null"}})", nullptr, "[1,2]"},
    {"prefixItems", R"({"type": "array", "prefixItems": [{"type": "integer"}, {"type": "null"}], "items": false})", "[1,null]", "[1,2]"},
    {"prefixItems", R"({"$schema": "http://json-schema.org/draft-07/schema#", "type": "array", "prefixItems": [{"type": "null"}]})", "[null]", "[1]"},
    {"maxItems", R"({"type": "array", "maxItems": 2})", "[1,2]", "[1,2,3]"},
    {"minItems", R"({"type": "array", "minItems": 2})", "[1,2]", "[1]"},
    {"uniqueItems", R"({"type": "array", "uniqueItems": true})", nullptr, "[1,1]"},
    {"contains", R"({"type": "array", "contains": {"const": 1}})", nullptr, "[2]"},
    {"minContains", R"({"type": "array", "minContains": 2})", nullptr, "[2]"},
    {"maxContains", R"({"type": "array", "maxContains": 1})", nullptr, "[2,2]"},
    {"unevaluatedItems", R"({"type": "array", "prefixItems": [true], "unevaluatedItems": false})", nullptr, "[1,2]"},
    {"properties", R"({"type": "object", "properties": {"a": {"type": "integer"}}})", R"({"a":1,"b":"x"})", R"({"a":"x"})"},
    {"properties", R"({"type": "object", "properties": {"a": {"type": "integer"}}})", R"({"b":1})", R"({"\u0061":"x"})"},
    {"required", R"({"type": "object", "required": ["a"]})", R"({"a":1})", "{}"},
    {"required", R"({"type": "object", "properties": {"a": {"type": "null"}}, "required": ["b"]})", R"({"a":null,"b":1})", R"({"a":null})"},
    {"additionalProperties", R"({"type": "object", "properties": {"a": true}, "additionalProperties": false})", R"({"a":1})", R"({"b":1})"},
    {"additionalProperties", R"({"type": "object", "additionalProperties": {"type": "integer"}})", R"({"a":1})", R"({"a":"x"})"},
    {"patternProperties", R"({"type": "object", "patternProperties": {"^n": {"type": "integer"}}})", R"({"na":1,"x":"y"})", R"({"na":"x"})"},
    {"patternProperties", R"({"additionalProperties": false, "anyOf": [{"type": "object"}], "patternProperties": {"^n": true}})", R"({"na":1})", R"({"x":1})"},
    {"maxProperties", R"({"type": "object", "maxProperties": 1})", R"({"a":1})", R"({"a":1,"b":2})"},
    {"minProperties", R"({"type": "object", "minProperties": 1})", R"({"a":1})", "{}"},
    {"minProperties", R"({"type": "object", "minProperties": 2})", nullptr, R"({"a":1,"a":2})"},
    {"propertyNames", R"({"type": "object", "propertyNames": {"maxLength": 1}})", nullptr, R"({"ab":1})"},
    {"dependentRequired", R"({"type": "object", "dependentRequired": {"a": ["b"]}})", nullptr, R"({"a":1})"},
    {"dependentSchemas", R"({"type": "object", "dependentSchemas": {"a": {"required": ["b"]}}})", nullptr, R"({"a":1})"},
    {"dependencies", R"({"type": "object", "dependencies": {"a": ["b"]}})", nullptr, R"({"a":1})"},
    {"unevaluatedProperties", R"({"type": "object", "unevaluatedProperties": false})", nullptr, R"({"a":1})"},
    {"allOf", R"({"allOf": [{"type": "integer"}, {"minimum": 5}]})", "5", "4"},
    {"anyOf", R"({"anyOf": [{"type": "integer"}, {"type": "null"}]})", "null", "true"},
    {"oneOf", R"({"oneOf": [{"type": "integer"}, {"type": "null"}]})", "null", "true"},
    {"oneOf", R"({"oneOf": [{"type": "integer"}, {"type": "number"}]})", nullptr, "1"},
    {"oneOf", R"({"oneOf": [{"type": "object", "properties": {"k": {"const": "a"}}, "required": ["k"]},
                            {"type": "object", "properties": {"k": {"const": "b"}}, "required": ["k"]}]})", R"({"k":"b"})", R"({"k":"c"})"},
    {"not", R"({"not": {"type": "integer"}})", nullptr, "1"},
    {"if", R"({"if": {"type": "integer"}, "then": {"minimum": 5}})", nullptr, "1"},
    {"then", R"({"then": {"minimum": 5}})", nullptr, "1"},
    {"else", R"({"else": {"minimum": 5}})", nullptr, "1"},
    {"if", R"({"$schema": "http://json-schema.org/draft-04/schema", "if": {"type": "integer"}, "then": false})", nullptr, "1"},
    {"const", R"({"$schema": "http://json-schema.org/draft-04/schema#", "const": 5})", "5", "6"},
    {"$ref", R"({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"type": "integer"}}})", "1", "null"},
    {"$ref", R"({"$ref": "#/definitions/a%20b", "minimum": 5, "definitions": {"a b": {"type": "integer"}}})", "5", "4"},
    {"$ref", R"({"properties": {"next": {"$ref": "#"}}, "type": "object", "additionalProperties": false})", R"({"next":{"next":{}}})", R"({"next":1})"},
    {"$ref", R"({"$ref": "https://example.com/schema"})", nullptr, "1"},
    {"$ref", R"({"$ref": "#/default", "default": {"type": "integer"}})", nullptr, "1"},
    {"$ref", R"({"$ref": "#missing"})", nullptr, "1"},
    {"$dynamicRef", R"({"$dynamicRef": "#a"})", nullptr, "1"},
    {"$recursiveRef", R"({"$recursiveRef": "#"})", nullptr, "1"},
    {"$anchor", R"({"$anchor": "a"})", nullptr, "1"},
    {"$id", R"({"properties": {"a": {"$id": "https://example.com/x"}}})", nullptr, "1"},
    {"$schema", R"({"$schema": "https://example.com/own-meta-schema"})", nullptr, "1"},
    {"$vocabulary", R"({"$vocabulary": {}})", nullptr, "1"},
    {"nullable", R"({"type": "integer", "nullable": true})", nullptr, "null"},
    {"x-guidance", R"({"x-guidance": {"lenient": true}, "not": {}})", nullptr, "1"},
    {"minLenght", R"({"type": "string", "minLenght": 5})", nullptr, "\"\""},
    {"exclusiveMinimum", R"({"minimum": 3, "exclusiveMinimum": true})", nullptr, "3"},
    {"const", R"({"const": 9007199254740993})", nullptr, "9007199254740992"},
    {"multipleOf", R"({"allOf": [{"multipleOf": 65536}, {"multipleOf": 65537}, {"multipleOf": 3}]})", nullptr, "1"},
    {"enum", R"({"enum": ["a\u0001"]})", nullptr, "\"a\""},
};

TEST(GrammarSchema, NoKeywordPassesUnenforced) {
  size_t enforced = 0;
  for (const Case& one : kCases) {
    const auto matcher = compile(one.schema);
    EXPECT_EQ(matcher.ok(), one.valid != nullptr) << one.schema << " " << (matcher ? "" : matcher.error().message);
    if (matcher && !one.valid) continue;
    if (!matcher) {
      EXPECT_EQ(matcher.error().code, ErrorCode::kInvalidArgument);
      EXPECT_NE(matcher.error().message.find(fmt::format("'{}' ", one.keyword)), std::string::npos) << one.schema << "\n" << matcher.error().message;
      continue;
    }
    ++enforced;
    EXPECT_TRUE(can_say(one.schema, one.valid)) << one.schema << " allows " << one.valid;
    EXPECT_FALSE(can_say(one.schema, one.violating)) << one.schema << " forbids " << one.violating;
  }
  EXPECT_GT(enforced, 50u);
}

TEST(GrammarSchema, RefusalsSayWhere) {
  const auto deep = compile(R"({"type": "object", "properties": {"a/b": {"items": {"anyOf": [true, {"not": {}}]}}}})");
  ASSERT_FALSE(deep);
  EXPECT_NE(deep.error().message.find("'not' at #/properties/a~1b/items/anyOf/1:"), std::string::npos) << deep.error().message;
  const auto wrong = compile(R"({"properties": {"a": 5}})");
  ASSERT_FALSE(wrong);
  EXPECT_NE(wrong.error().message.find("#/properties/a: a schema is an object or a boolean"), std::string::npos) << wrong.error().message;
}

TEST(GrammarSchema, AnnotationsAskForNothing) {
  const std::string schema = R"({"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://example.com/a", "title": "T",
    "description": "d", "$comment": "c", "default": {}, "examples": [{}], "deprecated": false, "readOnly": true, "writeOnly": false, "x-order": 1,
    "type": "object", "properties": {"title": {"type": "string", "title": "Title", "default": "not"}, "not": {"type": "null"}},
    "required": ["title", "not"], "additionalProperties": false, "uniqueItems": false})";
  EXPECT_TRUE(can_say(schema, R"({"title":"a","not":null})"));
  EXPECT_FALSE(can_say(schema, R"({"title":1,"not":null})"));
}

// What Pydantic 2 makes of a model with a discriminated union, an optional and an enum.
TEST(GrammarSchema, PydanticsSchemas) {
  const std::string schema = R"({"$defs": {
      "Cat": {"properties": {"kind": {"const": "cat", "title": "Kind", "type": "string"}, "lives": {"type": "integer"}}, "required": ["kind", "lives"],
              "title": "Cat", "type": "object", "additionalProperties": false},
      "Dog": {"properties": {"kind": {"const": "dog", "type": "string"}, "size": {"$ref": "#/$defs/Size"}}, "required": ["kind", "size"],
              "type": "object", "additionalProperties": false},
      "Size": {"enum": ["small", "big"], "title": "Size", "type": "string"}},
    "properties": {"pet": {"discriminator": {"mapping": {"cat": "#/$defs/Cat"}, "propertyName": "kind"}, "oneOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}]},
                   "note": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
    "required": ["pet", "note"], "type": "object", "additionalProperties": false})";
  const auto matcher = compile(schema);
  if (!matcher) GTEST_FAIL() << matcher.error().message;
  EXPECT_TRUE(can_say(schema, R"({"pet":{"kind":"dog","size":"big"},"note":null})"));
  EXPECT_TRUE(can_say(schema, R"({"pet": {"kind": "cat", "lives": 9}, "note": "n"})"));
  EXPECT_FALSE(can_say(schema, R"({"pet": {"kind": "cat", "size": "big"}, "note": "n"})"));
}

// A schema drawn at random and a value that it allows.
struct Drawn {
  std::string schema, value;
};

class Drawer {
 public:
  explicit Drawer(uint32_t seed) : random_(seed) {}
  Drawn draw(int depth) {
    switch (below(depth > 0 ? 9 : 6)) {
      case 0: return {R"({"type": "null"})", "null"};
      case 1: return {R"({"enum": ["a\"b", 3, false, -1.5]})", std::array{R"("a\"b")", "3", "false", "-1.5"}[below(4)]};
      case 2: return string();
      case 3: return integer();
      case 4: return {R"({"type": "number"})", std::array{"0", "-0.25", "1e5", "12.5E-3", "7"}[below(5)]};
      case 5: return {R"({})", std::array{"{}", "[1, true]", R"({"x": null})", "\"\\n\""}[below(4)]};
      case 6: return array(depth);
      case 7: return any_of(depth);
      default: return object(depth);
    }
  }

 private:
  int below(int count) { return static_cast<int>(random_() % static_cast<uint32_t>(count)); }
  Drawn string() {
    std::string text;
    const int low = below(3), count = low + below(4);
    for (int i = 0; i < count; ++i) text += std::array{"a", "é", "本", "\\n", "\\\"", "\\\\", "/", " "}[below(8)];
    return {fmt::format(R"({{"type": "string", "minLength": {}, "maxLength": {}}})", low, count + below(2)), '"' + text + '"'};
  }
  Drawn integer() {
    const int value = below(4000) - 2000, low = value - below(300), high = value + below(300);
    switch (below(3)) {
      case 0: return {fmt::format(R"({{"type": "integer", "minimum": {}, "maximum": {}}})", low, high), std::to_string(value)};
      case 1: return {fmt::format(R"({{"type": "integer", "exclusiveMinimum": {}, "multipleOf": 7}})", 7 * value - 1), std::to_string(7 * value)};
      default: return {fmt::format(R"({{"type": "number", "minimum": {}.25, "maximum": {}.75}})", std::abs(low), std::abs(low) + 1), std::to_string(std::abs(low)) + ".5"};
    }
  }
  Drawn array(int depth) {
    const Drawn item = draw(depth - 1), first = draw(depth - 1);
    std::string value = "[" + first.value;
    const int count = below(4);
    for (int i = 0; i < count; ++i) value += std::string(i % 2 ? ", " : ",") + item.value;
    return {fmt::format(R"({{"type": "array", "prefixItems": [{}], "items": {}, "minItems": {}, "maxItems": {}}})", first.schema, item.schema, count, count + 1), value + "]"};
  }
  Drawn any_of(int depth) {
    const Drawn one = draw(depth - 1), two = draw(depth - 1);
    return {fmt::format(R"({{"anyOf": [{}, {}]}})", one.schema, two.schema), below(2) ? one.value : two.value};
  }
  Drawn object(int depth) {
    std::string properties, required, value;
    const auto add = [&](const std::string& name, const std::string& text) { value += (value.empty() ? "" : ", ") + ('"' + name + "\": ") + text; };
    for (int i = 0; i < 1 + below(4); ++i) {
      const Drawn property = draw(depth - 1);
      const std::string name = fmt::format("p{}", i);
      properties += fmt::format(R"({}"{}": {})", i ? ", " : "", name, property.schema);
      const bool needed = below(2);
      if (needed) required += fmt::format(R"({}"{}")", required.empty() ? "" : ", ", name);
      if (needed || below(2)) add(name, property.value);
    }
    const Drawn other = draw(depth - 1);
    if (below(2)) add("other", other.value);
    return {fmt::format(R"({{"type": "object", "properties": {{{}}}, "required": [{}], "additionalProperties": {}}})", properties, required, other.schema), "{" + value + "}"};
  }

  std::mt19937 random_;
};

TEST(GrammarSchema, WhateverASchemaAllowsCanComeOut) {
  for (uint32_t seed = 0; seed < 150; ++seed) {
    const Drawn drawn = Drawer(seed).draw(4);
    EXPECT_TRUE(can_say(drawn.schema, drawn.value)) << drawn.schema << "\n" << drawn.value;
  }
}

std::string joined(int count, const std::function<std::string(int)>& part) {
  std::string text;
  for (int i = 0; i < count; ++i) text += (i ? "," : "") + part(i);
  return text;
}

// Whether they compile is not the point: that they are answered for soon, and the next schema too. The bound is the
// compiler's own.
TEST(GrammarSchema, BombsAreBounded) {
  std::string deep = "true", arrays;
  for (int i = 0; i < 70; ++i) deep = R"({"items": )" + deep + "}";
  for (int i = 0; i < 5000; ++i) arrays += R"({"items":)";
  const std::pair<const char*, std::string> bombs[] = {
      {"10,000 properties", R"({"properties": {)" + joined(10'000, [](int i) { return fmt::format(R"("p{}": {{"type": "string"}})", i); }) + "}}"},
      {"5,000 properties", R"({"type": "object", "properties": {)" + joined(5'000, [](int i) { return fmt::format(R"("p{}": {{"type": "string"}})", i); }) + "}}"},
      {"70 levels", deep},
      {"5,000 levels", arrays},
      {"20,000 values", R"({"enum": [)" + joined(20'000, [](int i) { return fmt::format("{}", i); }) + "]}"},
      {"5,000 values", R"({"enum": [)" + joined(5'000, [](int i) { return fmt::format(R"("value {}")", i); }) + "]}"},
      {"a chain of references", R"({"$ref": "#/$defs/d0", "$defs": {)" + joined(4'000, [](int i) { return fmt::format(R"("d{}": {{"$ref": "#/$defs/d{}"}})", i, i + 1); }) + R"(,"d4000": {}}})"},
      {"references among each other", R"({"$ref": "#/$defs/d0", "$defs": {)" + joined(40, [](int i) {
         return fmt::format(R"("d{}": {{"anyOf": [{}]}})", i, joined(20, [&](int j) { return fmt::format(R"({{"$ref": "#/$defs/d{}"}})", (i + j) % 40); })); }) + "}}"},
      {"a product of options", R"({"allOf": [)" + joined(20, [](int i) {
         return R"({"anyOf": [)" + joined(20, [&](int j) { return fmt::format(R"({{"properties": {{"k{}x{}": {{"type": "integer"}}}}}})", i, j); }) + "]}"; }) + "]}"},
      {"repeats of repeats", R"({"type": "string", "pattern": "^((((a{1,99}){1,99}){1,99}){1,99}b){1,99}$"})"},
      {"blow-up of patterns", R"({"type": "object", "patternProperties": {)" + joined(16, [](int i) { return fmt::format(R"("^(a|b)*a(a|b){{{}}}$": {{}})", i + 9); }) + "}}"},
      {"itself", R"({"allOf": [{"$ref": "#"}, {"type": "object"}]})"},
      {"a megabyte and more", R"({"title": ")" + std::string(1 << 20, 'x') + "\"}"},
  };
  for (const auto& [name, schema] : bombs) {
    const auto begin = std::chrono::steady_clock::now();
    const auto matcher = compile(schema);
    const double ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
    fmt::print("{}: {:.0f} ms: {}\n", name, ms, matcher ? "compiled" : matcher.error().message.substr(0, 160));
    EXPECT_TRUE(matcher || matcher.error().code == ErrorCode::kInvalidArgument) << matcher.error().message;
    EXPECT_LT(ms, 1.2 * limits::kGrammarMs) << name;
    EXPECT_TRUE(can_say(R"({"type": "boolean"})", "true")) << "after " << name;
  }
}

}  // namespace
}  // namespace accelerate
