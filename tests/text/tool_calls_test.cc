#include "accelerate/text/tool_calls.h"

#include <chrono>
#include <functional>
#include <map>

#include <gtest/gtest.h>

namespace accelerate {
namespace {

constexpr std::array kStyles = {ToolStyle::kHermes, ToolStyle::kMistral, ToolStyle::kMistralArgs, ToolStyle::kLlama3, ToolStyle::kJson};

// An answer put together again, as a client does: "text|name(arguments)|name(arguments)".
struct Read {
  std::string text;
  std::vector<ToolCall> calls;
  size_t completed = 0;
  std::string shown() const {
    std::string out = text;
    for (const ToolCall& call : calls) out += "|" + call.name + "(" + call.arguments + ")";
    return out;
  }
};

void add(Read& read, const ToolCallParser::Step& step) {
  read.text += step.text;
  for (const ToolCallDelta& delta : step.calls) {
    if (delta.index == read.calls.size()) {
      EXPECT_FALSE(delta.id.empty());
      EXPECT_FALSE(delta.name.empty());
      EXPECT_EQ(delta.arguments, "") << "id and name come first";
      read.calls.push_back({delta.id, delta.name, ""});
      continue;
    }
    ASSERT_EQ(delta.index + 1, read.calls.size());
    EXPECT_TRUE(delta.id.empty() && delta.name.empty());
    read.calls.back().arguments += delta.arguments;
  }
}

Read parsed(ToolStyle style, const std::vector<std::string>& pieces) {
  ToolCallParser parser(style, {"f", "get_weather"});
  Read read;
  for (const std::string& piece : pieces) add(read, parser.push(piece));
  add(read, parser.finish());
  read.completed = parser.completed();
  EXPECT_EQ(parser.begun(), read.calls.size());
  return read;
}

// The answer whole, cut in two at every byte, and byte by byte: always the same.
std::string shown(ToolStyle style, const std::string& answer) {
  const std::string whole = parsed(style, {answer}).shown();
  std::vector<std::string> bytes;
  for (size_t at = 0; at < answer.size(); ++at) {
    EXPECT_EQ(parsed(style, {answer.substr(0, at), answer.substr(at)}).shown(), whole) << answer << " cut at " << at;
    bytes.push_back(answer.substr(at, 1));
  }
  EXPECT_EQ(parsed(style, bytes).shown(), whole) << answer;
  return whole;
}

TEST(ToolCalls, Hermes) {
  const auto hermes = [](const std::string& answer) { return shown(ToolStyle::kHermes, answer); };
  EXPECT_EQ(hermes("<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": 1}}\n</tool_call>"), "|f({\"x\": 1})");
  EXPECT_EQ(hermes("Sure.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>\n<tool_call>\n{\"name\": \"get_weather\", "
                   "\"arguments\": {\"city\": \"</tool_call> }\\\"\"}}\n</tool_call>\n"),
            "Sure.\n|f({})|get_weather({\"city\": \"</tool_call> }\\\"\"})");
  EXPECT_EQ(hermes("\n\n<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>"), "|f({})") << "whitespace before a call is no text";
  EXPECT_EQ(hermes("<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call> and more"), " and more|f({})");
  EXPECT_EQ(hermes("<tool_call>{\"name\":\"f\",\"arguments\":{}}\n{\"name\":\"f\",\"arguments\":{\"y\":[]}}</tool_call>"), "|f({})|f({\"y\":[]})");
  EXPECT_EQ(hermes("<tool_call>{\"name\":\"f\",\"arguments\":{}}<tool_call>{\"name\":\"f\",\"arguments\":{}}"), "|f({})|f({})") << "unclosed";
  EXPECT_EQ(hermes("a <tool_call><tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>"), "a <tool_call>|f({})");
  EXPECT_EQ(hermes("{\"name\": \"f\", \"arguments\": {}}"), "{\"name\": \"f\", \"arguments\": {}}") << "no marker, no call";
  EXPECT_EQ(hermes("<tool_call>[{\"name\":\"f\",\"arguments\":{}}]"), "<tool_call>[{\"name\":\"f\",\"arguments\":{}}]");
}

TEST(ToolCalls, Llama) {
  const auto llama = [](const std::string& answer) { return shown(ToolStyle::kLlama3, answer); };
  EXPECT_EQ(llama(R"({"name": "f", "parameters": {"x": {"y": "}"}}})"), R"(|f({"x": {"y": "}"}}))");
  EXPECT_EQ(llama(R"(<|python_tag|>{"name": "f", "parameters": {}})"), "|f({})");
  EXPECT_EQ(llama(R"({"name": "f", "parameters": {}}; {"name": "get_weather", "parameters": {"city": "Oslo"}})"),
            R"(|f({})|get_weather({"city": "Oslo"}))");
  EXPECT_EQ(llama(R"({"type": "function", "name": "f", "arguments": {}})"), "|f({})");
  EXPECT_EQ(llama(R"(Here: {"name": "f", "parameters": {}})"), R"(Here: {"name": "f", "parameters": {}})") << "not at the start";
  EXPECT_EQ(llama(R"(Here: <|python_tag|>{"name": "f", "parameters": {}})"), "Here: |f({})");
  EXPECT_EQ(llama("<|python_tag|>brave_search.call(query=\"x\")"), "<|python_tag|>brave_search.call(query=\"x\")");
}

TEST(ToolCalls, Mistral) {
  const auto mistral = [](const std::string& answer) { return shown(ToolStyle::kMistral, answer); };
  EXPECT_EQ(mistral(R"([TOOL_CALLS] [{"name": "f", "arguments": {"x": 1}}, {"name": "f", "arguments": {}, "id": "123456789"}])"),
            R"(|f({"x": 1})|f({}))");
  EXPECT_EQ(mistral(R"([TOOL_CALLS]{"name": "f", "arguments": {}})"), "|f({})");
  EXPECT_EQ(mistral("Well [TOOL_CALL] [TOOL_CALLS] none"), "Well [TOOL_CALL] [TOOL_CALLS] none");
  const auto newer = [](const std::string& answer) { return shown(ToolStyle::kMistralArgs, answer); };
  EXPECT_EQ(newer(R"([TOOL_CALLS]f[ARGS]{"x": "[TOOL_CALLS]"}[TOOL_CALLS]get_weather[ARGS]{})"), R"(|f({"x": "[TOOL_CALLS]"})|get_weather({}))");
  EXPECT_EQ(newer(R"([TOOL_CALLS]f[CALL_ID]aB3456789[ARGS] {})"), "|f({})");
  EXPECT_EQ(newer(R"(Text[TOOL_CALLS]f{"x":2})"), R"(Text|f({"x":2}))");
  EXPECT_EQ(newer("[TOOL_CALLS]g[ARGS]{}"), "[TOOL_CALLS]g[ARGS]{}") << "no such tool";
  EXPECT_EQ(newer("[TOOL_CALLS]f[ARG]{}"), "[TOOL_CALLS]f[ARG]{}");
  EXPECT_EQ(parsed(ToolStyle::kMistral, {R"([TOOL_CALLS] [{"name": "f", "arguments": {}}])"}).calls.at(0).id.size(), 9u);
}

TEST(ToolCalls, Json) {
  const auto json = [](const std::string& answer) { return shown(ToolStyle::kJson, answer); };
  EXPECT_EQ(json("{\"name\": \"f\", \"arguments\": {}}\n{\"name\": \"f\", \"arguments\": {\"x\": null}}"), "|f({})|f({\"x\": null})");
  EXPECT_EQ(json(" [ {\"name\": \"f\", \"arguments\": {}} , {\"name\": \"f\", \"arguments\": {}} ] "), "|f({})|f({})");
  EXPECT_EQ(json("[1, 2]"), "[1, 2]");
}

// What is no call comes out unchanged, in every style.
TEST(ToolCalls, TextStaysText) {
  for (const ToolStyle style : kStyles) {
    const std::string open(tool_markers(style).open);
    for (const std::string tail : {"", "{", "{\"name\"", "{\"name\": \"f\"", "{\"name\": \"f\"}", "{\"name\": \"g\", \"arguments\": {}}", "{\"name\": 1}",
                                   "{\"name\": \"f\", \"arguments\": [1]}", "{\"name\": \"f\", \"arguments\": \"x\"}", "{\"city\": \"Oslo\"}",
                                   "{\"arguments\": {\"name\": \"f\"}}", "{\"arguments\": {}, \"name\": \"g\"}", "{\"name\": \"\\ud800\"}", "{]", "{}",
                                   "{\"type\": {\"name\": \"f\", \"arguments\": {}}}", "{\"arguments\": {}, \"arguments\": {}, \"name\": \"f\"}",
                                   "plain, ünïcode 🙂 <tool_cal [TOOL_CALL <|python", " \n ", "<", "[", "[[", "<<tool", "f[ARGS]", "f[CALL_ID]123"}) {
      const std::string answer = open + tail;
      EXPECT_EQ(shown(style, answer), answer) << tool_style_name(style);
      EXPECT_EQ(shown(style, "Text " + answer), "Text " + answer) << tool_style_name(style);
    }
    EXPECT_EQ(parsed(style, {"plain"}).completed, 0u);
  }
}

TEST(ToolCalls, OtherOrdersAndForms) {
  for (const ToolStyle style : kStyles) {
    const std::string open(tool_markers(style).open);
    EXPECT_EQ(shown(style, open + R"({"arguments": {"x": "\"}"}, "name": "f"})"), R"(|f({"x": "\"}"}))") << tool_style_name(style);
    EXPECT_EQ(shown(style, open + R"({"name": "f", "arguments": "{\"x\": 1}"})"), R"(|f({"x": 1}))") << tool_style_name(style);
    EXPECT_EQ(shown(style, open + R"({ "name" : "f" , "parameters" : { } , "id" : [1] })"), "|f({ })") << tool_style_name(style);
    EXPECT_EQ(shown(style, open + R"({"id": "x", "type": "function", "name": "f", "arguments": {}})"), "|f({})") << tool_style_name(style);
  }
}

// Told is told: a call whose arguments break off is incomplete, or keeps what is no JSON for the client to see.
TEST(ToolCalls, CutAndBrokenArguments) {
  const std::string cut = "<tool_call>{\"name\": \"f\", \"arguments\": {\"x\": \"unclos";
  EXPECT_EQ(shown(ToolStyle::kHermes, cut), "|f({\"x\": \"unclos)");
  EXPECT_EQ(parsed(ToolStyle::kHermes, {cut}).completed, 0u);
  EXPECT_EQ(shown(ToolStyle::kHermes, "<tool_call>{\"name\": \"f\", \"arguments\": {'x': 1}}</tool_call> so"), " so|f({'x': 1}})");
  EXPECT_EQ(shown(ToolStyle::kHermes, "<tool_call>{\"name\": \"f\", \"arguments\": {'x': 1}}</tool_c"), "|f({'x': 1}}</tool_c)");
  EXPECT_EQ(shown(ToolStyle::kMistralArgs, "[TOOL_CALLS]f[ARGS]{x}[TOOL_CALLS]f[ARGS]{}"), "|f({x})|f({})");
  EXPECT_EQ(shown(ToolStyle::kLlama3, "{\"name\": \"f\", \"parameters\": {x: 1}} done"), "|f({x: 1}} done)");
  EXPECT_EQ(shown(ToolStyle::kHermes, "<tool_call>{\"name\": \"f\", \"arguments\": {}}\n</tool_"), "|f({})");
  EXPECT_EQ(shown(ToolStyle::kHermes, "<tool_call>{\"name\": \"f\", \"arguments\": {}, oops"), "oops|f({})") << "behind the arguments it is text";
}

// Plain text waits no longer than it must; arguments not at all.
TEST(ToolCalls, NothingIsHeldBackLongerThanNeeded) {
  ToolCallParser parser(ToolStyle::kHermes, {"f"});
  EXPECT_EQ(parser.push("Hello ").text, "Hello ");
  EXPECT_EQ(parser.push("a < b").text, "a < b");
  EXPECT_EQ(parser.push(" <tool").text, " ");
  EXPECT_EQ(parser.push("s>").text, "<tools>");
  EXPECT_EQ(parser.push("<tool_call>\n{\"name\": \"f\", \"arguments\":").calls.size(), 0u);
  const auto told = parser.push(" {\"x");
  ASSERT_EQ(told.calls.size(), 2u);
  EXPECT_EQ(told.calls[0].name, "f");
  EXPECT_EQ(told.calls[1].arguments, "{\"x");
  EXPECT_EQ(parser.push("\"").calls.at(0).arguments, "\"");
  EXPECT_EQ(parser.completed(), 0u);
  parser.push(": 1}");
  EXPECT_EQ(parser.completed(), 1u) << "before the closing word";
  ToolCallParser bare(ToolStyle::kJson, {"f"});
  EXPECT_EQ(bare.push("{\"name\": \"").text, "");
  EXPECT_EQ(bare.push("Bob\"").text, "{\"name\": \"Bob\"");
}

TEST(ToolCalls, HostileAnswersCostLinearTime) {
  const auto start = std::chrono::steady_clock::now();
  for (const ToolStyle style : kStyles) {
    const std::string open(tool_markers(style).open);
    for (const std::string& unit : {open + "{", open, std::string("["), std::string("{\"name\":\""), open + "{\"name\":\"f\",\"arguments\":{", std::string("<"), std::string("\n")}) {
      std::string answer;
      while (answer.size() < 1'000'000) answer += unit.empty() ? "{" : unit;
      parsed(style, {answer});
    }
    const std::string huge = open + "{\"name\": \"f\", \"arguments\": {\"x\": \"" + std::string(1'000'000, 'a') + "\"}}";
    if (style == ToolStyle::kMistralArgs) continue;
    EXPECT_EQ(parsed(style, {huge}).calls.at(0).arguments.size(), 1'000'009u);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

}  // namespace
}  // namespace accelerate
