#include "accelerate/cli/admin_client.h"

#include <CLI/CLI.hpp>

#include "tests/cli/cli_run.h"
#include "tests/net/raw_server.h"

namespace accelerate {
namespace {

class AdminClientTest : public CliTest {
 protected:
  AdminClientTest() { home_.write("key", "sk-first\nsk-second\n"); }
  AdminClientFlags flags(const std::string& url) { return {.url = url, .admin_key_file = (home_ / "key").string()}; }
  ScopedEnvironment no_key_{"IPFS_ACCELERATE_ADMIN_KEY", std::nullopt};
};

std::string response(std::string_view status, std::string_view body) {
  return "HTTP/1.1 " + std::string(status) + "\r\ncontent-length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body);
}

TEST_F(AdminClientTest, SendsTheFirstKeyOfItsFile) {
  std::string seen;
  testing::RawServer server([&](Socket& client, const std::string& request) {
    seen = request;
    testing::RawServer::say(client, response("200 OK", "{\"endpoints\":[]}"));
  });
  const auto client = AdminClient::make(flags(server.url("/")));
  ASSERT_TRUE(client.ok()) << client.error().message;
  const Result<std::string> reply = client->ask("DELETE", "endpoints/a%2Fb");
  ASSERT_TRUE(reply.ok()) << reply.error().message;
  EXPECT_EQ(*reply, "{\"endpoints\":[]}");
  EXPECT_TRUE(seen.starts_with("DELETE /v1/admin/endpoints/a%2Fb HTTP/1.1\r\n")) << seen;
  EXPECT_TRUE(holds(seen, "Authorization: Bearer sk-first\r\n")) << seen;
}

TEST_F(AdminClientTest, RefusalsHaveTheServersWordsAndACode) {
  const std::pair<const char*, ErrorCode> statuses[] = {{"400 Bad Request", ErrorCode::kInvalidArgument},     {"401 Unauthorized", ErrorCode::kUnauthenticated},
                                                        {"403 Forbidden", ErrorCode::kPermissionDenied},      {"404 Not Found", ErrorCode::kNotFound},
                                                        {"409 Conflict", ErrorCode::kAlreadyExists},          {"429 Too Many", ErrorCode::kResourceExhausted},
                                                        {"501 Not Implemented", ErrorCode::kUnimplemented},   {"503 Unavailable", ErrorCode::kUnavailable},
                                                        {"302 Found", ErrorCode::kUnknown},                   {"418 Teapot", ErrorCode::kUnknown}};
  for (const auto& [status, code] : statuses) {
    testing::RawServer server([&](Socket& client, const std::string&) {
      testing::RawServer::say(client, response(status, R"({"error":{"message":"[there] the rule; got this"}})"));
    });
    const auto client = AdminClient::make(flags(server.url("")));
    ASSERT_TRUE(client.ok());
    const Result<std::string> reply = client->ask("GET", "endpoints");
    ASSERT_FALSE(reply.ok()) << status;
    EXPECT_EQ(reply.error().code, code) << status;
    EXPECT_TRUE(holds(reply.error().message, "[there] the rule; got this")) << reply.error().message;
    EXPECT_FALSE(holds(reply.error().message, "sk-first"));
  }
  testing::RawServer other([](Socket& client, const std::string&) { testing::RawServer::say(client, response("500 Oops", "<html>\x1b[31m")); });
  const Result<std::string> reply = AdminClient::make(flags(other.url("")))->ask("GET", "endpoints");
  EXPECT_TRUE(holds(reply.error().message, "<html>")) << reply.error().message;
  EXPECT_FALSE(holds(reply.error().message, "\x1b"));
}

TEST_F(AdminClientTest, NoServerIsSaidWithWhatToDo) {
  std::string url;
  {
    testing::RawServer gone([](Socket&, const std::string&) {});
    url = gone.url("");
  }
  const Result<std::string> reply = AdminClient::make(flags(url))->ask("GET", "endpoints");
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.error().code, ErrorCode::kUnavailable);
  EXPECT_TRUE(holds(reply.error().message, "ipfs-accelerate serve") && holds(reply.error().message, url)) << reply.error().message;
}

TEST_F(AdminClientTest, BadFlags) {
  EXPECT_EQ(AdminClient::make(flags("ftp://x")).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(AdminClient::make({.url = "http://127.0.0.1:1", .admin_key_file = (home_ / "none").string()}).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(AdminClient::make({.url = "http://127.0.0.1:1", .admin_key_file = ""}).error().code, ErrorCode::kInvalidArgument);
  const ScopedEnvironment key("IPFS_ACCELERATE_ADMIN_KEY", "a secret with blanks");
  const auto refused = AdminClient::make({.url = "http://127.0.0.1:1", .admin_key_file = ""});
  ASSERT_FALSE(refused.ok());
  EXPECT_FALSE(holds(refused.error().message, "secret"));
}

TEST_F(AdminClientTest, SaysWhereTheKeyWouldBeReadable) {
  EXPECT_TRUE(AdminClient::make(flags("http://127.0.0.1:8080"))->private_to_others());
  EXPECT_TRUE(AdminClient::make(flags("https://box.example"))->private_to_others());
  EXPECT_FALSE(AdminClient::make(flags("http://box.example"))->private_to_others());
}

}  // namespace
}  // namespace accelerate
