// The verb against a real server in this process, with a scripted backend behind.
#include "accelerate/serve/server.h"
#include "tests/cli/cli_run.h"
#include "tests/engine/fake_engine.h"

namespace accelerate {
namespace {

class EndpointsVerbTest : public CliTest {
 protected:
  EndpointsVerbTest() {
    home_.write("admin.key", "# of the tests\nroot-key\n");
    ApiKeys keys;
    EXPECT_TRUE(keys.add("root-key").ok());
    server_ = std::make_unique<Server>(models_of(roster_, {.engine = fake_.engine.get(), .roster = &roster_, .open = {.parity = ParityMode::kOff}}),
                                       ServeOptions{.port = 0, .admin_keys = keys});
    EXPECT_TRUE(server_->start().ok());
  }
  ~EndpointsVerbTest() override { server_->stop(std::chrono::milliseconds(0)); }

  CliRun endpoints(std::vector<std::string> args) {
    args.insert(args.begin(), {"endpoints", "--url", server_->url(), "--admin-key-file", (home_ / "admin.key").string()});
    return cli(args);
  }

  ScopedEnvironment no_key_{"IPFS_ACCELERATE_ADMIN_KEY", std::nullopt};
  FakeEngine fake_;
  ModelRoster roster_{*fake_.engine, {}};
  std::string model_ = fixture_path("llama_f32.gguf").string();
  std::unique_ptr<Server> server_;
};

TEST_F(EndpointsVerbTest, LoadsShowsPinsUnloadsAndRemoves) {
  const CliRun loaded = endpoints({"load", model_, "--name", "m", "--slots", "2", "--pin"});
  ASSERT_EQ(loaded.code, 0) << loaded.err;
  EXPECT_TRUE(holds(loaded.out, "m     loaded, pinned")) << loaded.out;
  EXPECT_TRUE(holds(loaded.out, "fake@cpu:0")) << loaded.out;
  EXPECT_EQ(endpoints({"--json"}).json()["endpoints"][0]["name"], "m");
  EXPECT_EQ(endpoints({"unpin", "m", "--json"}).json()["pinned"], false);
  EXPECT_EQ(endpoints({"pin", "m", "--json"}).json()["pinned"], true);
  EXPECT_TRUE(holds(endpoints({"unload", "m"}).out, "unloaded"));
  const CliRun again = endpoints({"load", "m", "--slots", "3", "--json"});
  EXPECT_EQ(again.json()["loads"], 2) << "one that is served is loaded as it was added";
  EXPECT_TRUE(holds(again.err, "--name")) << again.err;
  EXPECT_EQ(endpoints({"remove", "m"}).out, "m is removed\n");
  EXPECT_EQ(endpoints({"--json"}).json()["endpoints"], Json::array());
}

TEST_F(EndpointsVerbTest, RefusalsAreTheServersWordsWithTheirExitCodes) {
  ASSERT_EQ(endpoints({"load", model_, "--name", "m"}).code, 0);
  const CliRun again = endpoints({"load", model_, "--name", "m"});
  EXPECT_EQ(again.code, error_code_traits(ErrorCode::kAlreadyExists).exit_code);
  EXPECT_TRUE(holds(again.err, "[roster]")) << again.err;
  const CliRun unknown = endpoints({"switch", "m", "abacus@abacus:0"});
  EXPECT_EQ(unknown.code, error_code_traits(ErrorCode::kNotFound).exit_code);
  EXPECT_TRUE(holds(unknown.err, "fake@cpu:0") || holds(unknown.err, "abacus")) << unknown.err;
  EXPECT_EQ(endpoints({"remove", "none"}).code, error_code_traits(ErrorCode::kNotFound).exit_code);
  EXPECT_EQ(endpoints({"load", "no-such-model"}).code, error_code_traits(ErrorCode::kNotFound).exit_code);
  EXPECT_EQ(endpoints({"load", "m", "--hardware", "cpu", "--targets", "cpu@cpu:0"}).code, error_code_traits(ErrorCode::kInvalidArgument).exit_code);
}

TEST_F(EndpointsVerbTest, TheKeyIsOfAFileOrTheEnvironment) {
  const std::vector<std::string> bare = {"endpoints", "--url", server_->url()};
  const CliRun none = cli(bare);
  EXPECT_EQ(none.code, error_code_traits(ErrorCode::kInvalidArgument).exit_code);
  EXPECT_TRUE(holds(none.err, "--admin-key-file")) << none.err;
  {
    const ScopedEnvironment key("IPFS_ACCELERATE_ADMIN_KEY", "root-key");
    EXPECT_EQ(cli(bare).code, 0);
  }
  const ScopedEnvironment key("IPFS_ACCELERATE_ADMIN_KEY", "another-key");
  const CliRun wrong = cli(bare);
  EXPECT_EQ(wrong.code, error_code_traits(ErrorCode::kUnauthenticated).exit_code);
  EXPECT_TRUE(holds(wrong.err, "admin key")) << wrong.err;
  EXPECT_FALSE(holds(wrong.err, "another-key"));
  EXPECT_EQ(endpoints({}).code, 0) << "the file wins";
}

TEST_F(EndpointsVerbTest, ALoadBecomesTheRequestItSays) {
  const CliRun run = endpoints({"load", model_, "--name", "n", "--targets", "fake@cpu:0", "--ctx", "64", "--slots", "2", "--threads", "1", "--deterministic",
                                "--fallback", "forbid", "--json"});
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(run.json()["about"]["target"], "fake@cpu:0");
  EXPECT_EQ(endpoints({"load", model_, "--fallback", "maybe"}).code, error_code_traits(ErrorCode::kInvalidArgument).exit_code);
}

}  // namespace
}  // namespace accelerate
