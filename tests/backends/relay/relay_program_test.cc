#include "accelerate/backends/relay/relay_program.h"

#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/backends/relay/upstream.h"

namespace accelerate {
namespace {

using namespace std::chrono_literals;
using testing::RawServer;
using testing::Upstream;
using ::testing::Contains;
using ::testing::HasSubstr;

struct Said {
  std::string text;
  Result<Reply> reply = Reply{};
};

class Relaying : public ::testing::Test {
 protected:
  Said ask(Upstream& upstream, const std::string& key = {}) {
    RelayProgram program(upstream.model(), {.name = "up", .url = upstream.url(), .key = key});
    Stream stream;
    const Result<void> ran = program.generate(request_, stream, {.deadline = std::nullopt, .stop = &stop_});
    Said said;
    while (auto part = stream.next(0ms)) said.text += part->text;
    EXPECT_TRUE(stream.done());
    said.reply = stream.result();
    EXPECT_EQ(ran.ok(), said.reply.ok());
    return said;
  }
  Relaying() { request_.messages = {{.role = "user", .content = "Hi", .tool_calls = {}, .tool_call_id = {}, .name = {}}}; }
  Request request_;
  std::atomic<bool> stop_{false};
};

TEST_F(Relaying, StreamsAnAnswer) {
  Upstream upstream([](Socket& client, const std::string&) {
    Upstream::begin(client);
    for (const char* words : {"one", " two"}) Upstream::text(client, words);
    Upstream::end(client);
  });
  request_.sampling.seed = 5;
  const Said said = ask(upstream, "sk-secret");
  ASSERT_TRUE(said.reply.ok()) << said.reply.error().message;
  EXPECT_EQ(said.text, "one two");
  EXPECT_EQ(said.reply->usage.prompt_tokens, 4u);
  EXPECT_EQ(said.reply->served_by, "relay@up");
  EXPECT_EQ(said.reply->seed, 5u);
  EXPECT_GT(said.reply->ttft_ms, 0);
  EXPECT_TRUE(said.reply->notes.empty());
  EXPECT_THAT(upstream.last(), HasSubstr("POST /v1/chat/completions HTTP/1.1"));
  EXPECT_THAT(upstream.last(), HasSubstr("Authorization: Bearer sk-secret\r\n"));
  EXPECT_THAT(upstream.last(), HasSubstr(R"("model":"m/1")"));
}

TEST_F(Relaying, DoneEndsItWhateverTheConnectionDoes) {
  Upstream upstream([](Socket& client, const std::string&) {
    Upstream::begin(client);
    Upstream::text(client, "x");
    Upstream::event(client, R"({"choices": [{"delta": {}, "finish_reason": "stop"}]})");
    Upstream::event(client, "[DONE]");
    char byte;
    (void)client.read(&byte, 1, deadline_in(20s));  // open until the relay leaves
  });
  const auto start = std::chrono::steady_clock::now();
  const Said said = ask(upstream);
  ASSERT_TRUE(said.reply.ok()) << said.reply.error().message;
  EXPECT_LT(std::chrono::steady_clock::now() - start, 10s);
  EXPECT_THAT(said.reply->notes, Contains(HasSubstr("usage")));
}

TEST_F(Relaying, ADeathInTheMiddleIsSaid) {
  for (const bool reset : {false, true}) {
    Upstream upstream([&](Socket& client, const std::string&) {
      Upstream::begin(client);
      Upstream::text(client, "half a");
      std::this_thread::sleep_for(30ms);
      if (reset) RawServer::reset(client);
    });
    const Said said = ask(upstream);
    EXPECT_EQ(said.text, "half a");
    ASSERT_FALSE(said.reply.ok());
    EXPECT_EQ(said.reply.error().code, ErrorCode::kUnavailable);
    EXPECT_THAT(said.reply.error().message, HasSubstr("[relay] up "));
    EXPECT_THAT(said.reply.error().message, HasSubstr("in the middle, after 6 bytes"));
  }
}

TEST_F(Relaying, AnEndWithoutAReasonIsNone) {
  Upstream upstream([](Socket& client, const std::string&) {
    Upstream::begin(client);
    Upstream::text(client, "half");
    RawServer::say(client, "0\r\n\r\n");
  });
  EXPECT_THAT(ask(upstream).reply.error().message, HasSubstr("without a finish reason"));
  Upstream silent([](Socket& client, const std::string&) {
    Upstream::begin(client);
    RawServer::say(client, "0\r\n\r\n");
  });
  EXPECT_EQ(ask(silent).reply.error().code, ErrorCode::kDataLoss);
}

TEST_F(Relaying, RefusalsAndErrorsKeepTheUpstreamsWords) {
  Upstream busy([](Socket& client, const std::string&) { Upstream::say(client, 429, R"({"error": {"message": "slow down"}})"); });
  Said said = ask(busy);
  EXPECT_EQ(said.reply.error().code, ErrorCode::kResourceExhausted);
  EXPECT_THAT(said.reply.error().message, HasSubstr("slow down"));
  Upstream failing([](Socket& client, const std::string&) {
    Upstream::begin(client);
    Upstream::text(client, "x");
    Upstream::event(client, R"({"error": {"message": "the model crashed"}})");
  });
  said = ask(failing);
  EXPECT_EQ(said.text, "x");
  EXPECT_THAT(said.reply.error().message, HasSubstr("the model crashed"));
  Upstream whole([](Socket& client, const std::string&) { Upstream::say(client, 200, R"({"choices": []})"); });
  EXPECT_EQ(ask(whole).reply.error().code, ErrorCode::kDataLoss) << "an upstream that does not stream";
  Upstream moved([](Socket& client, const std::string&) { RawServer::say(client, "HTTP/1.1 307 X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"); });
  EXPECT_EQ(ask(moved).reply.error().code, ErrorCode::kUnavailable) << "text goes where the URL says, nowhere else";
  RelayProgram gone(whole.model(), {.name = "up", .url = "http://127.0.0.1:1/v1", .key = {}});
  Stream stream;
  EXPECT_FALSE(gone.generate(request_, stream, {}).ok());
  EXPECT_EQ(stream.result().error().code, ErrorCode::kUnavailable);
}

TEST_F(Relaying, AStopClosesTheConnection) {
  std::atomic<bool> left{false};
  Upstream upstream([&](Socket& client, const std::string&) {
    Upstream::begin(client);
    Upstream::text(client, "x");
    stop_ = true;
    char byte;
    left = client.read(&byte, 1, deadline_in(10s)).status == Socket::Status::kClosed;
  });
  const Said said = ask(upstream);
  ASSERT_TRUE(said.reply.ok()) << said.reply.error().message;
  EXPECT_EQ(said.reply->finish_reason, FinishReason::kCancelled);
  for (int i = 0; i < 500 && !left; ++i) std::this_thread::sleep_for(10ms);
  EXPECT_TRUE(left);
}

TEST_F(Relaying, LivesAsLongAsItIsListed) {
  Upstream upstream([](Socket&, const std::string&) {});
  EXPECT_TRUE(RelayProgram(upstream.model(), {.name = "up", .url = upstream.url(), .key = {}}).alive());
  EXPECT_FALSE(RelayProgram(upstream.model("none"), {.name = "up", .url = upstream.url(), .key = {}}).alive());
  EXPECT_FALSE(RelayProgram(upstream.model(), {.name = "up", .url = "http://127.0.0.1:1/v1", .key = {}}).alive());
  EXPECT_THAT(RelayProgram(upstream.model(), {.name = "up", .url = upstream.url(), .key = {}}).notes(), Contains(HasSubstr(upstream.url())));
  EXPECT_THAT(RelayProgram(upstream.model(), {.name = "up", .url = "https://192.0.2.1/v1", .key = {}}).notes(), Contains(HasSubstr("leave this machine")));
}

}  // namespace
}  // namespace accelerate
