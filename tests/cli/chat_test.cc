#include "tests/cli/cli_run.h"

namespace accelerate {
namespace {

class Chat : public CliTest {
 protected:
  CliRun chat(const std::string& lines, std::vector<std::string> more = {}) {
    std::vector<std::string> args = {"run", fixture("llama_f32.gguf"), "--max-tokens", "4"};
    args.insert(args.end(), more.begin(), more.end());
    return cli(args, {.text = lines, .terminal = true});
  }
  static std::vector<int> prompt_tokens(const std::string& err) {
    std::vector<int> counts;
    for (size_t at = err.find("cpu@cpu:0: "); at != std::string::npos; at = err.find("cpu@cpu:0: ", at + 1)) {
      counts.push_back(std::atoi(err.c_str() + at + 11));
    }
    return counts;
  }
};

TEST_F(Chat, TurnsGrowTheConversationAndClearForgetsIt) {
  const CliRun run = chat("hello\nhello\n/clear\nhello\n");
  ASSERT_EQ(run.code, 0) << run.err;
  const std::vector<int> counts = prompt_tokens(run.err);
  ASSERT_EQ(counts.size(), 3u) << run.err;
  EXPECT_GT(counts[1], counts[0]) << "the first turn is part of the second prompt";
  EXPECT_EQ(counts[2], counts[0]);
}

TEST_F(Chat, SystemMessageStaysAfterClear) {
  const CliRun run = chat("hello\n/clear\nhello\n", {"--system", "a rather long system message"});
  const std::vector<int> counts = prompt_tokens(run.err), plain = prompt_tokens(chat("hello\n", {"--system", "x"}).err);
  ASSERT_EQ(counts.size(), 2u) << run.err;
  EXPECT_EQ(counts[0], counts[1]);
  EXPECT_GT(counts[0], plain[0]);
}

TEST_F(Chat, CommandsHelpAndLeave) {
  const CliRun help = chat("/help\n/nonsense\n/bye\nhello\n");
  EXPECT_EQ(help.code, 0);
  EXPECT_TRUE(holds(help.out, "/clear")) << help.out;
  EXPECT_TRUE(holds(help.err, "no command is called /nonsense")) << help.err;
  EXPECT_TRUE(prompt_tokens(help.err).empty()) << "nothing after /bye";
  EXPECT_EQ(chat("").code, 0) << "Ctrl-D at once";
}

TEST_F(Chat, ALineMayGoOn) {
  const std::vector<int> two = prompt_tokens(chat("hel\\\nlo\n").err);
  EXPECT_EQ(two.size(), 1u);
  EXPECT_EQ(prompt_tokens(chat("   \n\nhello\n").err).size(), 1u) << "empty lines are no prompts";
}

TEST_F(Chat, AnErrorOfOneTurnDoesNotEndIt) {
  const CliRun run = chat(std::string(50'000, 'x') + "\nhello\n");
  EXPECT_EQ(run.code, 0);
  EXPECT_TRUE(holds(run.err, "error: ")) << run.err;
  EXPECT_EQ(prompt_tokens(run.err).size(), 1u);
}

TEST_F(Chat, RawContinuesEachLineAlone) {
  const std::vector<int> counts = prompt_tokens(chat("hello\nhello\n", {"--raw"}).err);
  ASSERT_EQ(counts.size(), 2u);
  EXPECT_EQ(counts[0], counts[1]);
}

TEST_F(Chat, JsonNeedsAPrompt) { EXPECT_EQ(chat("hello\n", {"--json"}).code, 2); }

}  // namespace
}  // namespace accelerate
