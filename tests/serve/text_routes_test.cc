#include "accelerate/serve/text_routes.h"

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

class TextRoutes : public ::testing::Test {
 protected:
  TextRoutes() : server_(source_of({std::make_shared<FakeEndpoint>("chatty")}), {.port = 0}) {
    const Result<void> started = server_.start();
    EXPECT_TRUE(started.ok()) << started.error().message;
  }
  ~TextRoutes() override { server_.stop(0ms); }
  RawResponse post(std::string_view path, const std::string& body) { return RawClient(server_.port()).ask("POST", path, body); }
  Json ok(std::string_view path, const std::string& body) {
    const RawResponse response = post(path, body);
    EXPECT_EQ(response.status, 200) << response.body;
    return read(response.body);
  }
  Server server_;
};

TEST_F(TextRoutes, TokenizeHasTheMembersOfBothServers) {
  const Json plain = ok("/tokenize", R"({"content":"hi"})");
  EXPECT_EQ(plain["tokens"], Json({104, 105}));
  EXPECT_EQ(plain["count"], 2);
  EXPECT_EQ(plain["max_model_len"], 4096);
  EXPECT_FALSE(plain.contains("token_strs"));
  EXPECT_EQ(ok("/tokenize", R"({"model":"chatty","prompt":"hi"})")["tokens"], Json({256, 104, 105}));
  EXPECT_EQ(ok("/tokenize", R"({"content":"h","parse_special":false})")["tokens"], Json({104, 257}));
  EXPECT_EQ(ok("/tokenize", R"({"messages":[{"role":"user","content":"hi"}],"add_generation_prompt":false})")["count"], 8);
}

TEST_F(TextRoutes, PiecesThatAreNoTextComeAsBytes) {
  const Json reply = ok("/tokenize", R"({"content":"h\u00e9","with_pieces":true,"return_token_strs":true})");
  EXPECT_EQ(reply["tokens"][0], Json({{"id", 104}, {"piece", "h"}}));
  EXPECT_EQ(reply["tokens"][1], Json({{"id", 0xc3}, {"piece", {0xc3}}}));
  EXPECT_EQ(reply["token_strs"], Json({"h", "\uFFFD", "\uFFFD"}));
}

TEST_F(TextRoutes, DetokenizeAnswersUnderBothNames) {
  const Json reply = ok("/detokenize", R"({"tokens":[256,104,105]})");
  EXPECT_EQ(reply["content"], "<special>hi");
  EXPECT_EQ(reply["prompt"], "<special>hi");
  EXPECT_EQ(ok("/detokenize", R"({"tokens":[]})")["content"], "");
  EXPECT_EQ(ok("/detokenize", R"({"tokens":[195]})")["content"], "\uFFFD") << "half a character";
  const RawResponse outside = post("/detokenize", R"({"tokens":[258]})");
  EXPECT_EQ(outside.status, 400);
}

TEST_F(TextRoutes, ApplyTemplateShowsThePrompt) {
  EXPECT_EQ(ok("/apply-template", R"({"messages":[{"role":"user","content":"hi"}]})")["prompt"], "user:hi;assistant:");
}

TEST_F(TextRoutes, ToolsOfAChatAreInItsPrompt) {
  const std::string chat = R"({"messages":[{"role":"user","content":"hi"}],"tools":[{"type":"function","function":{"name":"f"}}]})";
  EXPECT_EQ(ok("/apply-template", chat)["prompt"], "user:hi;tool:f;assistant:");
  EXPECT_EQ(ok("/tokenize", chat)["count"], std::string("user:hi;tool:f;assistant:").size());
}

TEST_F(TextRoutes, RefusalsAreOpenAisErrors) {
  EXPECT_EQ(post("/tokenize", R"({"model":"none","content":"hi"})").status, 404);
  EXPECT_EQ(post("/detokenize", R"({"model":"none","tokens":[1]})").status, 404);
  EXPECT_EQ(post("/apply-template", R"({"model":"none","messages":[{"role":"user","content":"hi"}]})").status, 404);
  for (const char* path : {"/tokenize", "/detokenize", "/apply-template"}) {
    const RawResponse refused = post(path, "{}");
    EXPECT_EQ(refused.status, 400) << path;
    EXPECT_EQ(read(refused.body)["error"]["type"], "invalid_request_error");
    EXPECT_EQ(RawClient(server_.port()).ask("GET", path).status, 405) << path;
  }
}

TEST(TextRoutesWithoutATemplate, IsAPreconditionThatFailed) {
  const auto raw = std::make_shared<FakeEndpoint>("raw");
  raw->info_to_change().chat = false;
  Server server(source_of({raw}), {.port = 0});
  ASSERT_TRUE(server.start().ok());
  const std::string body = R"({"messages":[{"role":"user","content":"hi"}]})";
  EXPECT_EQ(RawClient(server.port()).ask("POST", "/apply-template", body).status, 400);
  EXPECT_EQ(RawClient(server.port()).ask("POST", "/tokenize", body).status, 400);
}

}  // namespace
}  // namespace accelerate
