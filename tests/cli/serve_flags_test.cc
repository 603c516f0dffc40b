#include "accelerate/cli/serve_flags.h"

#include <algorithm>
#include <filesystem>
#include <sstream>

#include <CLI/CLI.hpp>

#include "tests/cli/cli_run.h"

namespace accelerate {
namespace {

class ServeFlagsTest : public CliTest {
 protected:
  Result<ServeOptions> options_of(std::vector<std::string> args) {
    CLI::App app;
    ServeFlags flags;
    std::vector<std::string> models;
    app.add_option("MODEL", models)->expected(1, 64);
    add_serve_flags(app, flags);
    std::reverse(args.begin(), args.end());
    app.parse(args);
    models_seen_ = models;
    Streams streams{.in = in_, .out = out_, .err = err_};
    Console console(streams);
    return serve_options(console, flags);
  }
  std::istringstream in_;
  std::ostringstream out_, err_;
  std::vector<std::string> models_seen_;
};

TEST_F(ServeFlagsTest, DefaultsAreTheServersOwn) {
  const auto options = options_of({"m"});
  ASSERT_TRUE(options.ok());
  EXPECT_TRUE(options->keys.empty());
  EXPECT_TRUE(options->admin_keys.empty());
  EXPECT_EQ(options->timeouts.header, HttpTimeouts().header);
  EXPECT_EQ(options->timeouts.body, HttpTimeouts().body);
  EXPECT_EQ(options->timeouts.idle, HttpTimeouts().idle);
  EXPECT_EQ(options->timeouts.write, HttpTimeouts().write);
  EXPECT_GE(options->connections_max, 2500u);
}

TEST_F(ServeFlagsTest, KeysComeFromFlagsAndAFile) {
  home_.write("keys", "sk-three\n");
  std::filesystem::permissions(home_ / "keys", std::filesystem::perms(0600));
  const auto options = options_of({"--api-key", "sk-one", "m", "--api-key=sk-two", "--api-key-file", (home_ / "keys").string(), "n"});
  ASSERT_TRUE(options.ok()) << options.error().message;
  EXPECT_EQ(options->keys.size(), 3u);
  EXPECT_EQ(models_seen_, (std::vector<std::string>{"m", "n"})) << "a key is one word: what follows is a model";
  EXPECT_EQ(err_.str().find("chmod"), std::string::npos);
  std::filesystem::permissions(home_ / "keys", std::filesystem::perms(0644));
  ASSERT_TRUE(options_of({"m", "--api-key-file", (home_ / "keys").string()}).ok());
  EXPECT_TRUE(holds(err_.str(), "chmod 600")) << err_.str();
}

TEST_F(ServeFlagsTest, AdminKeysAreApart) {
  home_.write("admins", "sk-root\n");
  const auto options = options_of({"m", "--api-key", "sk-user", "--admin-key", "sk-one", "--admin-key", "sk-two", "--admin-key-file", (home_ / "admins").string()});
  ASSERT_TRUE(options.ok()) << options.error().message;
  EXPECT_EQ(options->keys.size(), 1u);
  EXPECT_EQ(options->admin_keys.size(), 3u);
  EXPECT_TRUE(options->admin_keys.client_of("sk-root"));
  EXPECT_FALSE(options->admin_keys.client_of("sk-user"));
  EXPECT_FALSE(options->keys.client_of("sk-root"));
  EXPECT_TRUE(holds(err_.str(), "chmod 600")) << err_.str();
  const auto bad = options_of({"m", "--admin-key", "a secret with spaces"});
  ASSERT_FALSE(bad.ok());
  EXPECT_FALSE(holds(bad.error().message, "secret"));
}

TEST_F(ServeFlagsTest, BadKeysAreRefusedUnread) {
  const auto options = options_of({"m", "--api-key", "a secret with spaces"});
  ASSERT_FALSE(options.ok());
  EXPECT_EQ(options.error().code, ErrorCode::kInvalidArgument);
  EXPECT_FALSE(holds(options.error().message, "secret"));
  EXPECT_EQ(options_of({"m", "--api-key-file", (home_ / "none").string()}).error().code, ErrorCode::kNotFound);
}

TEST_F(ServeFlagsTest, LimitsArriveAndHaveRanges) {
  const auto options = options_of({"m", "--connections-max", "9", "--requests-per-key", "2", "--body-bytes-max", "1000", "--header-bytes-max", "2000",
                                   "--header-seconds", "1", "--body-seconds", "2", "--idle-seconds", "3", "--write-seconds", "4",
                                   "--cors-origin", "https://a.example", "--cors-origin", "*", "--tls-cert", "c", "--tls-key", "k", "--access-log", "-"});
  ASSERT_TRUE(options.ok());
  EXPECT_EQ(options->connections_max, 9u);
  EXPECT_EQ(options->requests_per_key, 2u);
  EXPECT_EQ(options->body_bytes_max, 1000u);
  EXPECT_EQ(options->header_bytes_max, 2000u);
  EXPECT_EQ(options->timeouts.header, std::chrono::seconds(1));
  EXPECT_EQ(options->timeouts.body, std::chrono::seconds(2));
  EXPECT_EQ(options->timeouts.idle, std::chrono::seconds(3));
  EXPECT_EQ(options->timeouts.write, std::chrono::seconds(4));
  EXPECT_EQ(options->cors_origins.size(), 2u);
  EXPECT_EQ(options->tls.certificate, "c");
  EXPECT_EQ(options->tls.key, "k");
  EXPECT_EQ(options->access_log, "-");
  for (const char* flag : {"--connections-max", "--body-bytes-max", "--header-bytes-max", "--header-seconds", "--idle-seconds"}) {
    EXPECT_THROW((void)options_of({"m", flag, "0"}), CLI::ParseError) << flag;
  }
}

TEST_F(ServeFlagsTest, InsecureIsSaid) {
  ASSERT_TRUE(options_of({"m", "--insecure"}).ok());
  EXPECT_TRUE(holds(err_.str(), "--insecure")) << err_.str();
}

}  // namespace
}  // namespace accelerate
