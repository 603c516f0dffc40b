#include "tests/cli/cli_run.h"

namespace accelerate {
namespace {

using MatrixVerb = CliTest;

TEST_F(MatrixVerb, AModelByEveryHardwareName) {
  const std::string model = std::string(ACC_TEST_DATA) + "/fixtures/llama_q8_0.gguf";
  const CliRun run = cli({"matrix", model, "--json"});
  ASSERT_EQ(run.code, 0) << run.err;
  const Json row = run.json()["models"][0];
  EXPECT_EQ(row["family"], "llama");
  EXPECT_EQ(row["quantization"], "Q8_0");
  EXPECT_EQ(row["hardware"].size(), 11u);
  EXPECT_EQ(row["hardware"]["cpu"]["yes"], true);
  EXPECT_EQ(row["hardware"]["cpu"]["target"], "cpu@cpu:0");
  EXPECT_EQ(row["hardware"]["mps"]["yes"], false);
  EXPECT_FALSE(row["hardware"]["mps"]["reason"].get<std::string>().empty());
  EXPECT_TRUE(holds(cli({"matrix", model}).out, "llama_q8_0")) << "for people, too";
}

TEST_F(MatrixVerb, WithoutAnyModelItSaysHowToGetOne) {
  const CliRun run = cli({"matrix"});
  EXPECT_EQ(run.code, 4);
  EXPECT_TRUE(holds(run.err, "try pull")) << run.err;
  EXPECT_EQ(cli({"matrix", "/no/such/model.gguf"}).code, 4);
}

}  // namespace
}  // namespace accelerate
