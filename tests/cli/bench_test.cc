#include "tests/cli/cli_run.h"

namespace accelerate {
namespace {

using Bench = CliTest;

TEST_F(Bench, JsonHasMediansSamplesAndShares) {
  const CliRun run = cli({"bench", fixture("llama_f32.gguf"), "--prompt", "16", "--generate", "4", "--rounds", "3", "--json"});
  ASSERT_EQ(run.code, 0) << run.err;
  const Json json = run.json();
  for (const char* key : {"prefill_tokens_per_s", "decode_tokens_per_s"}) {
    EXPECT_GT(json[key].get<double>(), 0) << key;
    ASSERT_EQ(json["samples"][key].size(), 3u) << key;
    std::vector<double> samples = json["samples"][key];
    std::sort(samples.begin(), samples.end());
    EXPECT_DOUBLE_EQ(json[key].get<double>(), samples[1]) << "the median is one of the raw samples";
  }
  EXPECT_GT(json["ttft_ms"].get<double>(), 0);
  EXPECT_GT(json["load_ms"].get<double>(), 0);
  EXPECT_GT(json["shares"]["decode_of_read_bandwidth"].get<double>(), 0);
  EXPECT_GT(json["shares"]["prefill_of_f32_gflops"].get<double>(), 0);
  EXPECT_GT(json["machine"]["read_gbytes_per_s"].get<double>(), 0);
  EXPECT_EQ(json["texts_per_s"], nullptr) << "unavailable is no number";
}

TEST_F(Bench, EncodersAreMeasuredInTexts) {
  const CliRun run = cli({"bench", fixture("bert_hf"), "--prompt", "16", "--batch", "4", "--rounds", "2"});
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_TRUE(holds(run.out, "texts/s")) << run.out;
  EXPECT_FALSE(holds(run.out, "decode")) << run.out;
}

TEST_F(Bench, RefusesWhatDoesNotFit) {
  EXPECT_EQ(cli({"bench", fixture("llama_f32.gguf"), "--rounds", "0"}).code, 2);
  EXPECT_NE(cli({"bench", fixture("llama_f32.gguf"), "--prompt", "100000", "--rounds", "1"}).code, 0) << "beyond the context";
}

TEST_F(Bench, TargetsSideBySideWithParityAndThenThePlanKnowsThem) {
  const std::vector<std::string> base = {"bench", fixture("llama_f32.gguf"), "--prompt", "16", "--generate", "4", "--rounds", "3", "--targets", "cpu,cpu:exact"};
  const auto with = [&](std::vector<std::string> more) {
    std::vector<std::string> args = base;
    args.insert(args.end(), more.begin(), more.end());
    return cli(args);
  };
  const CliRun run = with({"--json"});
  ASSERT_EQ(run.code, 0) << run.err;
  const Json json = run.json();
  ASSERT_EQ(json["targets"].size(), 2u);
  EXPECT_EQ(json["targets"][0]["parity"], "pass");
  EXPECT_EQ(json["targets"][1]["metrics"]["ttft_ms"]["samples"].size(), 3u);
  const CliRun csv = with({"--csv"});
  EXPECT_EQ(csv.code, 0) << csv.err;
  EXPECT_TRUE(holds(csv.out, "cpu:exact\",tpot_ms,2,")) << csv.out;
  Json faster = json;
  for (Json& target : faster["targets"]) target["metrics"]["ttft_ms"]["median"] = target["metrics"]["ttft_ms"]["median"].get<double>() / 1000;
  home_.write("faster.json", dump_json(faster));
  const CliRun worse = with({"--compare", (home_ / "faster.json").string()});
  EXPECT_NE(worse.code, 0);
  EXPECT_TRUE(holds(worse.err, "worse, noise")) << worse.err;
  const CliRun plan = cli({"plan", fixture("llama_f32.gguf"), "--json"});
  EXPECT_EQ(plan.json()["targets"][0]["parity"]["verdict"], "pass");
  EXPECT_EQ(plan.json()["targets"][0]["predicted"]["from_shape"], "p16-g4-b1");
  EXPECT_NE(with({"--compare", (home_ / "nothing.json").string()}).code, 0);
}

}  // namespace
}  // namespace accelerate
