#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "accelerate/models/families.h"
#include "tests/models/graph_reading.h"
#include "tests/models/model_maker.h"

namespace accelerate {
namespace {

using namespace testing;
using ::testing::HasSubstr;

TEST(Gemma, ComputesWhatTheArchitectureSays) {
  const MadeModel made = small_gemma_model();
  const auto graph = build_graph(made.model);
  ASSERT_TRUE(graph.ok()) << graph.error().message;
  std::string names = "token_embedding";
  for (int i = 0; i < 7; ++i) {
    names += " rms_norm linear rms_norm rope linear rms_norm rope linear attention linear rms_norm add rms_norm gated_mlp rms_norm add";
  }
  EXPECT_EQ(op_names(*graph), names + " rms_norm output");
  EXPECT_EQ(ops_of<TokenEmbedding>(*graph)[0].scale, 4.0f);  // sqrt(16)
  EXPECT_EQ(ops_of<GatedMlp>(*graph)[0].activation, Activation::kGeluTanh);
  EXPECT_FLOAT_EQ(ops_of<Attention>(*graph)[0].scale, 1 / std::sqrt(6.0f));
  const auto norms = ops_of<RmsNorm>(*graph);
  EXPECT_EQ(norms[0].group, 0u);
  EXPECT_EQ(norms[1].group, 6u);
  EXPECT_EQ(norms[1].weight_offset, 0.0f);
}

TEST(Gemma, EverySixthLayerIsGlobal) {
  const MadeModel made = small_gemma_model();
  const auto graph = build_graph(made.model);
  ASSERT_TRUE(graph.ok());
  const auto attention = ops_of<Attention>(*graph);
  const auto rope = ops_of<Rope>(*graph);
  for (size_t layer = 0; layer < 7; ++layer) {
    EXPECT_EQ(attention[layer].window, layer == 5 ? 0u : 8u) << layer;
    EXPECT_EQ(rope[2 * layer].frequencies.base, layer == 5 ? 1e6 : 1e4) << layer;
    EXPECT_EQ(rope[2 * layer + 1].frequencies.base, layer == 5 ? 1e6 : 1e4) << layer;
  }
}

TEST(Gemma, SafetensorsStoreNormsMinusOne) {
  const MadeModel made = small_gemma_model(Dialect::kHuggingFace);
  const auto graph = build_graph(made.model);
  ASSERT_TRUE(graph.ok()) << graph.error().message;
  for (const RmsNorm& norm : ops_of<RmsNorm>(*graph)) EXPECT_EQ(norm.weight_offset, 1.0f);
}

TEST(Gemma, UsesScaleAndSoftcapsOfTheConfig) {
  MadeModel made = small_gemma_model();
  made.model.config.attention_scale = 0.25;
  made.model.config.attention_softcap = 50;
  made.model.config.final_softcap = 30;
  const auto graph = build_graph(made.model);
  EXPECT_EQ(ops_of<Attention>(*graph)[0].scale, 0.25f);
  EXPECT_EQ(ops_of<Attention>(*graph)[0].softcap, 50.0f);
  EXPECT_EQ(ops_of<Output>(*graph)[0].softcap, 30.0f);
}

TEST(Gemma, RefusesWhatItDoesNotUnderstand) {
  MadeModel fields = small_gemma_model(Dialect::kHuggingFace);
  fields.model.config.other["use_bidirectional_attention"] = "true";
  EXPECT_THAT(build_graph(fields.model).error().message, HasSubstr("use_bidirectional_attention = true"));
  MadeModel vision = small_gemma_model(Dialect::kHuggingFace);
  vision.model.config.other["architectures"] = "Gemma3ForConditionalGeneration";
  EXPECT_THAT(build_graph(vision.model).error().message, HasSubstr("Gemma3ForConditionalGeneration"));
  MadeModel norm = small_gemma_model();
  norm.remove("blk.3.attn_q_norm.weight");
  EXPECT_THAT(build_graph(norm.model).error().message, HasSubstr("blk.3.attn_q_norm.weight"));
  MadeModel rope = small_gemma_model();
  rope.model.config.rope_local->base = 0;
  EXPECT_FALSE(build_graph(rope.model).ok());
}

}  // namespace
}  // namespace accelerate
