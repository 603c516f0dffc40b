// /v1/responses over a real socket, with a scripted model behind.
#include "accelerate/serve/responses_route.h"

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
using ::testing::HasSubstr;

class ResponsesRoute : public ::testing::Test {
 protected:
  ResponsesRoute() : model_(std::make_shared<FakeEndpoint>("chatty")), server_(source_of({model_}), {.port = 0}) {
    const Result<void> started = server_.start();
    EXPECT_TRUE(started.ok()) << started.error().message;
  }
  ~ResponsesRoute() override { server_.stop(0ms); }
  RawResponse ask(std::string_view input, std::string_view more = "") {
    return RawClient(server_.port()).ask("POST", "/v1/responses", fmt::format(R"({{"model":"chatty","input":"{}"{}}})", input, more));
  }
  std::shared_ptr<FakeEndpoint> model_;
  Server server_;
};

TEST_F(ResponsesRoute, Answers) {
  const RawResponse response = ask("one two three");
  ASSERT_EQ(response.status, 200) << response.body;
  EXPECT_EQ(response.headers.at("ipfs-accelerate-target"), "fake@cpu:0");
  const Json out = read(response.body);
  EXPECT_EQ(out["object"], "response");
  EXPECT_EQ(out["output"][0]["content"][0]["text"], "one two three");
  EXPECT_EQ(out["usage"]["output_tokens"], 3);
}

TEST_F(ResponsesRoute, StreamsEvents) {
  const RawResponse response = ask("one two", R"(,"stream":true,"max_output_tokens":1)");
  ASSERT_EQ(response.status, 200);
  EXPECT_TRUE(response.whole);
  EXPECT_TRUE(response.body.starts_with("event: response.created\ndata: {"));
  size_t next = 0;
  for (size_t at = response.body.find("\"sequence_number\":"); at != std::string::npos; at = response.body.find("\"sequence_number\":", at + 1)) {
    EXPECT_EQ(std::stoul(response.body.substr(at + 18)), next++);
  }
  EXPECT_GT(next, 6u);
  EXPECT_THAT(response.body, HasSubstr("event: response.output_text.delta\ndata: {"));
  EXPECT_THAT(response.body, HasSubstr("event: response.incomplete\ndata: {"));
}

TEST_F(ResponsesRoute, Calls) {
  const Json out = read(ask("!call only", R"(,"tools":[{"type":"function","name":"f"}])").body);
  ASSERT_EQ(out["output"].size(), 2u);
  EXPECT_EQ(out["output"][1]["type"], "function_call");
  EXPECT_EQ(out["output"][1]["arguments"], "{\"x\":1}");
}

TEST_F(ResponsesRoute, FailuresHaveTheirStatusOrTheirEvent) {
  EXPECT_EQ(ask("x", R"(,"store":true)").status, 400);
  EXPECT_EQ(RawClient(server_.port()).ask("POST", "/v1/responses", R"({"model":"nobody","input":"x"})").status, 404);
  EXPECT_EQ(ask("!fail").status, 500);
  EXPECT_EQ(ask("!fail", R"(,"stream":true)").status, 500);
  EXPECT_EQ(ask("!long").status, 400);
  EXPECT_EQ(read(ask("!long").body)["error"]["param"], "input");
  const RawResponse late = ask("!fail 2", R"(,"stream":true)");
  EXPECT_EQ(late.status, 200);
  EXPECT_THAT(late.body, HasSubstr("event: response.failed\ndata: {"));
}

TEST_F(ResponsesRoute, AnAnswerThatMovedSaysSo) {
  const RawResponse streamed = ask("!moved", R"(,"stream":true)");
  EXPECT_EQ(streamed.headers.at("ipfs-accelerate-target"), "b@cpu:0");
  EXPECT_TRUE(streamed.body.starts_with(": moved from a@cpu:0 to b@cpu:0 after token 0: killed\n\nevent: response.created\n")) << streamed.body;
  EXPECT_THAT(streamed.body, HasSubstr("\n\n: moved from b@cpu:0 to c@cpu:0 after token 1: hung up\n\nevent: "));
  const RawResponse whole = ask("!moved");
  EXPECT_EQ(whole.headers.at("ipfs-accelerate-target"), "b@cpu:0");
  EXPECT_EQ(read(whole.body)["output"][0]["content"][0]["text"], "one two");
}

}  // namespace
}  // namespace accelerate
