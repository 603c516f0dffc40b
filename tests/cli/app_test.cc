#include "accelerate/cli/verb.h"
#include "tests/cli/cli_run.h"

#include <cerrno>

namespace accelerate {
namespace {

using App = CliTest;

TEST_F(App, WithoutAVerbItShowsTheVerbsAndFails) {
  const CliRun run = cli({});
  EXPECT_EQ(run.code, 2);
  EXPECT_EQ(run.out, "");
  for (const VerbEntry& verb : verbs()) EXPECT_TRUE(holds(run.err, std::string(verb.name))) << verb.name;
}

TEST_F(App, HelpHasEveryVerbAndEveryVerbHasExamples) {
  const CliRun all = cli({"--help"});
  EXPECT_EQ(all.code, 0);
  for (const VerbEntry& verb : verbs()) {
    EXPECT_TRUE(holds(all.out, std::string(verb.summary))) << verb.name;
    const CliRun one = cli({std::string(verb.name), "--help"});
    EXPECT_EQ(one.code, 0);
    EXPECT_TRUE(holds(one.out, "Examples:\n" + std::string(verb.examples).substr(0, 20))) << one.out;
  }
}

TEST_F(App, VersionIsOneNumberAndTheBackends) {
  const CliRun run = cli({"--version"});
  EXPECT_EQ(run.code, 0);
  EXPECT_TRUE(run.out.starts_with("ipfs-accelerate 0.")) << run.out;
  EXPECT_TRUE(holds(run.out, "cpu")) << run.out;
}

TEST_F(App, AMistypedVerbNamesNearOnes) {
  const CliRun run = cli({"serv", "smollm2"});
  EXPECT_EQ(run.code, 2);
  EXPECT_TRUE(holds(run.err, "near matches: serve")) << run.err;
}

TEST_F(App, AMistypedOptionNamesNearOnesAndTheHelp) {
  const CliRun run = cli({"run", "m", "hello", "--temprature=1"});
  EXPECT_EQ(run.code, 2);
  EXPECT_TRUE(holds(run.err, "--temperature")) << run.err;
  EXPECT_TRUE(holds(run.err, "ipfs-accelerate run --help")) << run.err;
}

TEST_F(App, UnquotedWordsAreNotDropped) {
  const CliRun run = cli({"run", "m", "What", "is", "this"});
  EXPECT_EQ(run.code, 2);
  EXPECT_TRUE(holds(run.err, "quotes")) << run.err;
}

TEST_F(App, AVerbsNameMayBeAPrompt) {
  const CliRun run = cli({"run", "no-such-model", "serve"});
  EXPECT_EQ(run.code, 4) << run.err;
}

TEST_F(App, ErrorsAreJsonTooWhenAsked) {
  const CliRun run = cli({"run", "smolm2", "hello", "--json"});
  EXPECT_EQ(run.code, 4);
  const Json object = run.json();
  EXPECT_EQ(object["error"]["code"], "not_found");
  EXPECT_TRUE(holds(object["error"]["message"].get<std::string>(), "smollm2"));
  EXPECT_TRUE(run.err.starts_with("error: ")) << run.err;
  EXPECT_EQ(cli({"run", "--json"}).json()["error"]["code"], "invalid_argument") << "also when the options themselves are wrong";
}

TEST_F(App, AnUnknownModelListsNearMatches) {
  const CliRun run = cli({"run", "smolm2", "hello"});
  EXPECT_EQ(run.code, 4);
  EXPECT_TRUE(holds(run.err, "near matches: smollm2")) << run.err;
}

TEST_F(App, InvalidUtf8AndControlCharactersAreHarmless) {
  for (const std::string& word : {std::string("\xff\xfe\xc0"), std::string("\x1b[31mred\n\x07"), std::string(1, '\xe2')}) {
    EXPECT_EQ(cli({"run", word, "hello"}).code, 4);
    EXPECT_EQ(cli({word}).code, 2);
    const CliRun json = cli({"models", "show", word, "--json"});
    EXPECT_EQ(json.json()["error"]["code"], "not_found");
    EXPECT_FALSE(holds(json.err, "\x1b")) << "an error line never steers the terminal";
  }
  EXPECT_EQ(cli({"run", "", "hello"}).code, 2);
  EXPECT_EQ(cli({"tokenize", std::string(100'000, 'a'), "x"}).code, 4);
}

TEST_F(App, TheDocumentHasEveryVerbAndExitCode) {
  const std::string document = read_text(ACC_SOURCE_DIR "/docs/cli.md");
  for (int code = 0; code < kErrorCodeCount; ++code) {
    const ErrorCodeTraits& traits = error_code_traits(static_cast<ErrorCode>(code));
    const std::string row = "| " + std::to_string(traits.exit_code) + " | " + std::string(traits.name) + " |";
    EXPECT_TRUE(holds(document, row)) << row;
  }
  for (const VerbEntry& verb : verbs()) EXPECT_TRUE(holds(document, "ipfs-accelerate " + std::string(verb.name))) << verb.name;
}

TEST_F(App, LogLevelIsChecked) {
  EXPECT_EQ(cli({"--log-level", "loud", "models"}).code, 2);
  EXPECT_EQ(cli({"models", "--log-level", "error"}).code, 0);
}

/// Takes nothing, as a pipe whose reader is gone.
class FullBuffer : public std::streambuf {
 protected:
  int_type overflow(int_type) override { return traits_type::eof(); }
};

CliRun run_into_nowhere(int error_number) {
  FullBuffer full;
  std::istringstream in;
  std::ostringstream err;
  std::ostream out(&full);
  Streams streams{.in = in, .out = out, .err = err, .out_errno = [error_number] { return error_number; }};
  CliRun run;
  run.code = run_cli({"models"}, streams);
  run.err = err.str();
  return run;
}

TEST_F(App, AReaderThatLeavesEndsItQuietly) {
  const CliRun run = run_into_nowhere(EPIPE);
  EXPECT_EQ(run.code, kExitBrokenPipe);
  EXPECT_EQ(run.err, "");
}

TEST_F(App, AFullDiskBehindStdoutIsAnError) {
  const CliRun run = run_into_nowhere(ENOSPC);
  EXPECT_EQ(run.code, 7);
  EXPECT_TRUE(holds(run.err, "No space left")) << run.err;
}

}  // namespace
}  // namespace accelerate
