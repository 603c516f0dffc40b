#include "accelerate/serve/server.h"

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
using ::testing::StartsWith;

ModelSource two_models() {
  return source_of({std::make_shared<FakeEndpoint>("org/model 1"), std::make_shared<FakeEndpoint>("minilm", ProgramKind::kEncoder)});
}

TEST(Server, ListsAndShowsModels) {
  Server server(two_models(), {.port = 0, .api_key = ""});
  ASSERT_TRUE(server.start().ok());
  EXPECT_EQ(server.url(), fmt::format("http://127.0.0.1:{}", server.port()));
  RawClient client(server.port());
  const Json list = read(client.ask("GET", "/v1/models").body);
  EXPECT_EQ(list["object"], "list");
  ASSERT_EQ(list["data"].size(), 2u);
  EXPECT_EQ(list["data"][0]["id"], "org/model 1");
  EXPECT_EQ(list["data"][0]["created"], 1700000000);
  EXPECT_EQ(read(client.ask("GET", "/v1/models/minilm").body)["object"], "model");
  EXPECT_EQ(read(client.ask("GET", "/v1/models/org%2Fmodel%201").body)["id"], "org/model 1");
  const RawResponse missing = client.ask("GET", "/v1/models/none");
  EXPECT_EQ(missing.status, 404);
  EXPECT_EQ(read(missing.body)["error"]["code"], "model_not_found");
  EXPECT_EQ(client.ask("GET", "/v1/models/%zz").status, 400);
}

TEST(Server, UnknownRoutesAndMethods) {
  Server server(two_models(), {.port = 0, .api_key = ""});
  ASSERT_TRUE(server.start().ok());
  RawClient client(server.port());
  const RawResponse unknown = client.ask("GET", "/v1/nothing");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(read(unknown.body)["error"]["code"], "unknown_url");
  EXPECT_THAT(unknown.headers.at("x-request-id"), StartsWith("req_"));
  const RawResponse wrong = client.ask("GET", "/v1/chat/completions");
  EXPECT_EQ(wrong.status, 405);
  EXPECT_THAT(wrong.headers.at("allow"), HasSubstr("POST"));
  EXPECT_EQ(client.ask("DELETE", "/v1/models").status, 405);
  EXPECT_EQ(client.ask("POST", "/v1/models/minilm", "{}").status, 405);
  const RawResponse options = client.ask("OPTIONS", "/v1/embeddings");
  EXPECT_EQ(options.status, 204);
  EXPECT_THAT(options.headers.at("allow"), HasSubstr("POST"));
  const RawResponse head = client.ask("HEAD", "/v1/models");
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(client.ask("GET", "/v1/models").status, 200) << "the HEAD answer had no body";
}

TEST(Server, MalformedHttpGetsOpenAisErrorObject) {
  Server server(two_models(), {.port = 0, .api_key = ""});
  ASSERT_TRUE(server.start().ok());
  RawClient client(server.port());
  client.say("not http at all\r\n\r\n");
  const RawResponse response = client.hear_response();
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(read(response.body)["error"]["type"], "invalid_request_error");
}

TEST(Server, HealthReportsLoad) {
  Server server(two_models(), {.port = 0, .api_key = ""});
  ASSERT_TRUE(server.start().ok());
  const RawResponse response = RawClient(server.port()).ask("GET", "/health");
  EXPECT_EQ(response.status, 200);
  const Json health = read(response.body);
  EXPECT_EQ(health["status"], "ok");
  EXPECT_EQ(health["models"][1]["kind"], "encoder");
  EXPECT_EQ(health["models"][0]["running"], 0);
}

TEST(Server, AnApiKeyIsAskedForUnderV1) {
  Server server(two_models(), {.port = 0, .api_key = "secret"});
  ASSERT_TRUE(server.start().ok());
  RawClient client(server.port());
  const RawResponse none = client.ask("GET", "/v1/models");
  EXPECT_EQ(none.status, 401);
  EXPECT_EQ(read(none.body)["error"]["code"], "invalid_api_key");
  EXPECT_EQ(client.ask("GET", "/v1/models", "", "authorization: Bearer secreT\r\n").status, 401);
  EXPECT_EQ(client.ask("GET", "/v1/models", "", "authorization: Bearer \r\n").status, 401);
  EXPECT_EQ(client.ask("GET", "/v1/models", "", "authorization: Bearer secretsecret\r\n").status, 401);
  EXPECT_EQ(client.ask("GET", "/v1/models", "", "authorization: Basic secret\r\n").status, 401);
  EXPECT_EQ(client.ask("GET", "/v1/models", "", "authorization: bearer secret\r\n").status, 200);
  EXPECT_EQ(client.ask("GET", "/health").status, 200) << "probes need no key";
}

TEST(Server, TakenPortIsAnErrorThatNamesIt) {
  Server first(two_models(), {.port = 0, .api_key = ""});
  ASSERT_TRUE(first.start().ok());
  Server second(two_models(), {.port = first.port(), .api_key = ""});
  const Result<void> started = second.start();
  ASSERT_FALSE(started.ok());
  EXPECT_EQ(started.error().code, ErrorCode::kAlreadyExists);
  EXPECT_THAT(started.error().message, HasSubstr(fmt::format("127.0.0.1:{}", first.port())));
}

TEST(Server, StopIsIdempotentAndEndsTheListening) {
  Server server(two_models(), {.port = 0, .api_key = ""});
  ASSERT_TRUE(server.start().ok());
  const uint16_t port = server.port();
  server.stop(1s);
  server.stop(0ms);
  EXPECT_FALSE(RawClient(port).connected());
}

TEST(Server, BodyLimitIsTheCallers) {
  Server server(two_models(), {.port = 0, .api_key = "", .body_bytes_max = 100});
  ASSERT_TRUE(server.start().ok());
  EXPECT_EQ(RawClient(server.port()).ask("POST", "/v1/embeddings", std::string(101, ' ')).status, 413);
  EXPECT_EQ(RawClient(server.port()).ask("POST", "/v1/embeddings", std::string(100, ' ')).status, 400);
}

}  // namespace
}  // namespace accelerate
