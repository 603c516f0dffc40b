#include "accelerate/formats/gguf_model.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/formats/gguf_writer.h"

namespace accelerate {
namespace {

using testing::AlignedBytes;
using testing::GgufWriter;
using ::testing::HasSubstr;

/// The Model's tensors point at nothing afterwards: these tests look at the rest.
Result<Model> model_of(const GgufWriter& writer) {
  const AlignedBytes file = writer.build();
  Result<Model> model = model_from_gguf(file.span());
  if (model) model->tensors.clear();
  return model;
}

std::string error_of(const GgufWriter& writer) {
  const auto model = model_of(writer);
  return model ? "the model was accepted" : model.error().message;
}

GgufWriter gemma(uint32_t layers = 7) {
  GgufWriter writer;
  writer.text("general.architecture", "gemma3").u32("gemma3.block_count", layers).u32("gemma3.embedding_length", 5376);
  writer.u32("gemma3.attention.head_count", 32).u32("gemma3.attention.head_count_kv", 16).u32("gemma3.attention.key_length", 128);
  writer.u32("gemma3.attention.value_length", 128).u32("gemma3.attention.sliding_window", 512);
  return writer.f32("gemma3.rope.freq_base", 1e6f);
}

TEST(GgufModel, ReadsALlama) {
  GgufWriter writer = testing::small_llama();
  writer.u32("llama.rope.dimension_count", 4).f32("general.sampling.temp", 0.25f).entry("general.sampling.top_k", 5, GgufWriter::raw<int32_t>(20));
  writer.text("llama.tensor_data_layout", "Meta AI original pth").u32("llama.expert_count", 8);
  const auto model = model_of(writer);
  ASSERT_TRUE(model.ok()) << model.error().message;
  const ModelConfig& config = model->config;
  EXPECT_EQ(model->format, "gguf v3");
  EXPECT_EQ(config.name, "small");
  EXPECT_EQ(config.layers, 1u);
  EXPECT_EQ(config.width, 8u);
  EXPECT_EQ(config.ff_width, 12u);
  EXPECT_EQ(config.heads, 2u);
  EXPECT_EQ(config.kv_heads, 1u);
  EXPECT_EQ(config.head_width, 4u);
  EXPECT_EQ(config.rope_width, 4u);
  EXPECT_EQ(config.vocabulary, 5u);
  EXPECT_EQ(config.context, 16u);
  EXPECT_FLOAT_EQ(static_cast<float>(config.norm_epsilon), 1e-5f);
  EXPECT_EQ(config.rope_style, RopeStyle::kInterleaved);
  EXPECT_FALSE(config.norm_weight_is_offset);
  EXPECT_EQ(config.other.at("llama.expert_count"), "8");
  EXPECT_EQ(config.other.at("llama.tensor_data_layout"), "'Meta AI original pth'");
  EXPECT_EQ(config.other.size(), 2u);
  EXPECT_EQ(model->chat_template, "{{ messages }}");
  EXPECT_EQ(model->generation.temperature, 0.25f);
  EXPECT_EQ(model->generation.top_k, 20u);
  EXPECT_EQ(model->generation.top_p, std::nullopt);
  EXPECT_EQ(model->tokenizer->eos, 2u);
}

TEST(GgufModel, CompletesGemma3FromItsDefinition) {
  const auto model = model_of(gemma());
  ASSERT_TRUE(model.ok()) << model.error().message;
  EXPECT_EQ(model->config.sliding_window_pattern, 6u);
  EXPECT_EQ(model->config.rope_local->base, 10000.0);
  EXPECT_EQ(model->config.rope_style, RopeStyle::kHalves);
  EXPECT_EQ(model->config.attention_scale, 0);
  EXPECT_FALSE(model->tokenizer.has_value());
  EXPECT_DOUBLE_EQ(model_of(gemma(62))->config.attention_scale, 1 / std::sqrt(168.0));  // 27B
}

TEST(GgufModel, TakesAWindowPatternAsNumberOrList) {
  EXPECT_EQ(model_of(gemma().u32("gemma3.attention.sliding_window_pattern", 3))->config.sliding_window_pattern, 3u);
  const std::vector<uint8_t> every_third{1, 1, 0, 1, 1, 0, 1}, uneven{1, 0, 1, 1, 0, 1, 1};
  EXPECT_EQ(model_of(gemma().list("gemma3.attention.sliding_window_pattern", 7, every_third))->config.sliding_window_pattern, 3u);
  EXPECT_THAT(error_of(gemma().list("gemma3.attention.sliding_window_pattern", 7, uneven)), HasSubstr("every n-th layer"));
}

TEST(GgufModel, PerLayerHeadCountsAreTakenOnlyWhenUniform) {
  GgufWriter uniform, mixed;
  for (GgufWriter* writer : {&uniform, &mixed}) writer->text("general.architecture", "llama").u32("llama.embedding_length", 64);
  uniform.list<uint32_t>("llama.attention.head_count", 4, {8, 8, 8});
  mixed.list<uint32_t>("llama.attention.head_count", 4, {8, 4, 8});
  EXPECT_EQ(model_of(uniform)->config.heads, 8u);
  EXPECT_THAT(error_of(mixed), HasSubstr("llama.attention.head_count is the same for every layer; got [8, 4, 8]"));
  EXPECT_FALSE(model_of(GgufWriter().text("general.architecture", "llama").texts("llama.attention.head_count", {"a"})).ok());
}

TEST(GgufModel, KeepsWhatItCannotExpressForTheFamilyToRefuse) {
  GgufWriter writer = testing::small_llama();
  writer.u32("llama.attention.key_length", 4).u32("llama.attention.value_length", 6).u32("llama.pooling_type", 4);
  writer.text("llama.rope.scaling.type", "yarn");
  const auto model = model_of(writer);
  ASSERT_TRUE(model.ok()) << model.error().message;
  EXPECT_EQ(model->config.other.at("llama.attention.value_length"), "6");
  EXPECT_EQ(model->config.other.at("llama.pooling_type"), "4");
  EXPECT_EQ(model->config.rope.scaling, "yarn");
}

TEST(GgufModel, ReadsPoolingAndRopeScaling) {
  GgufWriter writer;
  writer.text("general.architecture", "bert").u32("bert.pooling_type", 2).u32("tokenizer.ggml.token_type_count", 2);
  writer.text("bert.rope.scaling.type", "linear").f32("bert.rope.scaling.factor", 8);
  const auto model = model_of(writer);
  ASSERT_TRUE(model.ok());
  EXPECT_EQ(model->pooling, Pooling::kCls);
  EXPECT_EQ(model->config.token_types, 2u);
  EXPECT_EQ(model->config.rope.scaling, "linear");
  EXPECT_EQ(model->config.rope.factor, 8);
  const auto old = model_of(GgufWriter().text("general.architecture", "llama").f32("llama.rope.scale_linear", 4));
  EXPECT_EQ(old->config.rope.scaling, "linear");
  EXPECT_EQ(old->config.rope.factor, 4);
}

TEST(GgufModel, RefusesContradictions) {
  EXPECT_THAT(error_of(GgufWriter().u32("llama.block_count", 1)), HasSubstr("general.architecture"));
  EXPECT_THAT(error_of(GgufWriter().text("general.architecture", "")), HasSubstr("general.architecture"));
  EXPECT_THAT(error_of(testing::small_llama().u32("llama.vocab_size", 4)), HasSubstr("got 4 for 5 tokens"));
  EXPECT_THAT(error_of(testing::small_llama().entry("split.count", 2, GgufWriter::raw<uint16_t>(3))), HasSubstr("one of 3 splits"));
  EXPECT_THAT(error_of(testing::small_llama().text("general.type", "adapter")), HasSubstr("'adapter'"));
  EXPECT_THAT(error_of(testing::small_llama().f32("llama.attention.scale", INFINITY)), HasSubstr("is finite"));
  EXPECT_THAT(error_of(GgufWriter().text("general.architecture", "llama").entry("llama.block_count", 10, GgufWriter::raw<uint64_t>(1ull << 40))),
              HasSubstr("fits 32 bits"));
}

TEST(GgufModel, TheEmbeddingSaysTheVocabularyWhenNothingElseDoes) {
  EXPECT_EQ(model_of(testing::small_llama({.vocabulary = 9, .tokenizer = false}))->config.vocabulary, 9u);
}

}  // namespace
}  // namespace accelerate
