#include "accelerate/serve/parse_format.h"

#include <gtest/gtest.h>

#include "accelerate/serve/openai_parse.h"

namespace accelerate {
namespace {

std::string chat(std::string_view more) { return R"({"model":"m","messages":[{"role":"user","content":"Hi"}],)" + std::string(more) + "}"; }

std::optional<Grammar> grammar_of(std::string_view more) {
  Parsed<ChatRequest> parsed = parse_chat(chat(more));
  EXPECT_TRUE(parsed.ok()) << more << " " << (parsed.ok() ? "" : parsed.error().message);
  return parsed.ok() ? parsed->request.grammar : std::nullopt;
}

TEST(ParseFormat, TextAsksForNothing) {
  EXPECT_FALSE(grammar_of(R"("response_format":{"type":"text"})"));
  EXPECT_FALSE(grammar_of(R"("response_format":null,"grammar":null)"));
}

TEST(ParseFormat, JsonObjectIsAnyObject) {
  const auto grammar = grammar_of(R"("response_format":{"type":"json_object"})");
  ASSERT_TRUE(grammar);
  EXPECT_EQ(grammar->kind, Grammar::Kind::kJsonSchema);
  EXPECT_EQ(grammar->text, R"({"type":"object"})");
}

TEST(ParseFormat, ASchemaKeepsItsOrderOfProperties) {
  const std::string schema = R"({"type": "object", "properties": {"z": {"type":"null"}, "a": {}}, "required": ["z"]})";
  for (const char* strict : {"", R"(,"strict":true)", R"(,"strict":false)", R"(,"strict":null)"}) {
    const auto grammar = grammar_of(R"("response_format":{"type":"json_schema","json_schema":{"name":"n-1_A","description":"d","schema":)" + schema + strict + "}}");
    ASSERT_TRUE(grammar);
    EXPECT_EQ(grammar->kind, Grammar::Kind::kJsonSchema);
    EXPECT_EQ(grammar->text, schema);
  }
}

TEST(ParseFormat, GrammarIsLarkOrNamesItsKind) {
  EXPECT_EQ(grammar_of(R"("grammar":"start: \"a\"")")->text, "start: \"a\"");
  EXPECT_EQ(grammar_of(R"("grammar":"start: \"a\"")")->kind, Grammar::Kind::kLark);
  EXPECT_EQ(grammar_of(R"("grammar":{"type":"lark","value":"x"})")->kind, Grammar::Kind::kLark);
  EXPECT_EQ(grammar_of(R"("grammar":{"type":"regex","value":"[a-z]+"})")->kind, Grammar::Kind::kRegex);
  const auto schema = grammar_of(R"("grammar":{"type":"json_schema","value":{"enum": [2,1]}})");
  EXPECT_EQ(schema->kind, Grammar::Kind::kJsonSchema);
  EXPECT_EQ(schema->text, R"({"enum": [2,1]})");
}

TEST(ParseFormat, CompletionsHaveBoth) {
  Parsed<CompletionRequest> parsed = parse_completion(R"({"model":"m","prompt":["a","b"],"response_format":{"type":"json_object"}})");
  ASSERT_TRUE(parsed.ok());
  for (const Request& request : parsed->prompts) EXPECT_TRUE(request.grammar);
  Parsed<CompletionRequest> regex = parse_completion(R"({"model":"m","prompt":"a","grammar":{"type":"regex","value":"a"}})");
  ASSERT_TRUE(regex.ok());
  EXPECT_EQ(regex->prompts[0].grammar->kind, Grammar::Kind::kRegex);
}

TEST(ParseFormat, WhatIsWrongIsNamed) {
  const std::string long_name(65, 'a');
  const std::pair<std::string, std::string> cases[] = {
      {R"("response_format":"json")", "response_format"},
      {R"("response_format":{})", "response_format.type"},
      {R"("response_format":{"type":7})", "response_format.type"},
      {R"("response_format":{"type":"xml"})", "response_format.type"},
      {R"("response_format":{"type":"json_schema"})", "response_format.json_schema"},
      {R"("response_format":{"type":"json_schema","json_schema":[]})", "response_format.json_schema"},
      {R"("response_format":{"type":"json_schema","json_schema":{"schema":{}}})", "response_format.json_schema.name"},
      {R"("response_format":{"type":"json_schema","json_schema":{"name":"a b","schema":{}}})", "response_format.json_schema.name"},
      {R"("response_format":{"type":"json_schema","json_schema":{"name":"","schema":{}}})", "response_format.json_schema.name"},
      {R"("response_format":{"type":"json_schema","json_schema":{"name":")" + long_name + R"(","schema":{}}})", "response_format.json_schema.name"},
      {R"("response_format":{"type":"json_schema","json_schema":{"name":"a"}})", "response_format.json_schema.schema"},
      {R"("response_format":{"type":"json_schema","json_schema":{"name":"a","schema":"{}"}})", "response_format.json_schema.schema"},
      {R"("response_format":{"type":"json_schema","json_schema":{"name":"a","schema":{},"strict":"yes"}})", "response_format.json_schema.strict"},
      {R"("response_format":{"type":"json_schema","json_schema":{"name":"a","schema":{},"description":1}})", "response_format.json_schema.description"},
      {R"("grammar":7)", "grammar"},
      {R"("grammar":{"value":"a"})", "grammar.type"},
      {R"("grammar":{"type":"gbnf","value":"a"})", "grammar.type"},
      {R"("grammar":{"type":"regex"})", "grammar.value"},
      {R"("grammar":{"type":"regex","value":{}})", "grammar.value"},
      {R"("grammar":{"type":"json_schema","value":"{}"})", "grammar.value"},
      {R"("grammar":"start: \"a\"","response_format":{"type":"json_object"})", "grammar"},
  };
  for (const auto& [more, param] : cases) {
    Parsed<ChatRequest> parsed = parse_chat(chat(more));
    ASSERT_FALSE(parsed.ok()) << more;
    EXPECT_EQ(parsed.error().status, 400) << more;
    EXPECT_EQ(parsed.error().param, param) << more << " " << parsed.error().message;
  }
  EXPECT_TRUE(grammar_of(R"("grammar":"start: \"a\"","response_format":{"type":"text"})")) << "text asks for nothing";
}

}  // namespace
}  // namespace accelerate
