#include "accelerate/cli/choice_flags.h"

#include <CLI/CLI.hpp>

#include "tests/cli/cli_run.h"

namespace accelerate {
namespace {

class ChoiceFlagsTest : public CliTest {
 protected:
  Result<OpenOptions> options(const std::string& args) {
    ChoiceFlags flags;
    CLI::App app;
    add_choice_flags(app, flags);
    app.parse(args);
    OpenOptions options;
    ACC_TRY_VOID(apply_choice(flags, options));
    return options;
  }
};

TEST_F(ChoiceFlagsTest, WordsReachTheEngine) {
  const Result<OpenOptions> made = options("--use rag --objective energy --allow cpu,cuda --forbid torch --ttft-max 500 --tpot-max 20 --throughput-min 50 --energy-max 2 "
                                           "--kl-max 0.01 --memory-max 6GB --local");
  ASSERT_TRUE(made.ok()) << made.error().message;
  EXPECT_EQ(made->use->prompt_tokens, 2048u);
  EXPECT_EQ(made->objective, Objective::kEnergy);
  const PlanConstraints& c = made->constraints;
  EXPECT_EQ(c.allowed, (std::vector<std::string>{"cpu", "cuda"}));
  EXPECT_EQ(c.forbidden, (std::vector<std::string>{"torch"}));
  EXPECT_EQ(c.ttft_ms_max, 500);
  EXPECT_EQ(c.tpot_ms_max, 20);
  EXPECT_EQ(c.tokens_per_s_min, 50);
  EXPECT_EQ(c.joules_per_token_max, 2);
  EXPECT_EQ(c.kl_max, 0.01);
  EXPECT_EQ(c.memory_bytes_max, uint64_t{6} << 30);
  EXPECT_TRUE(c.local_only);
}

TEST_F(ChoiceFlagsTest, NothingAskedIsNoConstraint) {
  const Result<OpenOptions> made = options("");
  ASSERT_TRUE(made.ok());
  EXPECT_FALSE(made->use);
  EXPECT_EQ(made->objective, Objective::kLatency);
  EXPECT_FALSE(made->constraints.any());
}

TEST_F(ChoiceFlagsTest, MeasuringAtLoadIsTheVerbsDefaultUnlessSaid) {
  for (const auto& [args, expected] : {std::pair("", 10'000), std::pair("--measure 0", 0), std::pair("--measure 2.5", 2500)}) {
    ChoiceFlags flags{.measure_s = 10};
    CLI::App app;
    add_measure_flag(app, flags);
    app.parse(args);
    OpenOptions options;
    ASSERT_TRUE(apply_choice(flags, options));
    EXPECT_EQ(options.measure_budget.count(), expected) << args;
  }
  EXPECT_TRUE(holds(cli({"serve", "--help"}).out, "default: 10"));
  EXPECT_TRUE(holds(cli({"run", "--help"}).out, "default: 0"));
  EXPECT_EQ(cli({"run", fixture("llama_f32.gguf"), "hello", "--measure", "-1"}).code, 2);
}

TEST_F(ChoiceFlagsTest, WrongOnesListTheRightOnes) {
  for (const auto& [args, right] : {std::pair("--use poem", "completion"), std::pair("--objective speed", "throughput"), std::pair("--allow gpu", "cuda"),
                                    std::pair("--ttft-max -1", "positive")}) {
    const Result<OpenOptions> made = options(args);
    ASSERT_FALSE(made.ok()) << args;
    EXPECT_EQ(made.error().code, ErrorCode::kInvalidArgument) << args;
    EXPECT_TRUE(holds(made.error().message, right)) << made.error().message;
  }
}

TEST_F(ChoiceFlagsTest, VerbsThatLoadKeepToThem) {
  const CliRun run = cli({"run", fixture("llama_f32.gguf"), "hello", "--max-tokens", "1", "--memory-max", "1KB"});
  EXPECT_NE(run.code, 0);
  EXPECT_TRUE(holds(run.err, "the nearest is cpu@cpu:0: memory")) << run.err;
  EXPECT_TRUE(holds(cli({"embed", fixture("bert_hf"), "text", "--forbid", "cpu"}).err, "forbidden by the request"));
  EXPECT_EQ(cli({"embed", "--forbid", "torch,cuda", fixture("bert_hf"), "text"}).code, 0) << "what follows a list is no part of it";
  const CliRun unknown = cli({"run", fixture("llama_f32.gguf"), "hello", "--max-tokens", "1", "--ttft-max", "60000", "--json"});
  EXPECT_EQ(unknown.code, 0) << unknown.err;
  EXPECT_TRUE(holds(unknown.json()["notes"].dump(), "whether cpu@cpu:0 keeps time to first token is not known")) << unknown.out;
}

}  // namespace
}  // namespace accelerate
