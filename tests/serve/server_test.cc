#include "accelerate/serve/server.h"

#include <sstream>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "accelerate/base/file.h"
#include "tests/net/raw_client.h"
#include "tests/net/throwaway_certificate.h"
#include "tests/serve/fake_endpoint.h"
#include "tests/serve/read_json.h"
#include "tests/temporary.h"

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
  Server server(two_models(), {.port = 0});
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
  Server server(two_models(), {.port = 0});
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
  Server server(two_models(), {.port = 0});
  ASSERT_TRUE(server.start().ok());
  RawClient client(server.port());
  client.say("not http at all\r\n\r\n");
  const RawResponse response = client.hear_response();
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(read(response.body)["error"]["type"], "invalid_request_error");
}

TEST(Server, HealthReportsLoad) {
  Server server(two_models(), {.port = 0});
  ASSERT_TRUE(server.start().ok());
  const RawResponse response = RawClient(server.port()).ask("GET", "/health");
  EXPECT_EQ(response.status, 200);
  const Json health = read(response.body);
  EXPECT_EQ(health["status"], "ok");
  EXPECT_EQ(health["models"][1]["kind"], "encoder");
  EXPECT_EQ(health["models"][0]["running"], 0);
}

ApiKeys keys_of(const std::vector<std::string>& keys) {
  ApiKeys out;
  for (const std::string& key : keys) EXPECT_TRUE(out.add(key).ok());
  return out;
}
constexpr std::string_view kSecret = "authorization: Bearer secret\r\n";
std::string chat_of(std::string_view prompt, std::string_view more = "") {
  return fmt::format(R"({{"model":"org/model 1","messages":[{{"role":"user","content":"{}"}}]{}}})", prompt, more);
}

TEST(Server, AnApiKeyIsAskedForUnderV1) {
  Server server(two_models(), {.port = 0, .keys = keys_of({"secret", "other"})});
  ASSERT_TRUE(server.start().ok());
  RawClient client(server.port());
  const RawResponse none = client.ask("GET", "/v1/models");
  EXPECT_EQ(none.status, 401);
  EXPECT_EQ(none.headers.at("www-authenticate"), "Bearer");
  EXPECT_EQ(read(none.body)["error"]["code"], "invalid_api_key");
  for (const char* wrong : {"Bearer secreT", "Bearer ", "Bearer", "Bearer secretsecret", "Basic secret", "secret", "Bearer  secret"}) {
    EXPECT_EQ(client.ask("GET", "/v1/models", "", fmt::format("authorization: {}\r\n", wrong)).status, 401) << wrong;
  }
  EXPECT_EQ(client.ask("GET", "/v1/models", "", "authorization: bearer secret\r\n").status, 200);
  EXPECT_EQ(client.ask("GET", "/v1/models", "", "authorization: Bearer other\r\n").status, 200);
  EXPECT_EQ(client.ask("GET", "/health").status, 200) << "probes need no key";
}

TEST(Server, AStrangersBodyIsNotWaitedFor) {
  Server server(two_models(), {.port = 0, .keys = keys_of({"secret"})});
  ASSERT_TRUE(server.start().ok());
  for (const auto& [head, status] : std::vector<std::pair<std::string, int>>{{"POST /v1/embeddings HTTP/1.1\r\n", 401}, {"POST /v1/nothing HTTP/1.1\r\n", 404},
                                                                             {"PUT /v1/embeddings HTTP/1.1\r\n", 405}}) {
    RawClient client(server.port());
    client.say(head + "host: h\r\ncontent-length: 30000000\r\n\r\n");
    EXPECT_EQ(client.hear_response().status, status) << head;
  }
}

TEST(Server, TheEngineKnowsWhoAsksAndUnderWhichId) {
  const auto model = std::make_shared<FakeEndpoint>("org/model 1");
  Server server(source_of({model}), {.port = 0, .keys = keys_of({"secret"})});
  ASSERT_TRUE(server.start().ok());
  RawClient client(server.port());
  const RawResponse response = client.ask("POST", "/v1/chat/completions", chat_of("hi"), std::string(kSecret) + "x-request-id: mine-1\r\n");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.headers.at("x-request-id"), "mine-1");
  EXPECT_EQ(model->last_request().id, "mine-1");
  EXPECT_EQ(model->last_request().client, *keys_of({"secret"}).client_of("secret"));
  EXPECT_THAT(client.ask("GET", "/v1/models", "", std::string(kSecret) + "x-request-id: not {safe}\r\n").headers.at("x-request-id"), StartsWith("req_"));
}

TEST(Server, APublicAddressNeedsAKey) {
  for (const char* host : {"0.0.0.0", "::"}) {
    Server open(two_models(), {.host = host, .port = 0});
    const Result<void> refused = open.prepare();
    ASSERT_FALSE(refused.ok()) << host;
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
    EXPECT_THAT(refused.error().message, ::testing::AllOf(HasSubstr(host), HasSubstr("--api-key-file"), HasSubstr("--insecure")));
    EXPECT_FALSE(open.start().ok());
  }
  Server insecure(two_models(), {.host = "0.0.0.0", .port = 0, .insecure = true});
  EXPECT_TRUE(insecure.start().ok());
  Server keyed(two_models(), {.host = "0.0.0.0", .port = 0, .keys = keys_of({"secret"})});
  EXPECT_TRUE(keyed.start().ok());
}

TEST(Server, AKeyHasALimitOfItsOwn) {
  const auto model = std::make_shared<FakeEndpoint>("org/model 1");
  Server server(source_of({model}), {.port = 0, .keys = keys_of({"secret", "other"}), .requests_per_key = 1});
  ASSERT_TRUE(server.start().ok());
  {
    RawClient busy(server.port());
    const std::string body = chat_of("!forever", R"(,"stream":true)");
    busy.say(fmt::format("POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\n{}content-length: {}\r\n\r\n{}", kSecret, body.size(), body));
    EXPECT_THAT(busy.hear_until("data: "), HasSubstr("200 OK"));
    const RawResponse refused = RawClient(server.port()).ask("POST", "/v1/chat/completions", chat_of("hi"), kSecret);
    EXPECT_EQ(refused.status, 429);
    EXPECT_EQ(refused.headers.at("retry-after"), "1");
    EXPECT_EQ(read(refused.body)["error"]["code"], "rate_limit_exceeded");
    EXPECT_EQ(RawClient(server.port()).ask("POST", "/v1/chat/completions", chat_of("hi"), "authorization: Bearer other\r\n").status, 200);
  }
  EXPECT_TRUE(testing::within(5s, [&] { return RawClient(server.port()).ask("POST", "/v1/chat/completions", chat_of("hi"), kSecret).status == 200; }))
      << "a client that left gives its place back";
}

TEST(Server, AFullQueueIs429) {
  const auto model = std::make_shared<FakeEndpoint>("org/model 1");
  model->set_busy(true);
  Server server(source_of({model}), {.port = 0});
  ASSERT_TRUE(server.start().ok());
  for (const char* more : {"", R"(,"stream":true)"}) {
    const RawResponse refused = RawClient(server.port()).ask("POST", "/v1/chat/completions", chat_of("hi", more));
    EXPECT_EQ(refused.status, 429);
    EXPECT_EQ(refused.headers.at("retry-after"), "1");
    EXPECT_EQ(read(refused.body)["error"]["code"], "rate_limit_exceeded");
    EXPECT_EQ(read(refused.body)["error"]["type"], "rate_limit_error");
  }
}

TEST(Server, PagesThatAreAllowedMayRead) {
  Server server(two_models(), {.port = 0, .keys = keys_of({"secret"}), .cors_origins = {"https://app.example"}});
  ASSERT_TRUE(server.start().ok());
  RawClient client(server.port());
  const RawResponse preflight = client.ask("OPTIONS", "/v1/chat/completions", "", "origin: https://app.example\r\naccess-control-request-method: POST\r\n"
                                           "access-control-request-headers: authorization\r\n");
  EXPECT_EQ(preflight.status, 204) << "browsers send no key with it";
  EXPECT_EQ(preflight.headers.at("access-control-allow-origin"), "https://app.example");
  EXPECT_EQ(preflight.headers.at("access-control-allow-headers"), "authorization");
  EXPECT_THAT(preflight.headers.at("access-control-allow-methods"), HasSubstr("POST"));
  const RawResponse refused = client.ask("GET", "/v1/models", "", "origin: https://app.example\r\n");
  EXPECT_EQ(refused.status, 401);
  EXPECT_EQ(refused.headers.at("access-control-allow-origin"), "https://app.example") << "a page may read why";
  const RawResponse other = client.ask("GET", "/v1/models", "", std::string(kSecret) + "origin: https://evil.example\r\n");
  EXPECT_EQ(other.status, 200);
  EXPECT_EQ(other.headers.count("access-control-allow-origin"), 0u);
  EXPECT_EQ(other.headers.at("vary"), "Origin");
  Server broken(two_models(), {.port = 0, .cors_origins = {"app.example"}});
  EXPECT_EQ(broken.prepare().error().code, ErrorCode::kInvalidArgument);
}

TEST(Server, EveryRequestHasALineInTheAccessLog) {
  const TemporaryFolder folder;
  const std::string path = (folder / "access.log").string();
  {
    Server server(two_models(), {.port = 0, .keys = keys_of({"secret"}), .access_log = path});
    ASSERT_TRUE(server.start().ok());
    RawClient client(server.port());
    client.ask("POST", "/v1/chat/completions?secret=query", chat_of("a prompt nobody logs", R"(,"stream":true)"), std::string(kSecret) + "x-request-id: mine\r\n");
    client.ask("POST", "/v1/embeddings", R"({"model":"minilm","input":"x"})", kSecret);
    client.ask("GET", "/v1/models/minilm", "", "authorization: Bearer wrong-key\r\n");
    client.say("not http at all\r\n\r\n");
    EXPECT_THAT(client.hear_response().headers.at("x-request-id"), StartsWith("req_"));
    server.stop(5s);
  }
  const Result<std::string> text = read_file(path, 1 << 20);
  ASSERT_TRUE(text.ok());
  for (const char* secret : {"nobody logs", "secret", "wrong-key"}) EXPECT_THAT(*text, ::testing::Not(HasSubstr(secret)));
  std::istringstream in(*text);
  std::vector<Json> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(read(line));
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines[0]["id"], "mine");
  EXPECT_EQ(lines[0]["path"], "/v1/chat/completions");
  EXPECT_EQ(lines[0]["model"], "org/model 1");
  EXPECT_EQ(lines[0]["client"], *keys_of({"secret"}).client_of("secret"));
  EXPECT_EQ(lines[0]["whole"], true);
  EXPECT_GT(lines[0]["bytes_out"], 100);
  EXPECT_TRUE(lines[0]["ttft_ms"].is_number());
  EXPECT_EQ(lines[1]["model"], "minilm");
  EXPECT_TRUE(lines[1]["ttft_ms"].is_null());
  EXPECT_EQ(lines[2]["status"], 401);
  EXPECT_EQ(lines[2]["route"], "/v1/models/{id}");
  EXPECT_TRUE(lines[2]["client"].is_null());
  EXPECT_EQ(lines[3]["status"], 400);
  EXPECT_THAT(lines[3]["peer"].get<std::string>(), StartsWith("127.0.0.1:"));
}

TEST(Server, SpeaksTls) {
  const TemporaryFolder folder;
  Server server(two_models(), {.port = 0, .tls = testing::make_certificate(folder.path(), "server")});
  const Result<void> started = server.start();
  ASSERT_TRUE(started.ok()) << started.error().message;
  EXPECT_THAT(server.url(), StartsWith("https://127.0.0.1:"));
  RawClient wire(server.port());
  testing::TlsClient client(wire.fd());
  ASSERT_TRUE(client.shaken());
  client.say("GET /v1/models HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
  EXPECT_THAT(client.hear_all(), ::testing::AllOf(HasSubstr("200 OK"), HasSubstr("org/model 1")));
  Server half(two_models(), {.port = 0, .tls = {.certificate = folder / "server.crt"}});
  EXPECT_EQ(half.prepare().error().code, ErrorCode::kInvalidArgument);
}

TEST(Server, DrainingLetsAStreamEnd) {
  const auto model = std::make_shared<FakeEndpoint>("org/model 1");
  model->token_time = 30ms;
  Server server(source_of({model}), {.port = 0});
  ASSERT_TRUE(server.start().ok());
  RawClient client(server.port());
  const std::string body = chat_of("one two three four five six seven eight nine ten", R"(,"stream":true)");
  client.say(fmt::format("POST /v1/chat/completions HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n{}", body.size(), body));
  ASSERT_TRUE(testing::within(5s, [&] { return model->running() == 1; }));
  server.stop(30s);
  const RawResponse response = client.hear_response();
  EXPECT_TRUE(response.whole);
  EXPECT_THAT(response.body, ::testing::AllOf(HasSubstr("ten"), ::testing::EndsWith("data: [DONE]\n\n")));
  EXPECT_EQ(model->cancelled(), 0u);
}

TEST(Server, TakenPortIsAnErrorThatNamesIt) {
  Server first(two_models(), {.port = 0});
  ASSERT_TRUE(first.start().ok());
  Server second(two_models(), {.port = first.port()});
  const Result<void> started = second.start();
  ASSERT_FALSE(started.ok());
  EXPECT_EQ(started.error().code, ErrorCode::kAlreadyExists);
  EXPECT_THAT(started.error().message, HasSubstr(fmt::format("127.0.0.1:{}", first.port())));
}

TEST(Server, StopIsIdempotentAndEndsTheListening) {
  Server server(two_models(), {.port = 0});
  ASSERT_TRUE(server.start().ok());
  const uint16_t port = server.port();
  server.stop(1s);
  server.stop(0ms);
  EXPECT_FALSE(RawClient(port).connected());
}

TEST(Server, BodyLimitIsTheCallers) {
  Server server(two_models(), {.port = 0, .body_bytes_max = 100});
  ASSERT_TRUE(server.start().ok());
  EXPECT_EQ(RawClient(server.port()).ask("POST", "/v1/embeddings", std::string(101, ' ')).status, 413);
  EXPECT_EQ(RawClient(server.port()).ask("POST", "/v1/embeddings", std::string(100, ' ')).status, 400);
}

}  // namespace
}  // namespace accelerate
