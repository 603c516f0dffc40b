#include "accelerate/serve/responses_parse.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "tests/serve/read_json.h"

namespace accelerate {
namespace {

Parsed<ResponsesRequest> parse(std::string_view more, std::string_view input = R"("Hi")") {
  return parse_responses(fmt::format(R"({{"model":"m","input":{}{}{}}})", input, more.empty() ? "" : ",", more));
}
std::string refused(std::string_view more) {
  Parsed<ResponsesRequest> parsed = parse(more);
  return parsed.ok() ? "accepted" : parsed.error().param;
}
std::string input_refused(std::string_view input) {
  Parsed<ResponsesRequest> parsed = parse("", input);
  return parsed.ok() ? "accepted" : parsed.error().param;
}

TEST(ParseResponses, TextAndDefaults) {
  Parsed<ResponsesRequest> parsed = parse(R"("instructions":"Be brief.","max_output_tokens":5,"temperature":0,"top_p":0.5,"stream":true)");
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  const Request& request = parsed->request;
  ASSERT_EQ(request.messages.size(), 2u);
  EXPECT_EQ(request.messages[0].role, "system");
  EXPECT_EQ(request.messages[0].content, "Be brief.");
  EXPECT_EQ(request.messages[1].content, "Hi");
  EXPECT_EQ(request.max_tokens, 5u);
  EXPECT_EQ(request.sampling.temperature, 0.0f);
  EXPECT_TRUE(parsed->stream);
  const Json echo = read(parsed->echo);
  EXPECT_EQ(echo["instructions"], "Be brief.");
  EXPECT_EQ(echo["store"], false);
  EXPECT_EQ(echo["temperature"], 0);
  EXPECT_EQ(echo["text"]["format"]["type"], "text");
  EXPECT_EQ(echo["tool_choice"], "auto");
  EXPECT_EQ(read(parse("")->echo)["temperature"], 1.0);
  EXPECT_EQ(parse(R"("store":false,"background":false,"reasoning":{"effort":null},"truncation":"disabled","parallel_tool_calls":true)").ok(), true);
}

TEST(ParseResponses, ItemsBecomeMessages) {
  Parsed<ResponsesRequest> parsed = parse(R"("instructions":"one")", R"([{"role":"developer","content":"two"},
    {"type":"message","role":"user","content":[{"type":"input_text","text":"a"},{"type":"input_text","text":"b"}]},
    {"id":"msg_1","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"c","annotations":[]}]},
    {"type":"function_call","call_id":"c1","name":"f","arguments":"{}"},{"type":"function_call","id":"fc_2","call_id":"c2","name":"g","arguments":"{\"x\":1}"},
    {"type":"function_call_output","call_id":"c2","output":"21"},{"type":"function_call_output","call_id":"c1","output":[{"type":"input_text","text":"22"}]}])");
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  const std::vector<Message>& messages = parsed->request.messages;
  ASSERT_EQ(messages.size(), 5u);
  EXPECT_EQ(messages[0].content, "one\n\ntwo") << "templates tend to take one system message";
  EXPECT_EQ(messages[1].content, "ab");
  EXPECT_EQ(messages[2].content, "c");
  ASSERT_EQ(messages[2].tool_calls.size(), 2u);
  EXPECT_EQ(messages[2].tool_calls[1].arguments, R"({"x":1})");
  EXPECT_EQ(messages[3].tool_call_id, "c2");
  EXPECT_EQ(messages[4].content, "22");
}

TEST(ParseResponses, ToolsAndFormats) {
  Parsed<ResponsesRequest> parsed = parse(R"("tools":[{"type":"function","name":"f","parameters":{"z":1,"a":2}},{"type":"function","name":"g","strict":false}],
    "tool_choice":{"type":"function","name":"g"},"parallel_tool_calls":false,"text":{"format":{"type":"json_schema","name":"n","schema":{"type":"object","properties":{"z":{},"a":{}}}}},
    "include":["message.output_text.logprobs"],"top_logprobs":2)");
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  const Request& request = parsed->request;
  ASSERT_EQ(request.tools.tools.size(), 2u);
  EXPECT_TRUE(request.tools.tools[0].strict) << "OpenAI's default here";
  EXPECT_EQ(request.tools.tools[0].parameters, R"({"z":1,"a":2})");
  EXPECT_FALSE(request.tools.tools[1].strict);
  EXPECT_EQ(request.tools.choice, ToolChoice::kNamed);
  EXPECT_EQ(request.tools.name, "g");
  EXPECT_FALSE(request.tools.parallel);
  EXPECT_EQ(request.grammar->text, R"({"type":"object","properties":{"z":{},"a":{}}})");
  EXPECT_EQ(request.top_logprobs, 2u);
  const Json echo = read(parsed->echo);
  EXPECT_EQ(echo["tools"][0]["strict"], true);
  EXPECT_EQ(echo["tool_choice"]["name"], "g");
  EXPECT_EQ(echo["text"]["format"]["name"], "n");
  EXPECT_EQ(parse(R"("text":{"format":{"type":"json_object"}})")->request.grammar->text, R"({"type":"object"})");
  EXPECT_FALSE(parse(R"("text":{"format":{"type":"text"},"verbosity":"medium"})")->request.grammar);
}

TEST(ParseResponses, WhatIsNotDoneOrWrongIsNamed) {
  const std::pair<const char*, const char*> cases[] = {
      {R"("store":true)", "store"}, {R"("previous_response_id":"resp_1")", "previous_response_id"}, {R"("conversation":"c")", "conversation"},
      {R"("background":true)", "background"}, {R"("prompt":{"id":"x"})", "prompt"}, {R"("truncation":"auto")", "truncation"},
      {R"("reasoning":{"effort":"high"})", "reasoning"}, {R"("max_tool_calls":3)", "max_tool_calls"}, {R"("service_tier":"flex")", "service_tier"},
      {R"("max_output_tokens":0)", "max_output_tokens"}, {R"("temperature":3)", "temperature"}, {R"("instructions":5)", "instructions"},
      {R"("tools":5)", "tools"}, {R"("tools":[{"type":"web_search"}])", "tools[0].type"}, {R"("tools":[{"type":"function"}])", "tools[0].name"},
      {R"("tool_choice":"required")", "tool_choice"}, {R"("tool_choice":5)", "tool_choice"}, {R"("tool_choice":{"type":"file_search"})", "tool_choice"},
      {R"("tool_choice":{"type":"function"})", "tool_choice.name"}, {R"("tool_choice":{"type":"function","name":"f"})", "tool_choice"},
      {R"("text":5)", "text"}, {R"("text":{"verbosity":"low"})", "text.verbosity"}, {R"("text":{"format":{"type":"xml"}})", "text.format.type"},
      {R"("text":{"format":{"type":"json_schema","name":"n"}})", "text.format.schema"}, {R"("text":{"format":{"type":"json_schema","schema":{}}})", "text.format.name"},
      {R"("include":["web_search_call.results"])", "include"}, {R"("include":5)", "include"}, {R"("top_logprobs":21)", "top_logprobs"},
      {R"("metadata":[])", "metadata"}, {R"("metadata":{"a":1})", "metadata"}, {R"("stream":1)", "stream"},
  };
  for (const auto& [more, param] : cases) EXPECT_EQ(refused(more), param) << more;
  EXPECT_EQ(input_refused("[]"), "input");
  EXPECT_EQ(input_refused("5"), "input");
  EXPECT_EQ(input_refused("null"), "input");
  EXPECT_EQ(input_refused("[5]"), "input[0]");
  EXPECT_EQ(input_refused(R"([{"content":"x"}])"), "input[0].role");
  EXPECT_EQ(input_refused(R"([{"role":"robot","content":"x"}])"), "input[0].role");
  EXPECT_EQ(input_refused(R"([{"role":"user"}])"), "input[0].content");
  EXPECT_EQ(input_refused(R"([{"role":"user","content":[{"type":"input_image","image_url":"x"}]}])"), "input[0].content[0].type");
  EXPECT_EQ(input_refused(R"([{"role":"user","content":[{"type":"input_text"}]}])"), "input[0].content[0].text");
  EXPECT_EQ(input_refused(R"([{"type":"item_reference","id":"x"}])"), "input[0].type");
  EXPECT_EQ(input_refused(R"([{"type":"function_call","call_id":"c","name":"f"}])"), "input[0].arguments");
  EXPECT_EQ(input_refused(R"([{"type":"function_call_output","call_id":"c","output":"x"}])"), "input[0].call_id");
  EXPECT_FALSE(parse_responses("[]").ok());
  EXPECT_EQ(parse_responses(R"({"input":"x"})").error().param, "model");
}

}  // namespace
}  // namespace accelerate
