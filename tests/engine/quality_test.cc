// Through the real backend: fixtures quantized to a temporary file.
#include "accelerate/engine/quality.h"

#include <atomic>

#include <gtest/gtest.h>

#include "accelerate/backends/cpu/cpu.h"
#include "accelerate/formats/quantize_file.h"
#include "tests/engine/fixture_model.h"
#include "tests/temporary.h"

namespace accelerate {
namespace {

class Quality : public ::testing::Test {
 protected:
  TemporaryFolder folder_;
  BackendContext context_{.threads = 2};
  std::unique_ptr<Backend> cpu_ = make_cpu_backend(context_);
  Device device_{.kind = "cpu"};

  std::shared_ptr<const Model> quantized(const std::string& name, DType type) {
    const auto out = folder_ / "out.gguf";
    const auto done = quantize_gguf(fixture_path(name), out, {.type = type, .replace = true}, no_progress());
    EXPECT_TRUE(done) << to_string(done.error());
    Result<std::shared_ptr<Model>> model = open_model(out);
    EXPECT_TRUE(model);
    Result<Graph> graph = build_graph(**model);
    EXPECT_TRUE(graph);
    (*model)->graph = std::make_shared<const Graph>(*std::move(graph));
    return *model;
  }
  Result<QualityChange> measure(std::shared_ptr<const Model> before, std::shared_ptr<const Model> after, const StepControl& control = {}) {
    return measure_quality({.before = std::move(before), .after = std::move(after), .backend = cpu_.get(), .device = device_, .threads = 2}, no_progress(), control);
  }
};

TEST_F(Quality, TheSameWeightsDifferByNothing) {
  const auto model = fixture_model("llama_f32.gguf");
  const auto change = measure(model, model);
  ASSERT_TRUE(change) << to_string(change.error());
  EXPECT_EQ(change->numbers.kl_mean, 0);
  EXPECT_EQ(change->numbers.top1_agreement, 1);
  EXPECT_GT(change->numbers.rows, 100u);
  ASSERT_TRUE(change->perplexity_before && change->perplexity_after);
  EXPECT_EQ(*change->perplexity_before, *change->perplexity_after);
  EXPECT_GT(*change->perplexity_before, 280.0) << "random weights are no better than guessing among 280 tokens";
}

TEST_F(Quality, FewerBitsCostMore) {
  const auto before = fixture_model("llama_f16.gguf");
  double last = 0;
  for (const DType type : {DType::kF32, DType::kQ8_0, DType::kQ5_0, DType::kQ4_0}) {
    const auto change = measure(before, quantized("llama_f16.gguf", type));
    ASSERT_TRUE(change) << to_string(change.error());
    if (type == DType::kF32) {
      EXPECT_LT(change->numbers.kl_mean, 1e-9);
    } else {
      EXPECT_GT(change->numbers.kl_mean, last) << dtype_traits(type).name;
    }
    last = change->numbers.kl_mean;
    EXPECT_NEAR(*change->perplexity_after / *change->perplexity_before, 1, 0.1);
  }
}

TEST_F(Quality, EncodersAreComparedByTheirVectors) {
  const auto model = fixture_model("bert_hf");
  const auto change = measure(model, model);
  ASSERT_TRUE(change) << to_string(change.error());
  EXPECT_LT(change->numbers.cosine_distance_max, 1e-9);
  EXPECT_GT(change->numbers.rows, 0u);
  EXPECT_FALSE(change->perplexity_before);
}

TEST_F(Quality, WithoutATokenizerThereIsNoPerplexity) {
  const auto opened = fixture_model("llama_f32.gguf");
  opened->tokenizer.reset();
  const auto change = measure(opened, opened);
  ASSERT_TRUE(change) << to_string(change.error());
  EXPECT_GT(change->numbers.rows, 0u);
  EXPECT_FALSE(change->perplexity_before);
  ASSERT_EQ(change->notes.size(), 1u);
}

TEST_F(Quality, OtherVocabulariesAreRefusedAndAStopIsObeyed) {
  EXPECT_FALSE(measure(fixture_model("llama_f32.gguf"), fixture_model("gemma3_f16.gguf")));
  const std::atomic<bool> stop{true};
  const auto model = fixture_model("llama_f32.gguf");
  const auto stopped = measure(model, model, {.deadline = {}, .stop = &stop});
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::kCancelled);
}

}  // namespace
}  // namespace accelerate
