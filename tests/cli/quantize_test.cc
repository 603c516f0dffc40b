#include <filesystem>

#include "tests/cli/cli_run.h"

namespace accelerate {
namespace {

class QuantizeVerb : public CliTest {
 protected:
  std::string out_ = (home_ / "out.gguf").string();
};

TEST_F(QuantizeVerb, SaysSizesTypesAndWhatItCost) {
  const CliRun run = cli({"quantize", fixture("llama_f16.gguf"), out_, "--type", "q4_k", "--threads", "2"});
  ASSERT_EQ(run.code, 0) << run.err;
  for (const char* part : {"smaller than as f32", "tensors became Q5_0: their rows do not divide into blocks of 256 (as blk.0.", "mean KL ", "perplexity "}) {
    EXPECT_TRUE(holds(run.out, part)) << part << " in " << run.out;
  }
  const CliRun answer = cli({"run", out_, "--raw", "abc", "--max-tokens", "4"});
  EXPECT_EQ(answer.code, 0) << answer.err;
}

TEST_F(QuantizeVerb, JsonHasEveryNumber) {
  const CliRun run = cli({"quantize", fixture("llama_f32.gguf"), out_, "--type", "INT8", "--json"});
  ASSERT_EQ(run.code, 0) << run.err;
  const Json json = run.json();
  EXPECT_EQ(json["asked"], "Q8_0");
  EXPECT_EQ(json["quantization"], "Q8_0");
  EXPECT_EQ(json["bytes_after"], std::filesystem::file_size(out_));
  EXPECT_EQ(json["bytes_before"], std::filesystem::file_size(fixture("llama_f32.gguf")));
  EXPECT_GT(json["smaller_than_f32"].get<double>(), 0.7);
  EXPECT_GT(json["quality"]["kl_mean"].get<double>(), 0);
  EXPECT_GT(json["quality"]["perplexity_after"].get<double>(), 1);
  EXPECT_TRUE(json["quality_missing"].is_null());
  EXPECT_EQ(json["tensors"][0]["type"], "Q8_0");
  const CliRun quick = cli({"quantize", fixture("llama_f32.gguf"), out_, "--force", "--no-quality", "--json"});
  EXPECT_TRUE(quick.json()["quality"].is_null());
  EXPECT_EQ(quick.json()["quality_missing"], "--no-quality");
  EXPECT_EQ(quick.json()["asked"], "Q4_K") << "int4 is the default";
}

TEST_F(QuantizeVerb, RefusalsLeaveNothing) {
  EXPECT_EQ(cli({"quantize", fixture("llama_f32.gguf")}).code, 2);
  const CliRun type = cli({"quantize", fixture("llama_f32.gguf"), out_, "--type", "int3"});
  EXPECT_EQ(type.code, 2);
  EXPECT_TRUE(holds(type.err, "one of int8 int4 f32")) << type.err;
  const CliRun folder = cli({"quantize", fixture("llama_hf_f32"), out_});
  EXPECT_EQ(folder.code, 11) << folder.err;
  EXPECT_TRUE(holds(folder.err, "safetensors")) << folder.err;
  EXPECT_EQ(cli({"quantize", "smolm2", out_}).code, 4);
  EXPECT_EQ(cli({"quantize", fixture("goldens.json"), out_}).code, 2);
  EXPECT_EQ(cli({"quantize", fixture("llama_f32.gguf"), (home_ / "no/out.gguf").string()}).code, 4);
  EXPECT_FALSE(std::filesystem::exists(out_));
}

TEST_F(QuantizeVerb, OtherVerbsMakeTheSameWeightsAtLoad) {
  const std::vector<std::string> ask{"--raw", "abc", "--max-tokens", "6", "--json", "--ctx", "64"};
  for (const char* model : {"llama_f32.gguf", "llama_hf_bf16"}) {
    std::vector<std::string> args{"run", fixture(model), "--quantization", "q4_0"};
    args.insert(args.end(), ask.begin(), ask.end());
    const CliRun loaded = cli(args);
    ASSERT_EQ(loaded.code, 0) << loaded.err;
    EXPECT_TRUE(holds(loaded.json()["notes"].dump(), "weights Q4_0 instead of")) << loaded.out;
    if (std::string(model) != "llama_f32.gguf") continue;
    ASSERT_EQ(cli({"quantize", fixture(model), out_, "--type", "q4_0", "--no-quality"}).code, 0);
    args = {"run", out_};
    args.insert(args.end(), ask.begin(), ask.end());
    EXPECT_EQ(cli(args).json()["text"], loaded.json()["text"]);
  }
  const Json own = cli({"plan", fixture("llama_f32.gguf"), "--json"}).json();
  const Json smaller = cli({"plan", fixture("llama_f32.gguf"), "--quantization", "INT8", "--json"}).json();
  EXPECT_EQ(own["quantization"], "F32");
  EXPECT_EQ(smaller["quantization"], "Q8_0");
  const auto weights = [](const Json& plan) {
    for (const Json& target : plan["targets"]) {
      if (target["yes"] == true) return target["memory_estimate"]["weights_bytes"].get<uint64_t>();
    }
    return uint64_t{0};
  };
  EXPECT_GT(weights(smaller), 0u);
  EXPECT_LT(weights(smaller), weights(own) / 2);
  EXPECT_EQ(cli({"embed", fixture("bert_hf"), "a text", "--quantization", "q8_0"}).code, 0);
}

TEST_F(QuantizeVerb, AnExistingFileNeedsForce) {
  write_text(out_, "precious");
  const CliRun refused = cli({"quantize", fixture("llama_f32.gguf"), out_, "--no-quality", "--json"});
  EXPECT_EQ(refused.json()["error"]["code"], "already_exists");
  EXPECT_TRUE(holds(refused.err, "--force")) << refused.err;
  EXPECT_EQ(read_text(out_), "precious");
  EXPECT_EQ(cli({"quantize", fixture("llama_f32.gguf"), out_, "--no-quality", "--force"}).code, 0);
  EXPECT_EQ(read_text(out_).substr(0, 4), "GGUF");
}

}  // namespace
}  // namespace accelerate
