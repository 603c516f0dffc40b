#include "accelerate/serve/parse_tools.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "accelerate/serve/openai_parse.h"

namespace accelerate {
namespace {

constexpr std::string_view kTool = R"({"type":"function","function":{"name":"f"}})";
constexpr std::string_view kCall = R"({"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}}]})";

Parsed<ChatRequest> parse(std::string_view more, std::string_view messages = R"({"role":"user","content":"x"})") {
  return parse_chat(fmt::format(R"({{"model":"m","messages":[{}]{}{}}})", messages, more.empty() ? "" : ",", more));
}
ToolOptions parsed(const std::string& more) {
  Parsed<ChatRequest> chat = parse(more);
  EXPECT_TRUE(chat.ok()) << chat.error().message;
  return chat.ok() ? chat->request.tools : ToolOptions{.name = ""};
}
std::string refused(const std::string& more) {
  Parsed<ChatRequest> chat = parse(more);
  if (chat.ok()) return "accepted";
  EXPECT_EQ(chat.error().status, 400);
  return chat.error().param;
}
std::string messages_refused(const std::string& messages) {
  Parsed<ChatRequest> chat = parse("", messages);
  return chat.ok() ? "accepted" : chat.error().param;
}

TEST(ParseTools, ToolsAndTheirSchemasInTheirOwnOrder) {
  const ToolOptions tools = parsed(R"("tools":[{"type":"function","function":{"strict":true,"name":"get_weather","description":"d",
    "parameters":{"type":"object","required":["z"],"properties":{"z":{"type":"string"},"a":{"type":"integer"}}}}},)" + std::string(kTool) + "]");
  ASSERT_EQ(tools.tools.size(), 2u);
  EXPECT_EQ(tools.tools[0].name, "get_weather");
  EXPECT_EQ(tools.tools[0].description, "d");
  EXPECT_TRUE(tools.tools[0].strict);
  EXPECT_EQ(tools.tools[0].parameters, R"({"type":"object","required":["z"],"properties":{"z":{"type":"string"},"a":{"type":"integer"}}})");
  EXPECT_EQ(tools.tools[1].parameters, "");
  EXPECT_FALSE(tools.tools[1].strict);
  EXPECT_EQ(tools.choice, ToolChoice::kAuto);
  EXPECT_TRUE(tools.parallel);
}

TEST(ParseTools, Choices) {
  const auto choice = [&](const std::string& text) { return parsed("\"tools\":[" + std::string(kTool) + "],\"parallel_tool_calls\":false,\"tool_choice\":" + text); };
  EXPECT_EQ(choice("\"none\"").choice, ToolChoice::kNone);
  EXPECT_EQ(choice("\"auto\"").choice, ToolChoice::kAuto);
  EXPECT_EQ(choice("null").choice, ToolChoice::kAuto);
  EXPECT_EQ(choice("\"required\"").choice, ToolChoice::kRequired);
  const ToolOptions named = choice(R"({"type":"function","function":{"name":"f"}})");
  EXPECT_EQ(named.choice, ToolChoice::kNamed);
  EXPECT_EQ(named.name, "f");
  EXPECT_FALSE(named.parallel);
  EXPECT_EQ(parsed(R"("tools":[],"tool_choice":"auto")").choice, ToolChoice::kAuto);
}

TEST(ParseTools, WhatIsWrongIsNamed) {
  const std::string tools = "\"tools\":[" + std::string(kTool) + "]";
  EXPECT_EQ(refused(R"("tools":{})"), "tools");
  EXPECT_EQ(refused(R"("tools":[1])"), "tools[0]");
  EXPECT_EQ(refused(R"("tools":[{}])"), "tools[0].type");
  EXPECT_EQ(refused(R"("tools":[{"type":"custom","custom":{"name":"x"}}])"), "tools[0].type");
  EXPECT_EQ(refused(R"("tools":[{"type":"function"}])"), "tools[0].function");
  EXPECT_EQ(refused(R"("tools":[{"type":"function","function":"f"}])"), "tools[0].function");
  EXPECT_EQ(refused(R"("tools":[{"type":"function","function":{}}])"), "tools[0].function.name");
  EXPECT_EQ(refused(R"("tools":[{"type":"function","function":{"name":"a b"}}])"), "tools[0].function.name");
  EXPECT_EQ(refused(R"("tools":[{"type":"function","function":{"name":")" + std::string(65, 'a') + R"("}}])"), "tools[0].function.name");
  EXPECT_EQ(refused(R"("tools":[{"type":"function","function":{"name":"f","description":1}}])"), "tools[0].function.description");
  EXPECT_EQ(refused(R"("tools":[{"type":"function","function":{"name":"f","strict":"yes"}}])"), "tools[0].function.strict");
  EXPECT_EQ(refused(R"("tools":[{"type":"function","function":{"name":"f","parameters":[]}}])"), "tools[0].function.parameters");
  EXPECT_EQ(refused("\"tools\":[" + std::string(kTool) + "," + std::string(kTool) + "]"), "tools");
  std::string many = "\"tools\":[" + std::string(kTool);
  for (int i = 0; i < 128; ++i) many += "," + std::string(kTool);
  EXPECT_EQ(refused(many + "]"), "tools");
  EXPECT_EQ(refused(R"("tool_choice":"required")"), "tool_choice");
  EXPECT_EQ(refused(R"("parallel_tool_calls":true)"), "parallel_tool_calls");
  EXPECT_EQ(refused(tools + R"(,"parallel_tool_calls":"no")"), "parallel_tool_calls");
  EXPECT_EQ(refused(tools + R"(,"tool_choice":"sometimes")"), "tool_choice");
  EXPECT_EQ(refused(tools + R"(,"tool_choice":5)"), "tool_choice");
  EXPECT_EQ(refused(tools + R"(,"tool_choice":{"type":"allowed_tools","allowed_tools":{}})"), "tool_choice.type");
  EXPECT_EQ(refused(tools + R"(,"tool_choice":{"type":"function"})"), "tool_choice.function");
  EXPECT_EQ(refused(tools + R"(,"tool_choice":{"type":"function","function":{}})"), "tool_choice.function.name");
  EXPECT_EQ(refused(tools + R"(,"tool_choice":{"type":"function","function":{"name":"g"}})"), "tool_choice");
  EXPECT_EQ(refused(R"("functions":[{"name":"f"}])"), "functions");
  EXPECT_EQ(refused(R"("function_call":{"name":"f"})"), "function_call");
}

// A schema of ten thousand properties: read in order or refused, in bounded time.
TEST(ParseTools, HugeSchemasAreBounded) {
  std::string properties = "\"p\":{}";
  for (int i = 0; i < 100'000; ++i) properties += fmt::format(",\"p{}\":{{}}", i);
  EXPECT_EQ(refused(R"("tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{)" + properties + "}}}}]"), "tools");
}

TEST(ParseTools, CallsAndAnswersAmongMessages) {
  const std::string user = R"({"role":"user","content":"x"},)", call(kCall);
  Parsed<ChatRequest> chat = parse("", user + call + R"(,{"role":"tool","tool_call_id":"c1","name":"f","content":[{"type":"text","text":"21"}]})");
  ASSERT_TRUE(chat.ok()) << chat.error().message;
  const std::vector<Message>& messages = chat->request.messages;
  ASSERT_EQ(messages.size(), 3u);
  EXPECT_EQ(messages[1].content, "");
  ASSERT_EQ(messages[1].tool_calls.size(), 1u);
  EXPECT_EQ(messages[1].tool_calls[0].id, "c1");
  EXPECT_EQ(messages[1].tool_calls[0].name, "f");
  EXPECT_EQ(messages[1].tool_calls[0].arguments, R"({"x":1})");
  EXPECT_EQ(messages[2].tool_call_id, "c1");
  EXPECT_EQ(messages[2].name, "f");
  EXPECT_EQ(messages[2].content, "21");
}

TEST(ParseTools, BadCallsAndAnswersAreNamed) {
  const std::string call(kCall);
  EXPECT_EQ(messages_refused(R"({"role":"tool","tool_call_id":"c1","content":"x"})"), "messages[0].tool_call_id");
  EXPECT_EQ(messages_refused(call + R"(,{"role":"tool","content":"x"})"), "messages[1].tool_call_id");
  EXPECT_EQ(messages_refused(call + R"(,{"role":"tool","tool_call_id":"c2","content":"x"})"), "messages[1].tool_call_id");
  EXPECT_EQ(messages_refused(call + R"(,{"role":"tool","tool_call_id":"c1"})"), "messages[1].content");
  EXPECT_EQ(messages_refused(R"({"role":"assistant","content":null})"), "messages[0].content");
  const auto with = [](const std::string& calls, const std::string& role = "assistant") {
    return messages_refused(R"({"role":")" + role + R"(","content":"","tool_calls":)" + calls + "}");
  };
  EXPECT_EQ(with("5"), "messages[0].tool_calls");
  EXPECT_EQ(with("[5]"), "messages[0].tool_calls[0]");
  EXPECT_EQ(with(R"([{"function":{"name":"f","arguments":""}}])"), "messages[0].tool_calls[0].id");
  EXPECT_EQ(with(R"([{"id":"1","type":"custom"}])"), "messages[0].tool_calls[0].type");
  EXPECT_EQ(with(R"([{"id":"1","function":{"arguments":""}}])"), "messages[0].tool_calls[0].function.name");
  EXPECT_EQ(with(R"([{"id":"1","function":{"name":"f"}}])"), "messages[0].tool_calls[0].function.arguments");
  EXPECT_EQ(with(R"([{"id":"1","function":{"name":"f","arguments":{}}}])"), "messages[0].tool_calls[0].function.arguments");
  EXPECT_EQ(with(R"([{"id":"1","function":{"name":"f","arguments":"{}"}}])", "user"), "messages[0].tool_calls");
  EXPECT_EQ(with("[]", "user"), "accepted");
}

}  // namespace
}  // namespace accelerate
