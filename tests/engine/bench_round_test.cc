#include "accelerate/engine/bench_round.h"

#include <thread>

#include <gtest/gtest.h>

#include "tests/engine/fake_engine.h"

namespace accelerate {
namespace {

TEST(BenchRounds, EveryOneDrawsTheSameTokens) {
  std::vector<std::vector<uint32_t>> prompts;
  for (int i = 0; i < 2; ++i) {
    FakeEngine fake;
    std::vector<uint32_t> seen;
    fake.backend->make = [&seen](const CompileOptions&, Progress&) {
      auto program = std::make_unique<CountingDecoder>();
      program->vocabulary_value = 280;
      program->next_token = [&seen](std::span<const uint32_t> held) { seen.insert(seen.end(), held.begin(), held.end()); return 7u; };
      return Result<std::unique_ptr<Program>>(std::move(program));
    };
    const auto endpoint = fake.open("llama_f32.gguf", {.reuse_prefixes = false});
    ASSERT_TRUE(endpoint);
    seen.clear();
    BenchRounds rounds(**endpoint, {.prompt_tokens = 16, .generate_tokens = 2, .open = {}}, 280);
    BenchSamples samples;
    ASSERT_TRUE(rounds.warm_up());
    ASSERT_TRUE(rounds.run(samples));
    EXPECT_EQ(samples.ttft_ms.size(), 1u) << "the warm-up counts for nothing";
    prompts.push_back(seen);
  }
  EXPECT_EQ(prompts[0], prompts[1]);
}

TEST(BenchRounds, ARoundThatIsStoppedCountsForNothingAndFreesItsSlot) {
  FakeEngine fake;
  fake.backend->make = [](const CompileOptions&, Progress&) {
    auto program = std::make_unique<CountingDecoder>();
    program->vocabulary_value = 280;
    program->step_time = std::chrono::milliseconds(5);
    return Result<std::unique_ptr<Program>>(std::move(program));
  };
  const auto endpoint = fake.open("llama_f32.gguf", {.reuse_prefixes = false});
  ASSERT_TRUE(endpoint);
  BenchRounds rounds(**endpoint, {.prompt_tokens = 16, .generate_tokens = 400, .open = {}}, 280);
  BenchSamples samples;
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_EQ(rounds.run(samples, {.deadline = begun + std::chrono::milliseconds(50)}).error().code, ErrorCode::kCancelled);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::milliseconds(1500)) << "all of it takes two seconds";
  EXPECT_TRUE(samples.ttft_ms.empty());
  while ((*endpoint)->stats().running != 0 && std::chrono::steady_clock::now() < begun + std::chrono::seconds(30)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ((*endpoint)->stats().running, 0u);
}

TEST(BenchRounds, ABatchGetsSlotsAndKvUnlessSaid) {
  const BenchOptions options{.prompt_tokens = 100, .generate_tokens = 36, .batch = 4, .open = {}};
  EXPECT_EQ(bench_open_options(options, {}).compile.slots, 4u);
  EXPECT_EQ(bench_open_options(options, {}).compile.kv_tokens, 800u);
  OpenOptions said;
  said.compile.slots = 7, said.compile.kv_tokens = 9;
  EXPECT_EQ(bench_open_options(options, said).compile.slots, 7u);
  EXPECT_EQ(bench_open_options(options, said).compile.kv_tokens, 9u);
  EXPECT_FALSE(check_bench_options({.batch = 0, .open = {}}));
}

}  // namespace
}  // namespace accelerate
