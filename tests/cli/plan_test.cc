#include "tests/cli/cli_run.h"

#include <set>

#include "accelerate/engine/hardware.h"

namespace accelerate {
namespace {

using PlanVerbTest = CliTest;

TEST_F(PlanVerbTest, JsonNamesEveryHardwareAndHowToGetTheMissing) {
  const CliRun run = cli({"plan", fixture("llama_f32.gguf"), "--json"});
  ASSERT_EQ(run.code, 0) << run.err;
  const Json json = run.json();
  EXPECT_EQ(json["best"], "cpu@cpu:0");
  EXPECT_EQ(json["use"]["name"], "chat");
  std::set<std::string> named;
  for (const Json& target : json["targets"]) {
    named.insert(target["hardware"].get<std::string>());
    EXPECT_FALSE(target["reason"].get<std::string>().empty());
    EXPECT_TRUE(target["yes"].get<bool>() || !target["how_to_get"].get<std::string>().empty()) << target.dump();
    EXPECT_EQ(target["measured"], nullptr) << "nobody measured anything";
  }
  for (const HardwareName& hardware : hardware_names()) EXPECT_TRUE(named.contains(std::string(hardware.name))) << hardware.name;
  EXPECT_GT(json["targets"][0]["memory_estimate"]["total_bytes"].get<uint64_t>(), 0u);
}

TEST_F(PlanVerbTest, TextSaysWhatIsMeasuredAndWhatIsPrior) {
  const CliRun run = cli({"plan", fixture("bert_hf")});
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_TRUE(holds(run.out, "not measured yet: by the default priority of cpu")) << run.out;
  EXPECT_TRUE(holds(run.out, "for embeddings"));
}

TEST_F(PlanVerbTest, NothingThatSatisfiesIsAnErrorWithTheNearestMiss) {
  const CliRun run = cli({"plan", fixture("llama_f32.gguf"), "--memory-max", "1KB", "--json"});
  EXPECT_NE(run.code, 0);
  EXPECT_TRUE(holds(run.err, "the nearest is cpu@cpu:0: memory")) << run.err;
}

TEST_F(PlanVerbTest, WrongWordsListTheRightOnes) {
  const CliRun use = cli({"plan", fixture("llama_f32.gguf"), "--use", "poem"});
  EXPECT_EQ(use.code, 2);
  EXPECT_TRUE(holds(use.err, "completion"));
  EXPECT_TRUE(holds(cli({"plan", fixture("llama_f32.gguf"), "--forbid", "gpu"}).err, "cuda"));
  EXPECT_TRUE(holds(cli({"plan", fixture("llama_f32.gguf"), "--objective", "speed"}).err, "throughput"));
  EXPECT_EQ(cli({"plan", fixture("llama_f32.gguf"), "--ttft-max", "-1"}).code, 2);
}

}  // namespace
}  // namespace accelerate
