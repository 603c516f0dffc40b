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

std::string error_of(const MadeModel& made) {
  const auto graph = build_graph(made.model);
  return graph ? "the graph was built" : graph.error().message;
}

TEST(Llama, ComputesWhatTheArchitectureSays) {
  const MadeModel made = small_llama_model();
  const auto graph = build_graph(made.model);
  ASSERT_TRUE(graph.ok()) << graph.error().message;
  const std::string layer = " rms_norm linear linear linear rope rope attention linear add rms_norm gated_mlp add";
  EXPECT_EQ(op_names(*graph), "token_embedding" + layer + layer + " rms_norm output");
  EXPECT_EQ(graph->family, "llama");
  EXPECT_EQ(graph->kv_layers, 2u);
  EXPECT_EQ(graph->vocabulary, 10u);
  EXPECT_EQ(graph->context, 16u);
  const auto attention = ops_of<Attention>(*graph);
  EXPECT_FLOAT_EQ(attention[0].scale, 0.5f);
  EXPECT_TRUE(attention[0].causal);
  EXPECT_EQ(attention[1].cache, 1u);
  EXPECT_EQ(attention[0].window, 0u);
  const auto rope = ops_of<Rope>(*graph);
  EXPECT_EQ(rope[0].heads, 2u);
  EXPECT_EQ(rope[1].heads, 1u);
  EXPECT_EQ(rope[0].rotated, 4u);
  EXPECT_EQ(rope[0].style, RopeStyle::kInterleaved);
  EXPECT_EQ(ops_of<GatedMlp>(*graph)[0].activation, Activation::kSilu);
  EXPECT_EQ(tensor_of(*graph, *ops_of<Output>(*graph)[0].head), "token_embd.weight");  // tied
  EXPECT_EQ(ops_of<RmsNorm>(*graph)[0].weight_offset, 0);
}

TEST(Llama, BothDialectsGiveTheSameGraphButForTheRopeStyle) {
  MadeModel gguf = small_llama_model(Dialect::kGguf), hugging_face = small_llama_model(Dialect::kHuggingFace);
  gguf.model.config.rope_style = RopeStyle::kHalves;
  const auto first = build_graph(gguf.model), second = build_graph(hugging_face.model);
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(graph_hash(*first), graph_hash(*second));
}

TEST(Llama, UsesItsOwnHeadUnlessTied) {
  MadeModel made = small_llama_model(Dialect::kHuggingFace);
  made.tensor("lm_head.weight", {10, 8});
  EXPECT_EQ(tensor_of(*build_graph(made.model), *ops_of<Output>(*build_graph(made.model))[0].head), "lm_head.weight");
  made.model.config.tied_embeddings = true;
  GraphNotes notes;
  const auto tied = build_graph(made.model, &notes);
  EXPECT_EQ(tensor_of(*tied, *ops_of<Output>(*tied)[0].head), "model.embed_tokens.weight");
  EXPECT_THAT(notes.ignored, ::testing::ElementsAre(HasSubstr("lm_head.weight: ")));
  made.remove("lm_head.weight");
  made.model.config.tied_embeddings = false;
  EXPECT_THAT(error_of(made), HasSubstr("has the tensor 'lm_head.weight'"));
}

TEST(Llama, TakesBiasesWhereTheyAreAndAsksForThemWhereTheConfigDoes) {
  MadeModel made = small_llama_model(Dialect::kHuggingFace);
  made.model.config.other["attention_bias"] = "true";
  EXPECT_THAT(error_of(made), HasSubstr("self_attn.q_proj.bias"));
  made.model.config.other.clear();
  for (const char* layer : {"model.layers.0.", "model.layers.1."}) made.tensor(std::string(layer) + "self_attn.q_proj.bias", {8});
  const auto graph = build_graph(made.model);
  ASSERT_TRUE(graph.ok()) << graph.error().message;
  EXPECT_TRUE(ops_of<Linear>(*graph)[0].bias.has_value());
  EXPECT_FALSE(ops_of<Linear>(*graph)[1].bias.has_value());
}

TEST(Llama, MistralsWindowHoldsForEveryLayer) {
  MadeModel made = small_llama_model(Dialect::kHuggingFace);
  made.model.config.architecture = "mistral";
  made.model.config.other["architectures"] = "MistralForCausalLM";
  made.model.config.sliding_window = 4;
  const auto graph = build_graph(made.model);
  ASSERT_TRUE(graph.ok()) << graph.error().message;
  for (const Attention& attention : ops_of<Attention>(*graph)) EXPECT_EQ(attention.window, 4u);
}

TEST(Llama, RopeScalingIsLinearOrLlama3OrRefused) {
  MadeModel made = small_llama_model();
  made.model.config.rope.scaling = "linear";
  made.model.config.rope.factor = 4;
  EXPECT_EQ(ops_of<Rope>(*build_graph(made.model))[0].frequencies.factor, 4);
  made.model.config.rope.scaling = "yarn";
  EXPECT_THAT(error_of(made), HasSubstr("got 'yarn'"));
  made.model.config.rope.scaling = "llama3";
  EXPECT_THAT(error_of(made), HasSubstr("original context"));
  made.model.config.rope = RopeConfig{};
  made.tensor("rope_freqs.weight", {2});  // zeros are nobody's divisors
  EXPECT_THAT(error_of(made), HasSubstr("'rope_freqs.weight'"));
}

TEST(Llama, RefusesUnknownTensorsAndFieldsByName) {
  MadeModel tensors = small_llama_model();
  for (int i = 0; i < 10; ++i) tensors.tensor("blk.0.extra_" + std::to_string(i), {2});
  EXPECT_THAT(error_of(tensors), HasSubstr("got 10 not understood: blk.0.extra_0, blk.0.extra_1"));
  EXPECT_THAT(error_of(tensors), HasSubstr("blk.0.extra_7 and 2 more"));
  MadeModel fields = small_llama_model();
  fields.model.config.other = {{"llama.expert_count", "8"}, {"llama.embedding_scale", "12"}, {"llama.logit_scale", "0"}};
  EXPECT_THAT(error_of(fields), HasSubstr("got 2 that may change what is computed: llama.embedding_scale = 12, llama.expert_count = 8"));
  MadeModel head = small_llama_model(Dialect::kHuggingFace);
  head.model.config.other["architectures"] = "LlamaForSequenceClassification";
  EXPECT_THAT(error_of(head), HasSubstr("got 'LlamaForSequenceClassification'"));
  MadeModel pooled = small_llama_model();
  pooled.model.pooling = Pooling::kLast;
  EXPECT_THAT(error_of(pooled), HasSubstr("pools its states"));
}

TEST(Llama, RefusesMissingAndMisshapenTensors) {
  for (const TensorView& tensor : small_llama_model().model.tensors) {
    MadeModel missing = small_llama_model(), misshapen = small_llama_model(), integers = small_llama_model();
    missing.remove(tensor.name);
    EXPECT_THAT(error_of(missing), HasSubstr("'" + tensor.name + "'"));
    std::vector<uint64_t> shape = tensor.shape;
    shape.back() += 1;
    misshapen.remove(tensor.name);
    misshapen.tensor(tensor.name, shape);
    EXPECT_THAT(error_of(misshapen), HasSubstr("'" + tensor.name + "'"));
    integers.remove(tensor.name);
    integers.tensor(tensor.name, tensor.shape, DType::kI32);
    EXPECT_THAT(error_of(integers), HasSubstr("'" + tensor.name + "'"));
  }
}

}  // namespace
}  // namespace accelerate
