#include "accelerate/serve/responses_write.h"

#include <vector>

#include <gtest/gtest.h>

#include "tests/serve/read_json.h"

namespace accelerate {
namespace {

std::vector<Json> events_of(const std::string& text) {
  std::vector<Json> out;
  for (size_t at = 0; at < text.size();) {
    const size_t line = text.find('\n', at), end = text.find("\n\n", at);
    EXPECT_EQ(text.substr(at, 7), "event: ");
    EXPECT_EQ(text.substr(line + 1, 6), "data: ");
    Json data = read(text.substr(line + 7, end - line - 7));
    EXPECT_EQ(data["type"], text.substr(at + 7, line - at - 7));
    out.push_back(std::move(data));
    at = end + 2;
  }
  return out;
}

std::vector<std::string> types_of(const std::vector<Json>& events) {
  std::vector<std::string> out;
  for (const Json& event : events) out.push_back(event["type"]);
  return out;
}

EndpointInfo info() {
  EndpointInfo out;
  out.name = "m";
  return out;
}

Reply reply(FinishReason reason) {
  Reply out;
  out.finish_reason = reason;
  out.usage = {.prompt_tokens = 10, .completion_tokens = 5, .cached_tokens = 4};
  out.served_by = "cpu@cpu:0";
  return out;
}

TEST(ResponseBuilder, TextThenCalls) {
  ResponseBuilder builder(info(), R"({"store":false,"tools":[]})", false);
  std::string text = builder.begin();
  text += builder.part({.text = "Let me ", .tokens = {1}, .logprobs = {}});
  text += builder.part({.text = "see.", .tokens = {2}, .logprobs = {}});
  text += builder.part({.text = "", .tokens = {3}, .logprobs = {}, .tool_calls = {{.index = 0, .id = "call_1", .name = "f", .arguments = ""}, {.index = 0, .id = "", .name = "", .arguments = "{\"x\":"}}});
  text += builder.part({.text = "", .tokens = {4}, .logprobs = {}, .tool_calls = {{.index = 0, .id = "", .name = "", .arguments = "1}"}}});
  text += builder.end(reply(FinishReason::kToolCalls));
  const std::vector<Json> events = events_of(text);
  EXPECT_EQ(types_of(events), (std::vector<std::string>{
      "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added", "response.output_text.delta",
      "response.output_text.delta", "response.output_text.done", "response.content_part.done", "response.output_item.done", "response.output_item.added",
      "response.function_call_arguments.delta", "response.function_call_arguments.delta", "response.function_call_arguments.done",
      "response.output_item.done", "response.completed"}));
  for (size_t i = 0; i < events.size(); ++i) EXPECT_EQ(events[i]["sequence_number"], i);
  EXPECT_EQ(events[0]["response"]["status"], "in_progress");
  EXPECT_EQ(events[6]["text"], "Let me see.");
  EXPECT_EQ(events[12]["arguments"], "{\"x\":1}");
  EXPECT_EQ(events[12]["output_index"], 1);
  EXPECT_EQ(events[12]["item_id"], events[9]["item"]["id"]);
  const Json whole = read(builder.json());
  EXPECT_EQ(whole, events.back()["response"]);
  EXPECT_EQ(whole["status"], "completed");
  EXPECT_EQ(whole["store"], false);
  EXPECT_EQ(whole["output"][0]["content"][0]["text"], "Let me see.");
  EXPECT_EQ(whole["output"][1]["call_id"], "call_1");
  EXPECT_EQ(whole["output"][1]["status"], "completed");
  EXPECT_EQ(whole["usage"]["input_tokens_details"]["cached_tokens"], 4);
  EXPECT_EQ(whole["usage"]["total_tokens"], 15);
  EXPECT_EQ(whole["ipfs_accelerate"]["served_by"], "cpu@cpu:0");
}

TEST(ResponseBuilder, CutShortIsIncomplete) {
  ResponseBuilder builder(info(), "{}", false);
  builder.begin();
  builder.part({.text = "abc", .tokens = {1}, .logprobs = {}});
  const std::vector<Json> events = events_of(builder.end(reply(FinishReason::kLength)));
  EXPECT_EQ(events.back()["type"], "response.incomplete");
  const Json whole = read(builder.json());
  EXPECT_EQ(whole["status"], "incomplete");
  EXPECT_EQ(whole["incomplete_details"]["reason"], "max_output_tokens");
  EXPECT_EQ(whole["output"][0]["status"], "incomplete");
}

TEST(ResponseBuilder, AnEmptyAnswerIsAMessage) {
  ResponseBuilder builder(info(), "{}", false);
  builder.begin();
  builder.end(reply(FinishReason::kStop));
  EXPECT_EQ(read(builder.json())["output"][0]["content"][0]["text"], "");
}

TEST(ResponseBuilder, FailureOnTheWay) {
  ResponseBuilder builder(info(), "{}", false);
  builder.begin();
  builder.part({.text = "abc", .tokens = {1}, .logprobs = {}});
  const std::vector<Json> events = events_of(builder.fail({.message = "broken", .param = "", .code = ""}));
  EXPECT_EQ(events.back()["type"], "response.failed");
  EXPECT_EQ(events.back()["response"]["error"]["message"], "broken");
  EXPECT_EQ(events.back()["response"]["output"][0]["status"], "incomplete");
}

TEST(ResponseBuilder, LogprobsWaitForTheirText) {
  ResponseBuilder builder(info(), "{}", true);
  builder.begin();
  const auto part = [](const char* text, uint32_t token) {
    return Part{.text = text, .tokens = {token}, .logprobs = {{.token = token, .logprob = -0.5f, .bytes = "x", .top = {}}}};
  };
  EXPECT_EQ(builder.part(part("", 1)), "");
  const std::vector<Json> events = events_of(builder.part(part("ab", 2)));
  EXPECT_EQ(events.back()["logprobs"].size(), 2u);
  EXPECT_EQ(events.back()["logprobs"][0]["logprob"], -0.5);
  builder.end(reply(FinishReason::kStop));
  EXPECT_EQ(read(builder.json())["output"][0]["content"][0]["logprobs"].size(), 2u);
}

}  // namespace
}  // namespace accelerate
