#include "accelerate/serve/server.h"

#include <csignal>
#include <thread>

#include "tests/cli/cli_run.h"

namespace accelerate {
namespace {

/// A stream buffer that another thread may read while it grows.
class SharedBuffer : public std::stringbuf {
 public:
  std::string text() {
    const std::lock_guard lock(mutex_);
    return str();
  }

 protected:
  std::streamsize xsputn(const char* s, std::streamsize n) override {
    const std::lock_guard lock(mutex_);
    return std::stringbuf::xsputn(s, n);
  }

 private:
  std::mutex mutex_;
};

class Serve : public CliTest {};

TEST_F(Serve, ListensUntilASignalAndEndsWithZero) {
  SharedBuffer err_buffer;
  std::istringstream in;
  std::ostringstream out;
  std::ostream err(&err_buffer);
  Streams streams{.in = in, .out = out, .err = err};
  std::string seen;
  std::thread watcher([&] {
    for (int i = 0; i < 600 && !holds(seen, "listening on "); ++i) {  // 30 s
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      seen = err_buffer.text();
    }
    std::raise(SIGTERM);
  });
  const int code = run_cli({"serve", "small=" + fixture("llama_f32.gguf"), fixture("bert_hf"), "--port", "0"}, streams);
  watcher.join();
  EXPECT_EQ(code, 0) << err_buffer.text();
  EXPECT_TRUE(holds(seen, "listening on http://127.0.0.1:")) << seen;
  EXPECT_TRUE(holds(seen, "small: llama F32 on cpu@cpu:0")) << seen;
  EXPECT_TRUE(holds(seen, "bert_hf: ")) << seen;
}

TEST_F(Serve, OneNameTwiceIsRefused) {
  const CliRun run = cli({"serve", fixture("bert_hf"), fixture("bert_hf"), "--port", "0"});
  EXPECT_EQ(run.code, 5) << run.err;
}

TEST_F(Serve, ATakenPortIsAnError) {
  Server holder(ModelSource{.find = [](const std::string&) { return nullptr; }, .list = [] { return std::vector<std::shared_ptr<Endpoint>>(); }},
                {.host = "127.0.0.1", .port = 0});
  ASSERT_TRUE(holder.start().ok());
  const CliRun run = cli({"serve", fixture("bert_hf"), "--port", std::to_string(holder.port())});
  EXPECT_EQ(run.code, 5) << run.err;
  EXPECT_TRUE(holds(run.err, std::to_string(holder.port()))) << run.err;
}

TEST_F(Serve, MistakesOfAccessShowBeforeAModelIsLoaded) {
  const std::string model = fixture("bert_hf");
  const CliRun open = cli({"serve", model, "--port", "0", "--host", "0.0.0.0"});
  EXPECT_EQ(open.code, 2) << open.err;
  EXPECT_TRUE(holds(open.err, "--insecure")) << open.err;
  const CliRun key = cli({"serve", model, "--port", "0", "--api-key", "my secret"});
  EXPECT_EQ(key.code, 2) << key.err;
  EXPECT_FALSE(holds(key.err, "secret")) << key.err;
  EXPECT_EQ(cli({"serve", model, "--port", "0", "--tls-cert", "none.pem"}).code, 2);
  EXPECT_EQ(cli({"serve", model, "--port", "0", "--tls-cert", "none.pem", "--tls-key", "none.pem"}).code, 4);
  EXPECT_EQ(cli({"serve", model, "--port", "0", "--cors-origin", "app.example"}).code, 2);
  EXPECT_EQ(cli({"serve", model, "--port", "0", "--access-log", "/nonexistent/x/log"}).code, 4);
  for (const CliRun& run : {open, key}) EXPECT_FALSE(holds(run.err, "loaded in")) << run.err;
}

TEST_F(Serve, KeysOfTheSettingsFileAreAListAndAreNotRepeated) {
  home_.write("config.toml", "[serve]\napi-key = [\"sk-right\", \"sk wrong\"]\n");
  const CliRun run = cli({"serve", fixture("bert_hf"), "--port", "0", "--config", (home_ / "config.toml").string()});
  EXPECT_EQ(run.code, 2) << run.err;
  EXPECT_TRUE(holds(run.err, "[keys]")) << run.err;
  EXPECT_FALSE(holds(run.err, "sk-right") || holds(run.err, "sk wrong")) << run.err;
}

TEST_F(Serve, HelpShowsNoKeyOfTheEnvironment) {
  const ScopedEnvironment key("IPFS_ACCELERATE_API_KEY", "sk-of-the-environment");
  const CliRun run = cli({"serve", "--help"});
  EXPECT_EQ(run.code, 0);
  EXPECT_TRUE(holds(run.out, "--api-key-file"));
  EXPECT_FALSE(holds(run.out + run.err, "sk-of-the-environment"));
}

TEST_F(Serve, BadArgumentsNeverListen) {
  EXPECT_EQ(cli({"serve"}).code, 2);
  EXPECT_EQ(cli({"serve", fixture("bert_hf"), "--port", "70000"}).code, 2);
  EXPECT_EQ(cli({"serve", "x=smolm2", "--port", "0"}).code, 4);
}

}  // namespace
}  // namespace accelerate
