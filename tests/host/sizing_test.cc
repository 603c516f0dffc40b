#include "accelerate/host/sizing.h"

#include <gtest/gtest.h>

#include "accelerate/base/buffer_size.h"
#include "accelerate/base/limits.h"
#include "accelerate/host/kv_cache.h"
#include "tests/host/harness.h"

namespace accelerate {
namespace {

constexpr HostMachine kMachine{.threads = 2, .memory_bytes = uint64_t{1} << 30};

Result<Sizing> sized(const Model& model, const CompileOptions& options, const HostMachine& machine = kMachine) {
  const auto plan = make_plan(*model.graph, options.precision);
  return choose_sizing(model, *plan, options, machine);
}

TEST(Sizing, DefaultsGiveOneContextAndAtLeastTheMinimum) {
  const auto small = sized(*tiny::llama({.context = 256}), {});
  ASSERT_TRUE(small.ok());
  EXPECT_EQ(small->executor.context_max, 256u);
  EXPECT_EQ(small->kv_tokens, kKvTokensDefaultMin);
  EXPECT_EQ(small->slots, kSlotsDefault);
  EXPECT_TRUE(small->notes.empty());
  const auto large = sized(*tiny::llama({.context = 20000}), {});
  EXPECT_EQ(large->executor.context_max, 20000u);
  EXPECT_EQ(large->kv_tokens, 20032u);  // whole pages
}

TEST(Sizing, AContextThatDoesNotFitIsCutAndSaysSo) {
  const auto model = tiny::llama({.context = 1u << 20});
  const auto got = sized(*model, {}, {.threads = 1, .memory_bytes = uint64_t{300} << 20});
  ASSERT_TRUE(got.ok()) << got.error().message;
  EXPECT_LT(got->executor.context_max, 1u << 20);
  EXPECT_EQ(got->executor.context_max, got->kv_tokens);
  EXPECT_EQ(got->notes.size(), 2u);
  EXPECT_LE(got->memory.total(), uint64_t{300} << 20);
  EXPECT_EQ(got->memory.kv, buffer_size(KvCache::bytes_needed(make_plan(*model->graph, Precision::kDefault)->kv_layers, got->kv_tokens)));
}

TEST(Sizing, WhatWasAskedForIsGivenOrRefused) {
  const auto model = tiny::llama({.context = 20000});
  const auto given = sized(*model, {.threads = 3, .context = 1000, .kv_tokens = 5000, .slots = 7});
  ASSERT_TRUE(given.ok());
  EXPECT_EQ(given->threads, 3u);
  EXPECT_EQ(given->executor.context_max, 1000u);
  EXPECT_EQ(given->kv_tokens, 5056u);
  EXPECT_EQ(given->slots, 7u);
  EXPECT_EQ(given->executor.sequences_max, 7u);
  const auto context_only = sized(*model, {.context = 12000});
  EXPECT_EQ(context_only->kv_tokens, 12032u);
  EXPECT_EQ(sized(*model, {.context = 20001}).error().code, ErrorCode::kOutOfRange);
  EXPECT_EQ(sized(*model, {.slots = limits::kSlotsMax + 1}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(sized(*model, {.threads = 100000}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(sized(*model, {.kv_tokens = uint64_t{1} << 40}).error().code, ErrorCode::kResourceExhausted);
  EXPECT_EQ(sized(*model, {.kv_tokens = UINT64_MAX}).error().code, ErrorCode::kResourceExhausted);
  EXPECT_EQ(sized(*model, {}, {.threads = 2, .memory_bytes = uint64_t{1} << 20}).error().code, ErrorCode::kResourceExhausted);
}

TEST(Sizing, APoolSmallerThanTheContextBoundsIt) {
  const auto got = sized(*tiny::llama({.context = 1000}), {.kv_tokens = 300});
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(got->executor.context_max, 320u);
  ASSERT_EQ(got->notes.size(), 1u);
}

TEST(Sizing, EncodersHaveRoomForTheirLongestText) {
  const auto model = tiny::bert({.context = 900});
  const auto got = sized(*model, {});
  ASSERT_TRUE(got.ok());
  EXPECT_EQ(got->executor.rows_max, 900u);
  EXPECT_GE(got->kv_tokens, 900u + kEncoderSequencesMax);
  EXPECT_EQ(sized(*tiny::bert({.context = 100}), {})->executor.rows_max, kBatchTokensMax);
}

TEST(Sizing, TheEstimateIsWhatAProgramHolds) {
  for (const auto& model : {tiny::llama({.vocabulary = 30000, .context = 4096, .dtype = DType::kQ4_1}), tiny::bert({.vocabulary = 30000})}) {
    const auto estimate = estimate_memory(*model, {}, kMachine);
    ASSERT_TRUE(estimate.ok());
    const auto program = harness::compile(model, {.threads = 2, .precision = Precision::kDefault});
    const auto held = static_cast<double>(program->memory_bytes());
    EXPECT_NEAR(held, static_cast<double>(estimate->total()), 0.01 * held);
  }
}

TEST(Sizing, AModelWithoutAGraphIsAnError) { EXPECT_EQ(estimate_memory(Model{}, {}, kMachine).error().code, ErrorCode::kFailedPrecondition); }

}  // namespace
}  // namespace accelerate
