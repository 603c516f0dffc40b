#include "accelerate/cli/settings.h"

#include <CLI/CLI.hpp>

#include "tests/cli/cli_run.h"

namespace accelerate {
namespace {

/// A small tree of the same shape as the real one.
struct SmallTree {
  CLI::App root{"root", "tool"};
  std::string level;
  uint32_t threads = 0;
  double temperature = 0;
  std::vector<std::string> stop;
  bool json = false;
  SmallTree() {
    root.add_option("--log-level", level);
    CLI::App* run = root.add_subcommand("run");
    run->add_option("--threads", threads)->check(CLI::Range(1, 64));
    run->add_option("--temperature", temperature);
    run->add_option("--stop", stop)->allow_extra_args(false);
    run->add_flag("--json", json);
    root.add_subcommand("serve")->add_option("--port", threads);
    take_escaped_values(root);
  }
  void parse(std::vector<std::string> args) {
    std::reverse(args.begin(), args.end());
    root.parse(args);
  }
};

class Settings : public CliTest {
 protected:
  Result<SettingsFile> file(const std::string& text) {
    write_text(home_ / "c.toml", text);
    return read_settings(home_ / "c.toml");
  }
  Result<void> apply(const std::string& text, const std::vector<std::string>& args) {
    ACC_TRY(const SettingsFile settings, file(text));
    tree_.parse(args);
    ACC_TRY_VOID(check_settings(tree_.root, settings));
    return apply_settings(tree_.root, settings);
  }
  SmallTree tree_;
};

TEST_F(Settings, FileFillsWhatWasNotTyped) {
  ASSERT_TRUE(apply("threads = 3\nlog-level = \"debug\"\n[run]\ntemperature = 0.5\nstop = [\"a\", \"[b]\"]\njson = true\n", {"run"}).ok());
  EXPECT_EQ(tree_.threads, 3u);
  EXPECT_EQ(tree_.level, "debug");
  EXPECT_EQ(tree_.temperature, 0.5);
  EXPECT_EQ(tree_.stop, (std::vector<std::string>{"a", "[b]"}));
  EXPECT_TRUE(tree_.json);
}

TEST_F(Settings, FlagBeatsEnvironmentBeatsTableBeatsTop) {
  const std::string text = "threads = 2\n[run]\nthreads = 3\n";
  ASSERT_TRUE(apply(text, {"run"}).ok());
  EXPECT_EQ(tree_.threads, 3u);
  const ScopedEnvironment variable("IPFS_ACCELERATE_THREADS", "4");
  ASSERT_TRUE(apply(text, {"run"}).ok());
  EXPECT_EQ(tree_.threads, 4u);
  ASSERT_TRUE(apply(text, {"run", "--threads", "5"}).ok());
  EXPECT_EQ(tree_.threads, 5u);
}

TEST_F(Settings, UnknownKeysAndTablesAreErrorsWithNearMatches) {
  const Result<void> key = apply("[run]\ntemprature = 1\n", {"run"});
  ASSERT_FALSE(key.ok());
  EXPECT_EQ(key.error().code, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(holds(key.error().message, "near matches: temperature")) << key.error().message;
  EXPECT_TRUE(holds(key.error().message, "c.toml:2")) << key.error().message;
  const Result<void> table = apply("[rnu]\nthreads = 1\n", {"run"});
  ASSERT_FALSE(table.ok());
  EXPECT_TRUE(holds(table.error().message, "near matches: run")) << table.error().message;
  EXPECT_FALSE(apply("[serve]\ntemperature = 1\n", {"run"}).ok()) << "an option of another verb";
}

TEST_F(Settings, WrongValuesSayWhereTheyCameFrom) {
  const Result<void> range = apply("threads = 100\n", {"run"});
  ASSERT_FALSE(range.ok());
  EXPECT_TRUE(holds(range.error().message, "c.toml:1")) << range.error().message;
  const ScopedEnvironment variable("IPFS_ACCELERATE_THREADS", "many");
  const Result<void> word = apply("", {"run"});
  ASSERT_FALSE(word.ok());
  EXPECT_TRUE(holds(word.error().message, "IPFS_ACCELERATE_THREADS")) << word.error().message;
}

TEST_F(Settings, BrokenFilesNameTheLine) {
  for (const char* text : {"threads = \n", "[run\n", "a = 1979-05-27\n", "[run]\n[run.deep]\nx = 1\n", "x = [[1]]\n", "\xff\xfe = 1\n"}) {
    const Result<SettingsFile> read = file(text);
    ASSERT_FALSE(read.ok()) << text;
    EXPECT_EQ(read.error().code, ErrorCode::kInvalidArgument) << text;
    EXPECT_TRUE(holds(read.error().message, "c.toml:")) << read.error().message;
  }
  EXPECT_EQ(read_settings(home_ / "none.toml").error().code, ErrorCode::kNotFound);
}

TEST_F(Settings, PathIsFlagThenVariableThenTheUsualPlace) {
  EXPECT_EQ(settings_path(""), std::filesystem::path());
  write_text(home_ / "config/ipfs-accelerate/config.toml", "");
  EXPECT_EQ(settings_path(""), home_ / "config/ipfs-accelerate/config.toml");
  const ScopedEnvironment variable("IPFS_ACCELERATE_CONFIG", "/etc/acc.toml");
  EXPECT_EQ(settings_path(""), std::filesystem::path("/etc/acc.toml"));
  EXPECT_EQ(settings_path("/mine.toml"), std::filesystem::path("/mine.toml"));
}

TEST_F(Settings, EscapedValuesComeBackAsTheyWere) {
  for (const std::string& text : {std::string("[a, b]"), std::string("["), std::string("\x01[x]"), std::string("plain"), std::string()}) {
    CLI::App app;
    std::vector<std::string> words;
    app.add_option("WORDS", words);
    take_escaped_values(app);
    std::vector<std::string> args = {escape_value("last"), escape_value(text)};
    app.parse(args);
    EXPECT_EQ(words, (std::vector<std::string>{text, "last"}));
  }
}

TEST_F(Settings, VariableNamesFollowOptions) { EXPECT_EQ(variable_name("max-tokens"), "IPFS_ACCELERATE_MAX_TOKENS"); }

TEST_F(Settings, TheRealVerbsObeyThem) {
  write_text(home_ / "config/ipfs-accelerate/config.toml", "[models]\njson = true\n");
  EXPECT_TRUE(cli({"models"}).json().contains("models"));
  write_text(home_ / "config/ipfs-accelerate/config.toml", "[models]\njsno = true\n");
  const CliRun run = cli({"models"});
  EXPECT_EQ(run.code, 2);
  EXPECT_TRUE(holds(run.err, "near matches: json")) << run.err;
  EXPECT_EQ(cli({"models", "--config", (home_ / "none.toml").string()}).code, 4);
}

}  // namespace
}  // namespace accelerate
