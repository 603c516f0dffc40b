#include "accelerate/backends/relay/relay_request.h"

#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "accelerate/base/json.h"

namespace accelerate {
namespace {

using ::testing::HasSubstr;

Request chat() {
  Request request;
  request.messages = {{.role = "user", .content = "Hello \"you\"\n", .tool_calls = {}, .tool_call_id = {}, .name = {}}};
  return request;
}

Json body_of(const Request& request, const std::string& route = "/chat/completions") {
  const auto body = relay_body(request, "m/1");
  EXPECT_TRUE(body.ok()) << body.error().message;
  EXPECT_EQ(body->route, route);
  const auto json = parse_json(body->json);
  EXPECT_TRUE(json.ok());
  return *json;
}

TEST(RelayRequest, SaysNoMoreThanItMust) {
  EXPECT_EQ(body_of(chat()), Json::parse(R"({"model": "m/1", "stream": true, "stream_options": {"include_usage": true},
                                            "messages": [{"role": "user", "content": "Hello \"you\"\n"}]})"));
}

TEST(RelayRequest, PassesOnWhatTheApiHasFieldsFor) {
  Request request = chat();
  request.sampling = {.temperature = 0, .top_p = 0.5f, .frequency_penalty = 1, .presence_penalty = -1, .logit_bias = {{7, -100.0f}}, .seed = uint64_t{1} << 63};
  request.max_tokens = 5;
  request.stop = {"a", "b"};
  request.tools = {.tools = {{.name = "f", .description = "d", .parameters = R"({"type": "object", "properties": {"b": {}, "a": {}}})", .strict = true}}, .choice = ToolChoice::kNamed, .name = "f", .parallel = false};
  request.messages.push_back({.role = "assistant", .content = "", .tool_calls = {{"call_1", "f", "{}"}}, .tool_call_id = {}, .name = {}});
  request.messages.push_back({.role = "tool", .content = "42", .tool_calls = {}, .tool_call_id = "call_1", .name = "f"});
  request.grammar = Grammar{Grammar::Kind::kJsonSchema, R"({"type": "object"})"};
  const Json body = body_of(request);
  EXPECT_EQ(body["temperature"], 0);
  EXPECT_EQ(body["top_p"], 0.5);
  EXPECT_EQ(body["seed"].get<uint64_t>(), uint64_t{1} << 63);
  EXPECT_EQ(body["logit_bias"]["7"], -100);
  EXPECT_EQ(body["max_tokens"], 5);
  EXPECT_EQ(body["stop"], Json::parse(R"(["a", "b"])"));
  EXPECT_EQ(body["tool_choice"]["function"]["name"], "f");
  EXPECT_EQ(body["parallel_tool_calls"], false);
  EXPECT_EQ(body["messages"][1]["content"], nullptr);
  EXPECT_EQ(body["messages"][1]["tool_calls"][0]["function"]["arguments"], "{}");
  EXPECT_EQ(body["messages"][2]["tool_call_id"], "call_1");
  EXPECT_EQ(body["response_format"]["json_schema"]["schema"]["type"], "object");
  EXPECT_THAT(relay_body(request, "m")->json, HasSubstr(R"("properties":{"b":{},"a":{}})")) << "a schema's members keep their order: the model reads them";
}

TEST(RelayRequest, RawPromptsGoToCompletions) {
  Request request;
  request.text = "Once";
  EXPECT_EQ(body_of(request, "/completions")["prompt"], "Once");
  request.text.reset();
  request.tokens = {1, 2};
  EXPECT_EQ(body_of(request, "/completions")["prompt"], Json::parse("[1, 2]"));
}

TEST(RelayRequest, RefusesTheRestByName) {
  const auto refusal = [](const std::function<void(Request&)>& change, ErrorCode code = ErrorCode::kUnimplemented) {
    Request request = chat();
    change(request);
    const auto body = relay_body(request, "m");
    EXPECT_FALSE(body.ok());
    EXPECT_EQ(body.ok() ? ErrorCode::kUnknown : body.error().code, code);
    return body.ok() ? std::string() : body.error().message;
  };
  EXPECT_THAT(refusal([](Request& r) { r.sampling.top_k = 5; }), HasSubstr("top_k"));
  EXPECT_THAT(refusal([](Request& r) { r.sampling.min_p = 0.1f; }), HasSubstr("min_p"));
  EXPECT_THAT(refusal([](Request& r) { r.sampling.repetition_penalty = 1.1f; }), HasSubstr("repetition_penalty"));
  EXPECT_THAT(refusal([](Request& r) { r.ignore_end = true; }), HasSubstr("ignore_end"));
  EXPECT_THAT(refusal([](Request& r) { r.top_logprobs = 3; }), HasSubstr("logprobs"));
  EXPECT_THAT(refusal([](Request& r) { r.grammar = Grammar{Grammar::Kind::kLark, "start: \"a\""}; }), HasSubstr("grammar"));
  EXPECT_THAT(refusal([](Request& r) { r.echo = true; }), HasSubstr("echo"));
  refusal([](Request& r) { r.text = "both"; }, ErrorCode::kInvalidArgument);
  refusal([](Request& r) { r.messages.clear(); }, ErrorCode::kInvalidArgument);
  refusal([](Request& r) { r.tools.tools = {{.name = "f", .description = {}, .parameters = "{"}}; }, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace accelerate
