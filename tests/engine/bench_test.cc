#include "accelerate/engine/bench.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/fake_encoder.h"
#include "tests/engine/fake_engine.h"

namespace accelerate {
namespace {

using namespace std::chrono_literals;

std::string model_path() { return fixture_path("llama_f32.gguf").string(); }

// Every step takes 2 ms whatever is in it, so rates follow from counting steps.
void timed(FakeBackend& backend) {
  backend.make = [](const CompileOptions& options, Progress&) {
    auto program = std::make_unique<CountingDecoder>();
    program->vocabulary_value = 280;
    program->step_time = 2ms;
    if (options.slots) program->limits_value.slots_max = options.slots;
    return Result<std::unique_ptr<Program>>(std::move(program));
  };
}

TEST(Bench, MedianOfFewAndNone) {
  EXPECT_EQ(median({3, 1, 2}), 2);
  EXPECT_EQ(median({4, 1, 3, 2}), 2.5);
  EXPECT_EQ(median({7}), 7);
  EXPECT_TRUE(std::isnan(median({})));
}

TEST(Bench, RatesFollowFromTheStepsOfTheProgram) {
  FakeEngine fake;
  timed(*fake.backend);
  const auto report = run_bench(*fake.engine, model_path(), {.prompt_tokens = 128, .generate_tokens = 20, .rounds = 3}, no_progress());
  ASSERT_TRUE(report) << to_string(report.error());
  EXPECT_EQ(report->rounds, 3u);
  ASSERT_EQ(report->samples.prefill_tokens_per_s.size(), 3u);
  ASSERT_EQ(report->samples.decode_tokens_per_s.size(), 3u);
  ASSERT_EQ(report->samples.ttft_ms.size(), 3u);
  EXPECT_TRUE(report->samples.texts_per_s.empty());
  for (int round = 0; round < 3; ++round) {
    // 128 tokens in two steps of 64: at best 4 ms; then one token every 2 ms.
    EXPECT_GE(report->samples.ttft_ms[round], 4);
    EXPECT_LE(report->samples.prefill_tokens_per_s[round], 128 / 0.004 * 1.001);
    EXPECT_LE(report->samples.decode_tokens_per_s[round], 500 * 1.001);
    EXPECT_GT(report->samples.decode_tokens_per_s[round], 50) << "and not far below on a busy machine";
  }
  EXPECT_EQ(report->target, "fake@cpu:0");
  EXPECT_EQ(report->quantization, "F32");
  EXPECT_EQ(report->weight_bytes, 10u);
  EXPECT_GT(report->memory_peak_bytes, 0u);
  EXPECT_FALSE(report->cancelled);
}

// While the last prompts are computed the first answers go on: their tokens belong to no decode rate.
TEST(Bench, ABatchDecodesFromTheLastPrefillOn) {
  FakeEngine fake;
  timed(*fake.backend);
  const auto report = run_bench(*fake.engine, model_path(), {.prompt_tokens = 256, .generate_tokens = 10, .batch = 4, .rounds = 2}, no_progress());
  ASSERT_TRUE(report) << to_string(report.error());
  ASSERT_EQ(report->samples.ttft_ms.size(), 8u) << "one a sequence";
  for (const double rate : report->samples.decode_tokens_per_s) EXPECT_LE(rate, 4 * 500 * 1.001) << "four tokens a step at most";
}

TEST(Bench, EncodersAreMeasuredInTexts) {
  FakeEngine fake;
  fake.backend->make = [](const CompileOptions&, Progress&) { return Result<std::unique_ptr<Program>>(std::make_unique<FakeEncoder>()); };
  const auto report = run_bench(*fake.engine, fixture_path("bert_hf").string(), {.prompt_tokens = 16, .batch = 3, .rounds = 2}, no_progress());
  ASSERT_TRUE(report) << to_string(report.error());
  EXPECT_EQ(report->samples.texts_per_s.size(), 2u);
  EXPECT_TRUE(report->samples.decode_tokens_per_s.empty());
  EXPECT_NEAR(report->samples.prefill_tokens_per_s[0], 16 * report->samples.texts_per_s[0], 1e-6 * report->samples.prefill_tokens_per_s[0]);
}

TEST(Bench, ImpossibleOptionsAreRefusedBeforeLoading) {
  FakeEngine fake;
  fake.backend->make = [](const CompileOptions&, Progress&) -> Result<std::unique_ptr<Program>> {
    ADD_FAILURE() << "nothing is loaded";
    return Error{ErrorCode::kInternal, ""};
  };
  for (const BenchOptions& options : {BenchOptions{.prompt_tokens = 0}, BenchOptions{.batch = 0}, BenchOptions{.rounds = 0}}) {
    const auto report = run_bench(*fake.engine, model_path(), options, no_progress());
    ASSERT_FALSE(report);
    EXPECT_EQ(report.error().code, ErrorCode::kInvalidArgument);
  }
}

TEST(Bench, WhateverHappensTheModelIsClosedAgain) {
  FakeEngine fake;
  for (const BenchOptions& options : {BenchOptions{.prompt_tokens = 5000}, BenchOptions{.prompt_tokens = 16, .generate_tokens = UINT32_MAX},
                                      BenchOptions{.prompt_tokens = 500, .generate_tokens = 12}}) {
    const auto too_long = run_bench(*fake.engine, model_path(), options, no_progress());
    ASSERT_FALSE(too_long);
    EXPECT_EQ(too_long.error().code, ErrorCode::kOutOfRange);
    EXPECT_TRUE(fake.engine->endpoints().empty());
  }
  fake.backend->make = [](const CompileOptions&, Progress&) {
    auto program = std::make_unique<CountingDecoder>();
    program->vocabulary_value = 280;
    program->next_token = [calls = 0, raw = program.get()](std::span<const uint32_t>) mutable {
      if (++calls == 5) raw->step_error = Error{ErrorCode::kInternal, "[test] gone"};
      return 7u;
    };
    return Result<std::unique_ptr<Program>>(std::move(program));
  };
  const auto died = run_bench(*fake.engine, model_path(), {.prompt_tokens = 8, .generate_tokens = 8}, no_progress());
  ASSERT_FALSE(died);
  EXPECT_EQ(died.error().code, ErrorCode::kInternal);
  EXPECT_TRUE(fake.engine->endpoints().empty());
}

TEST(Bench, AStopKeepsWhatWasMeasured) {
  FakeEngine fake;
  struct : Progress {
    bool update(std::string_view what, uint64_t done, uint64_t, std::string_view) override { return what != "rounds" || done < 3; }
  } progress;
  const auto report = run_bench(*fake.engine, model_path(), {.prompt_tokens = 8, .generate_tokens = 4, .rounds = 50}, progress);
  ASSERT_TRUE(report) << to_string(report.error());
  EXPECT_TRUE(report->cancelled);
  EXPECT_EQ(report->rounds, 3u);
  EXPECT_EQ(report->samples.prefill_tokens_per_s.size(), report->rounds);
  EXPECT_TRUE(fake.engine->endpoints().empty());
}

}  // namespace
}  // namespace accelerate
