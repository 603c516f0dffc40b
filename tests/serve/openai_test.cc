// The OpenAI routes over a real socket, with a scripted model behind.
#include "accelerate/serve/openai.h"

#include <cstring>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/net/raw_client.h"
#include "tests/serve/fake_endpoint.h"
#include "tests/serve/read_json.h"

namespace accelerate {
namespace {

using namespace std::chrono_literals;
using testing::FakeEndpoint;
using testing::RawClient;
using testing::RawResponse;
using testing::source_of;
using testing::within;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class OpenAiTest : public ::testing::Test {
 protected:
  OpenAiTest()
      : chat_(std::make_shared<FakeEndpoint>("chatty")), embed_(std::make_shared<FakeEndpoint>("minilm", ProgramKind::kEncoder)),
        server_(source_of({chat_, embed_}), {.port = 0}) {
    const Result<void> started = server_.start();
    EXPECT_TRUE(started.ok()) << started.error().message;
  }
  ~OpenAiTest() override { server_.stop(0ms); }

  RawResponse post(std::string_view path, const std::string& body) { return RawClient(server_.port()).ask("POST", path, body); }
  RawResponse chat(std::string_view prompt, std::string_view more = "") {
    return post("/v1/chat/completions", chat_body(prompt, more));
  }
  static std::string chat_body(std::string_view prompt, std::string_view more = "") {
    return fmt::format(R"({{"model":"chatty","messages":[{{"role":"user","content":"{}"}}]{}}})", prompt, more);
  }
  RawResponse complete(std::string_view prompt_json, std::string_view more = "") {
    return post("/v1/completions", fmt::format(R"({{"model":"chatty","prompt":{}{}}})", prompt_json, more));
  }
  RawResponse embed(std::string_view input_json, std::string_view more = "") {
    return post("/v1/embeddings", fmt::format(R"({{"model":"minilm","input":{}{}}})", input_json, more));
  }

  std::shared_ptr<FakeEndpoint> chat_, embed_;
  Server server_;
};

// The data of each event, "[DONE]" included; checks the framing on the way.
std::vector<std::string> events_of(const std::string& body) {
  std::vector<std::string> out;
  size_t at = 0;
  while (at < body.size()) {
    const size_t end = body.find("\n\n", at);
    EXPECT_NE(end, std::string::npos) << "an event ends with an empty line";
    if (end == std::string::npos) break;
    const std::string event = body.substr(at, end - at);
    EXPECT_THAT(event, StartsWith("data: "));
    EXPECT_EQ(event.find('\n'), std::string::npos);
    out.push_back(event.substr(6));
    at = end + 2;
  }
  return out;
}

TEST_F(OpenAiTest, ChatAnswers) {
  const RawResponse response = chat("one two three");
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(response.headers.at("content-type"), "application/json");
  EXPECT_THAT(response.headers.at("x-request-id"), StartsWith("req_"));
  EXPECT_EQ(response.headers.at("ipfs-accelerate-target"), "fake@cpu:0");
  const Json out = read(response.body);
  EXPECT_THAT(out["id"].get<std::string>(), StartsWith("chatcmpl-"));
  EXPECT_EQ(out["choices"][0]["message"]["content"], "one two three");
  EXPECT_EQ(out["choices"][0]["finish_reason"], "stop");
  EXPECT_EQ(out["usage"]["completion_tokens"], 3);
}

TEST_F(OpenAiTest, OptionsReachTheEngine) {
  EXPECT_EQ(chat("a b c d", R"(,"max_tokens":2,"temperature":0.25,"seed":11,"stop":"z")").status, 200);
  const Request request = chat_->last_request();
  EXPECT_EQ(request.max_tokens, 2u);
  EXPECT_EQ(request.sampling.temperature, 0.25f);
  EXPECT_EQ(request.sampling.seed, 11u);
  ASSERT_EQ(request.stop.size(), 1u);
  EXPECT_EQ(request.stop[0], "z");
}

TEST_F(OpenAiTest, ChatStreams) {
  const RawResponse response = chat("one two three", R"(,"stream":true,"stream_options":{"include_usage":true},"max_tokens":2)");
  ASSERT_EQ(response.status, 200);
  EXPECT_TRUE(response.whole);
  EXPECT_THAT(response.headers.at("content-type"), StartsWith("text/event-stream"));
  EXPECT_EQ(response.headers.at("ipfs-accelerate-target"), "fake@cpu:0");
  const std::vector<std::string> events = events_of(response.body);
  ASSERT_EQ(events.size(), 6u) << response.body;
  const Json role = read(events[0]);
  EXPECT_EQ(role["choices"][0]["delta"]["role"], "assistant");
  std::string text;
  for (size_t i = 0; i < 4; ++i) {
    const Json chunk = read(events[i]);
    EXPECT_EQ(chunk["id"], role["id"]);
    EXPECT_EQ(chunk["object"], "chat.completion.chunk");
    EXPECT_TRUE(chunk["usage"].is_null());
    text += chunk["choices"][0]["delta"].value("content", "");
    EXPECT_EQ(chunk["choices"][0]["finish_reason"].is_null(), i != 3);
  }
  EXPECT_EQ(text, "one two");
  EXPECT_EQ(read(events[3])["choices"][0]["finish_reason"], "length");
  const Json usage = read(events[4]);
  EXPECT_EQ(usage["choices"], Json::array());
  EXPECT_EQ(usage["usage"]["prompt_tokens"], 3);
  EXPECT_EQ(usage["usage"]["completion_tokens"], 2);
  EXPECT_EQ(events[5], "[DONE]");
}

constexpr const char* kTools = R"(,"tools":[{"type":"function","function":{"name":"f"}}])";

TEST_F(OpenAiTest, ToolCallsAreAnswered) {
  const Json out = read(chat("!call", kTools).body);
  const Json& choice = out["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "tool_calls");
  EXPECT_EQ(choice["message"]["content"], "Well.");
  ASSERT_EQ(choice["message"]["tool_calls"].size(), 2u);
  EXPECT_EQ(choice["message"]["tool_calls"][1], read(R"({"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}})"));
  EXPECT_TRUE(read(chat("!call only", kTools).body)["choices"][0]["message"]["content"].is_null()) << "nothing but calls";
  EXPECT_FALSE(read(chat("one", kTools).body)["choices"][0]["message"].contains("tool_calls"));
  EXPECT_EQ(chat_->last_request().tools.tools.at(0).name, "f");
}

TEST_F(OpenAiTest, ToolCallsAreStreamed) {
  for (const bool only : {false, true}) {
    const std::vector<std::string> events = events_of(chat(only ? "!call only" : "!call", std::string(kTools) + R"(,"stream":true)").body);
    Json calls = Json::array();
    std::string text, reason;
    for (size_t i = 0; i + 1 < events.size(); ++i) {
      const Json choice = read(events[i])["choices"][0];
      const Json& delta = choice["delta"];
      EXPECT_EQ(delta.contains("role"), i == 0);
      if (delta.contains("content") && delta["content"].is_string()) text += delta["content"];
      if (!choice["finish_reason"].is_null()) reason = choice["finish_reason"];
      if (!delta.contains("tool_calls")) continue;
      EXPECT_FALSE(delta.contains("content"));
      const Json& call = delta["tool_calls"][0];
      if (call.contains("id")) {
        EXPECT_EQ(call["index"], calls.size());
        EXPECT_EQ(call["type"], "function");
        calls.push_back(call);
      } else {
        EXPECT_FALSE(call["function"].contains("name"));
        std::string& arguments = calls.back()["function"]["arguments"].get_ref<std::string&>();
        arguments += call["function"]["arguments"].get<std::string>();
      }
    }
    EXPECT_EQ(text, only ? "" : "Well.");
    EXPECT_EQ(reason, "tool_calls");
    ASSERT_EQ(calls.size(), 2u);
    EXPECT_EQ(calls[1]["function"]["arguments"], "{\"x\":1}");
    EXPECT_EQ(calls[0]["id"], "call_0");
  }
}

TEST_F(OpenAiTest, NoUsageChunkUnlessAskedFor) {
  const std::vector<std::string> events = events_of(chat("x", R"(,"stream":true)").body);
  ASSERT_EQ(events.size(), 4u);
  for (size_t i = 0; i < 3; ++i) EXPECT_FALSE(read(events[i]).contains("usage"));
}

TEST_F(OpenAiTest, AnEmptyAnswerStillHasRoleAndEnd) {
  const std::vector<std::string> events = events_of(chat("", R"(,"stream":true)").body);
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(read(events[0])["choices"][0]["delta"]["role"], "assistant");
  EXPECT_EQ(read(events[1])["choices"][0]["finish_reason"], "stop");
}

TEST_F(OpenAiTest, TokensArriveAsTheyCome) {
  chat_->token_time = 50ms;
  RawClient client(server_.port());
  const std::string body = chat_body("a b c d e f g h", R"(,"stream":true)");
  client.say(fmt::format("POST /v1/chat/completions HTTP/1.1\r\nhost: t\r\ncontent-length: {}\r\n\r\n{}", body.size(), body));
  EXPECT_THAT(client.hear_until("\"a\""), HasSubstr("\"a\""));
  EXPECT_EQ(chat_->running(), 1u) << "the first token was here before the last was made";
  client.hear_until("[DONE]");
}

TEST_F(OpenAiTest, CompletionsOfSeveralPrompts) {
  const RawResponse response = complete(R"(["a b","c d e",""])");
  ASSERT_EQ(response.status, 200) << response.body;
  const Json out = read(response.body);
  EXPECT_THAT(out["id"].get<std::string>(), StartsWith("cmpl-"));
  ASSERT_EQ(out["choices"].size(), 3u);
  EXPECT_EQ(out["choices"][0]["text"], "a b");
  EXPECT_EQ(out["choices"][1]["text"], "c d e");
  EXPECT_EQ(out["choices"][1]["index"], 1);
  EXPECT_EQ(out["choices"][2]["text"], "");
  EXPECT_EQ(out["usage"]["prompt_tokens"], 9);
  EXPECT_EQ(out["usage"]["completion_tokens"], 5);
  EXPECT_EQ(read(complete("[[1,2],[3]]").body)["choices"][1]["text"], "t3");
  EXPECT_EQ(read(complete("[7,8]").body)["choices"][0]["text"], "t7 t8");
}

TEST_F(OpenAiTest, SeveralAnswersToOnePrompt) {
  const Json out = read(chat("one two", R"(,"n":3,"seed":40)").body);
  ASSERT_EQ(out["choices"].size(), 3u);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(out["choices"][i]["index"], i);
    EXPECT_EQ(out["choices"][i]["message"]["content"], "one two");
    EXPECT_EQ(out["ipfs_accelerate"][i]["seed"], 40 + i) << "alike seeds would give alike answers";
  }
  EXPECT_EQ(out["usage"]["prompt_tokens"], 3) << "the prompt counts once";
  EXPECT_EQ(out["usage"]["completion_tokens"], 6);
  const Json texts = read(complete(R"(["a","b c"])", R"(,"n":2)").body);
  ASSERT_EQ(texts["choices"].size(), 4u);
  EXPECT_EQ(texts["choices"][1]["text"], "a");
  EXPECT_EQ(texts["choices"][2]["text"], "b c");
  EXPECT_EQ(texts["usage"]["prompt_tokens"], 6);
  const std::vector<std::string> events = events_of(chat("x y", R"(,"n":2,"stream":true,"stream_options":{"include_usage":true})").body);
  std::string said[2];
  for (const std::string& event : events) {
    if (event == "[DONE]") continue;
    const Json chunk = read(event);
    for (const Json& choice : chunk["choices"]) said[choice["index"].get<size_t>()] += choice["delta"].value("content", "");
  }
  EXPECT_EQ(said[0], "x y");
  EXPECT_EQ(said[1], "x y");
  EXPECT_EQ(read(events[events.size() - 2])["usage"]["prompt_tokens"], 3);
}

TEST_F(OpenAiTest, ChoicesOpenInTheirOrderBeforeAnySaysSomething) {
  const RawResponse response = chat("one two", R"(,"n":8,"stream":true)");
  const std::vector<std::string> events = events_of(response.body);
  ASSERT_GT(events.size(), 17u);
  for (size_t i = 0; i + 1 < events.size(); ++i) {
    const Json choice = read(events[i])["choices"][0];
    EXPECT_EQ(choice["delta"].contains("role"), i < 8);
    if (i < 8) { EXPECT_EQ(choice["index"], i); }
  }
}

TEST_F(OpenAiTest, LogprobsComeWithTheirTokens) {
  const Json whole = read(chat("one two", R"(,"logprobs":true)").body)["choices"][0]["logprobs"];
  ASSERT_EQ(whole["content"].size(), 2u);
  EXPECT_EQ(whole["content"][1]["token"], " two");
  EXPECT_TRUE(read(chat("one two").body)["choices"][0]["logprobs"].is_null());
  std::string tokens;
  for (const std::string& event : events_of(chat("one two", R"(,"logprobs":true,"stream":true)").body)) {
    if (event == "[DONE]") continue;
    const Json choice = read(event)["choices"][0];
    if (choice["logprobs"].is_null()) continue;
    for (const Json& token : choice["logprobs"]["content"]) tokens += token["token"].get<std::string>() + "|";
  }
  EXPECT_EQ(tokens, "one| two|");
  Json offsets = Json::array();
  for (const std::string& event : events_of(complete("\"one two\"", R"(,"logprobs":0,"stream":true)").body)) {
    if (event == "[DONE]") continue;
    const Json choice = read(event)["choices"][0];
    if (!choice["logprobs"].is_null()) offsets.push_back(choice["logprobs"]["text_offset"][0]);
  }
  EXPECT_EQ(offsets, Json({0, 3}));
}

TEST_F(OpenAiTest, StreamedCompletionsInterleaveByIndex) {
  chat_->token_time = 3ms;
  const RawResponse response = complete(R"(["a a a a a a","b b b b b b"])", R"(,"stream":true,"stream_options":{"include_usage":true})");
  const std::vector<std::string> events = events_of(response.body);
  ASSERT_GE(events.size(), 4u);
  std::string texts[2], order;
  int ends = 0;
  for (size_t i = 0; i + 2 < events.size(); ++i) {
    const Json choice = read(events[i])["choices"][0];
    const size_t index = choice["index"].get<size_t>();
    ASSERT_LT(index, 2u);
    texts[index] += choice["text"].get<std::string>();
    if (choice["finish_reason"].is_null()) order += index == 0 ? '0' : '1';
    else ++ends;
  }
  EXPECT_EQ(texts[0], "a a a a a a");
  EXPECT_EQ(texts[1], "b b b b b b");
  EXPECT_EQ(ends, 2);
  EXPECT_NE(order.find("01"), std::string::npos);
  EXPECT_NE(order.find("10"), std::string::npos) << order;
  EXPECT_EQ(read(events[events.size() - 2])["usage"]["completion_tokens"], 12);
  EXPECT_EQ(events.back(), "[DONE]");
}

TEST_F(OpenAiTest, Embeddings) {
  const RawResponse response = embed(R"(["four","sixsix"])");
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(response.headers.at("ipfs-accelerate-target"), "fake@cpu:0");
  const Json out = read(response.body);
  EXPECT_EQ(out["data"][0]["embedding"][0], 4.0);
  EXPECT_EQ(out["data"][1]["embedding"][0], 6.0);
  EXPECT_EQ(static_cast<float>(out["data"][0]["embedding"][1].get<double>()), 0.1f);
  EXPECT_EQ(out["usage"]["prompt_tokens"], 4);
  EXPECT_TRUE(read(embed("\"x\"", R"(,"encoding_format":"base64")").body)["data"][0]["embedding"].is_string());
}

TEST_F(OpenAiTest, EmbeddingErrors) {
  const RawResponse overflow = embed(R"(["fine","!long"])");
  EXPECT_EQ(overflow.status, 400);
  EXPECT_EQ(read(overflow.body)["error"]["code"], "context_length_exceeded");
  EXPECT_EQ(read(overflow.body)["error"]["param"], "input");
  EXPECT_EQ(embed("\"!nan\"").status, 500) << "no NaN leaves the house";
  const RawResponse wrong_model = post("/v1/embeddings", R"({"model":"chatty","input":"x"})");
  EXPECT_EQ(wrong_model.status, 501);
  EXPECT_EQ(wrong_model.headers.at("x-should-retry"), "false");
}

TEST_F(OpenAiTest, ErrorsBeforeTheFirstTokenHaveAStatusEvenInAStream) {
  for (const char* stream : {"", R"(,"stream":true)"}) {
    const RawResponse broken = chat("!fail", stream);
    EXPECT_EQ(broken.status, 500) << stream;
    EXPECT_EQ(read(broken.body)["error"]["type"], "server_error");
    const RawResponse overflow = chat("!long", stream);
    EXPECT_EQ(overflow.status, 400);
    EXPECT_EQ(read(overflow.body)["error"]["code"], "context_length_exceeded");
    EXPECT_EQ(read(overflow.body)["error"]["param"], "messages");
    const RawResponse ended = chat("!cancelled", stream);
    EXPECT_EQ(ended.status, 503);
  }
  EXPECT_EQ(read(complete("\"!long\"").body)["error"]["param"], "prompt");
}

TEST_F(OpenAiTest, AnErrorMidStreamIsAnEventAndTheEnd) {
  const RawResponse response = chat("!fail 2", R"(,"stream":true)");
  EXPECT_EQ(response.status, 200);
  const std::vector<std::string> events = events_of(response.body);
  ASSERT_EQ(events.size(), 4u) << response.body;
  EXPECT_THAT(read(events[3])["error"]["message"].get<std::string>(), HasSubstr("broken on purpose"));
  EXPECT_TRUE(response.whole);
}

TEST_F(OpenAiTest, OneFailingPromptFailsTheRequestAndFreesTheOthers) {
  EXPECT_EQ(complete(R"(["!forever","!fail"])", R"(,"max_tokens":1000000)").status, 500);
  EXPECT_TRUE(within(5s, [&] { return chat_->running() == 0; }));
  EXPECT_EQ(complete(R"(["!forever","!long"])", R"(,"max_tokens":1000000)").status, 400);
  EXPECT_TRUE(within(5s, [&] { return chat_->running() == 0; }));
}

TEST_F(OpenAiTest, UnknownModelIs404) {
  const RawResponse response = post("/v1/chat/completions", R"({"model":"gpt-9","messages":[{"role":"user","content":"x"}]})");
  EXPECT_EQ(response.status, 404);
  const Json error = read(response.body)["error"];
  EXPECT_EQ(error["code"], "model_not_found");
  EXPECT_EQ(error["param"], "model");
  EXPECT_THAT(error["message"].get<std::string>(), HasSubstr("chatty"));
}

TEST_F(OpenAiTest, AFullQueueIs429WithRetryAfter) {
  chat_->set_busy(true);
  const RawResponse response = chat("x");
  EXPECT_EQ(response.status, 429);
  EXPECT_EQ(response.headers.at("retry-after"), "1");
  EXPECT_EQ(read(response.body)["error"]["code"], "rate_limit_exceeded");
}

TEST_F(OpenAiTest, AClientThatLeavesFreesItsSlot) {
  for (const char* more : {R"(,"stream":true)", ""}) {
    const uint32_t before = chat_->cancelled();
    {
      RawClient client(server_.port());
      const std::string body = chat_body("!forever", more);
      client.say(fmt::format("POST /v1/chat/completions HTTP/1.1\r\nhost: t\r\ncontent-length: {}\r\n\r\n{}", body.size(), body));
      if (*more != '\0') client.hear_until("w3");
      else ASSERT_TRUE(within(5s, [&] { return chat_->running() == 1; }));
    }
    const auto left = std::chrono::steady_clock::now();
    ASSERT_TRUE(within(5s, [&] { return chat_->running() == 0; }));
    EXPECT_LT(std::chrono::steady_clock::now() - left, 1s);
    EXPECT_EQ(chat_->cancelled(), before + 1);
  }
}

TEST_F(OpenAiTest, AClientThatLeavesStopsItsEmbeddings) {
  embed_->embed_time = 60s;
  {
    RawClient client(server_.port());
    client.say("POST /v1/embeddings HTTP/1.1\r\nhost: t\r\ncontent-length: 30\r\n\r\n{\"model\":\"minilm\",\"input\":\"abc\"}");
    client.say("");
    within(200ms, [&] { return embed_->running() == 1; });
    client.close();
  }
  EXPECT_TRUE(within(5s, [&] { return embed_->running() == 0; }));
}

TEST_F(OpenAiTest, SixteenStreamsAreNotMixedUp) {
  chat_->token_time = 1ms;
  std::vector<std::thread> clients;
  std::atomic<int> right{0};
  for (int c = 0; c < 16; ++c) {
    clients.emplace_back([&, c] {
      for (int round = 0; round < 3; ++round) {
        std::string prompt;
        for (int w = 0; w < 40; ++w) prompt += fmt::format("{}c{}r{}w{}", w == 0 ? "" : " ", c, round, w);
        const RawResponse response = chat(prompt, R"(,"stream":true)");
        std::string text;
        for (const std::string& event : events_of(response.body)) {
          if (event != "[DONE]") text += read(event)["choices"][0]["delta"].value("content", "");
        }
        right += response.whole && text == prompt;
      }
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(right, 48);
}

TEST_F(OpenAiTest, BadBodiesAre400AndOthersAreServedMeanwhile) {
  chat_->token_time = 5ms;
  std::thread other([&] { EXPECT_EQ(read(chat("a b c d e f g h").body)["choices"][0]["message"]["content"], "a b c d e f g h"); });
  EXPECT_EQ(post("/v1/chat/completions", "{").status, 400);
  EXPECT_EQ(post("/v1/chat/completions", "{\"model\":\"\xff\"}").status, 400);
  EXPECT_EQ(post("/v1/chat/completions", std::string(200000, '[')).status, 400);
  EXPECT_EQ(post("/v1/completions", "").status, 400);
  const RawResponse huge = post("/v1/embeddings", std::string(size_t{100} << 20, 'x'));
  EXPECT_EQ(huge.status, 413);
  EXPECT_EQ(read(huge.body)["error"]["type"], "invalid_request_error");
  other.join();
}

TEST_F(OpenAiTest, StoppingEndsRunningStreamsWithAnError) {
  RawClient client(server_.port());
  const std::string body = chat_body("!forever", R"(,"stream":true)");
  client.say(fmt::format("POST /v1/chat/completions HTTP/1.1\r\nhost: t\r\ncontent-length: {}\r\n\r\n{}", body.size(), body));
  client.hear_until("w1");
  const auto start = std::chrono::steady_clock::now();
  server_.stop(50ms);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 5s);
  EXPECT_TRUE(within(5s, [&] { return chat_->running() == 0; }));
}

TEST_F(OpenAiTest, AnAnswerThatMovedSaysSo) {
  for (const bool chat_route : {true, false}) {
    const std::string more = R"(,"stream":true,"stream_options":{"include_usage":true})";
    const RawResponse streamed = chat_route ? chat("!moved", more) : complete("\"!moved\"", more);
    ASSERT_EQ(streamed.status, 200);
    EXPECT_EQ(streamed.headers.at("ipfs-accelerate-target"), "b@cpu:0") << "who made the first token, not who was asked first";
    EXPECT_TRUE(streamed.body.starts_with(": moved from a@cpu:0 to b@cpu:0 after token 0: killed\n\ndata: ")) << streamed.body;
    const size_t one = streamed.body.find("\"one\""), notice = streamed.body.find(": moved from b@cpu:0 to c@cpu:0 after token 1: hung up\n\n"),
                 two = streamed.body.find("\" two\"");
    ASSERT_NE(notice, std::string::npos) << streamed.body;
    EXPECT_LT(one, notice);
    EXPECT_LT(notice, two);
    const size_t usage = streamed.body.rfind("data: {");
    const Json last = read(streamed.body.substr(usage + 6, streamed.body.find('\n', usage) - usage - 6));
    EXPECT_EQ(last["choices"].size(), 0u);
    EXPECT_EQ(last["ipfs_accelerate"]["served"][0]["index"], 0);
    EXPECT_EQ(last["ipfs_accelerate"]["served"][0]["ranges"][1], (Json{{"target", "c@cpu:0"}, {"first_token", 1}, {"tokens", 1}}));
    const RawResponse whole = chat_route ? chat("!moved") : complete("\"!moved\"");
    EXPECT_EQ(whole.headers.at("ipfs-accelerate-target"), "b@cpu:0");
    const Json reply = read(whole.body);
    EXPECT_EQ(reply["ipfs_accelerate"]["served"].size(), 2u);
    EXPECT_EQ(reply["ipfs_accelerate"]["served"][0]["target"], "b@cpu:0");
  }
}

}  // namespace
}  // namespace accelerate
