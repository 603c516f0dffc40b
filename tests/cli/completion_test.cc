#include "accelerate/base/process.h"
#include "accelerate/cli/verb.h"
#include "tests/cli/cli_run.h"

namespace accelerate {
namespace {

class Completion : public CliTest {
 protected:
  std::string script(const std::string& shell) {
    const CliRun run = cli({"completion", shell});
    EXPECT_EQ(run.code, 0) << run.err;
    return run.out;
  }
  /// What bash offers behind these words; the last one is being typed.
  std::string offered(const std::string& words) {
    write_text(home_ / "script", script("bash"));
    // The script asks the binary for model names: here one that answers without being built.
    const std::string driver = "ipfs-accelerate() { echo smollm2; echo gemma3; }; source '" + (home_ / "script").string() + "'; " +
                               "COMP_WORDS=(ipfs-accelerate " + words + "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); cd '" +
                               home_.path().string() + "'; _ipfs_accelerate; echo \"${COMPREPLY[@]}\"";
    const Result<ProcessOutput> output = run_process({"bash", "-c", driver});
    EXPECT_TRUE(output.ok() && output->exit_code == 0 && output->error.empty()) << (output.ok() ? output->error : output.error().message);
    return output.ok() ? output->out : "";
  }
};

TEST_F(Completion, ScriptsHoldEveryVerbAndItsOptions) {
  for (const char* shell : {"bash", "zsh"}) {
    const std::string text = script(shell);
    for (const VerbEntry& verb : verbs()) EXPECT_TRUE(holds(text, std::string(verb.name))) << shell << " " << verb.name;
    for (const char* option : {"--temperature", "--kv-tokens", "--no-measure", "--log-level", "--rounds", "--api-key-file", "--drain-seconds"}) {
      EXPECT_TRUE(holds(text, option)) << shell << " " << option;
    }
  }
}

TEST_F(Completion, BashOffersWhatFits) {
  EXPECT_EQ(offered("ser"), "serve\n");
  EXPECT_EQ(offered("run --temp"), "--temperature\n");
  EXPECT_EQ(offered("run smo"), "smollm2\n");
  EXPECT_EQ(offered("models sh"), "show\n");
  EXPECT_EQ(offered("models show gem"), "gemma3\n");
  EXPECT_EQ(offered("cache ver"), "verify\n");
  EXPECT_EQ(offered("cache verify --rep"), "--repair\n");
  EXPECT_EQ(offered("compile smo"), "smollm2\n");
  EXPECT_EQ(offered("endpoints un"), "unload unpin\n");
  EXPECT_EQ(offered("endpoints load gem"), "gemma3\n");
  EXPECT_EQ(offered("endpoints switch m cpu@cpu:0 --admin"), "--admin-key-file\n");
  EXPECT_EQ(offered("completion z"), "zsh\n");
  EXPECT_EQ(offered("run smollm2 --threads x"), "\n") << "a value is not guessed";
  EXPECT_TRUE(holds(offered("--log-level debug bench --r"), "--rounds"));
}

TEST_F(Completion, BashOffersFilesForModels) {
  write_text(home_ / "zoo.gguf", "GGUF");
  EXPECT_EQ(offered("run zo"), "zoo.gguf\n");
}

TEST_F(Completion, ZshAcceptsTheScript) {
  write_text(home_ / "script", script("zsh"));
  const Result<ProcessOutput> output = run_process({"zsh", "-n", (home_ / "script").string()});
  if (!output.ok()) GTEST_SKIP() << "no zsh on PATH to check the script with";
  EXPECT_EQ(output->exit_code, 0) << output->error;
}

TEST_F(Completion, OtherShellsAreRefused) { EXPECT_EQ(cli({"completion", "tcsh"}).code, 2); }

}  // namespace
}  // namespace accelerate
