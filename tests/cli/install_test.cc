#include "tests/cli/cli_run.h"

namespace accelerate {
namespace {

using InstallVerb = CliTest;

TEST_F(InstallVerb, ListsWhatCanBeInstalledAndWhatItTakes) {
  const CliRun run = cli({"install", "--json"});
  EXPECT_EQ(run.code, 0) << run.err;
  ASSERT_EQ(run.json()["engines"].size(), 1u);
  EXPECT_EQ(run.json()["engines"][0]["name"], "torch");
  EXPECT_GT(run.json()["engines"][0]["disk_bytes"], 1'000'000'000u);
  EXPECT_TRUE(holds(cli({"install"}).out, "torch")) << "for people, too";
}

TEST_F(InstallVerb, AnUnknownNameAndAMissingPythonAreSaid) {
  const CliRun unknown = cli({"install", "troch"});
  EXPECT_EQ(unknown.code, 2);
  EXPECT_TRUE(holds(unknown.err, "torch")) << unknown.err;
  const CliRun none = cli({"install", "torch", "--force", "--python", "no-such-python"});
  EXPECT_NE(none.code, 0);
  EXPECT_TRUE(holds(none.err, "about 5.9 GB")) << "the size comes first: " << none.err;
}

}  // namespace
}  // namespace accelerate
