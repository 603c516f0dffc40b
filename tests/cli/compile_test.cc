#include "tests/cli/cli_run.h"

namespace accelerate {
namespace {

using Compile = CliTest;

TEST_F(Compile, ProvesAndSaysWhatWasDone) {
  const CliRun run = cli({"compile", fixture("llama_q8_0.gguf"), "--threads", "1", "--json"});
  ASSERT_EQ(run.code, 0) << run.err;
  const Json json = run.json();
  EXPECT_EQ(json["target"], "cpu@cpu:0");
  EXPECT_EQ(json["quantization"], "Q8_0");
  EXPECT_EQ(json["parity"]["verdict"], "pass");
  EXPECT_EQ(json["parity"]["remembered"], false);
  EXPECT_EQ(json["artifact"], nullptr);
  EXPECT_EQ(json["from_cache"], false);
  EXPECT_GT(json["memory_bytes"].get<uint64_t>(), 10'000u);
  EXPECT_GE(json["total_s"].get<double>(), json["load_s"].get<double>());
  const CliRun text = cli({"compile", fixture("llama_q8_0.gguf"), "--threads", "1"});
  ASSERT_EQ(text.code, 0) << text.err;
  for (const char* part : {"cpu@cpu:0", "this backend leaves no artifact: it compiles at load", "pass: mean KL", "(remembered)"}) {
    EXPECT_TRUE(holds(text.out, part)) << part << "\n" << text.out;
  }
  EXPECT_FALSE(std::filesystem::exists(home_ / "cache/ipfs-accelerate/programs")) << "nothing is kept, so nothing is made";
}

TEST_F(Compile, TakesATargetAQuantizationAndALevel) {
  const CliRun run = cli({"compile", fixture("llama_f32.gguf"), "--target", "cpu@cpu:0", "--quantization", "int8", "--level", "3", "--threads", "1", "--parity", "off"});
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_TRUE(holds(run.out, "Q8_0")) << run.out;
  EXPECT_TRUE(holds(run.out, "not compared: --parity off")) << run.out;
  EXPECT_TRUE(holds(run.out, "cpu has one level only: 3 changed nothing")) << run.out;
}

TEST_F(Compile, WhatCanNotBeIsRefusedWithItsCode) {
  EXPECT_EQ(cli({"compile"}).code, 2);
  EXPECT_EQ(cli({"compile", fixture("llama_f32.gguf"), "--level", "4"}).code, 2);
  EXPECT_EQ(cli({"compile", fixture("llama_f32.gguf"), "--target", "cpu@cpu:0", "--hardware", "cpu"}).code, 2);
  EXPECT_EQ(cli({"compile", fixture("llama_f32.gguf"), "--quantization", "int3"}).code, 2);
  const CliRun absent = cli({"compile", fixture("llama_f32.gguf"), "--target", "cpu@cpu:9"});
  EXPECT_NE(absent.code, 0);
  EXPECT_TRUE(holds(absent.err, "cpu@cpu:9")) << absent.err;
  const CliRun none = cli({"compile", "/no/such.gguf", "--json"});
  EXPECT_EQ(none.code, cli({"models", "show", "/no/such.gguf"}).code);
  EXPECT_EQ(none.json()["error"]["code"], "not_found");
}

}  // namespace
}  // namespace accelerate
