#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "accelerate/models/families.h"
#include "tests/models/graph_reading.h"
#include "tests/models/model_maker.h"

namespace accelerate {
namespace {

using namespace testing;
using ::testing::HasSubstr;

TEST(Bert, ComputesWhatTheArchitectureSays) {
  const MadeModel made = small_bert_model();
  const auto graph = build_graph(made.model);
  ASSERT_TRUE(graph.ok()) << graph.error().message;
  EXPECT_EQ(op_names(*graph),
            "token_embedding position_embedding row_embedding layer_norm linear linear linear attention linear add layer_norm mlp add layer_norm output");
  const Attention attention = ops_of<Attention>(*graph)[0];
  EXPECT_FALSE(attention.causal);
  EXPECT_FALSE(attention.cache.has_value());
  EXPECT_FLOAT_EQ(attention.scale, 0.5f);
  EXPECT_EQ(ops_of<Mlp>(*graph)[0].activation, Activation::kGeluErf);
  EXPECT_EQ(ops_of<Output>(*graph)[0].kind, Output::Kind::kHidden);
  EXPECT_EQ(graph->pooling, Pooling::kMean);
  EXPECT_TRUE(graph->normalize);
  EXPECT_EQ(graph->kv_layers, 0u);
  EXPECT_EQ(graph->vocabulary, 0u);
}

TEST(Bert, NamesWithAndWithoutPrefixAndGgufNamesGiveTheSameGraph) {
  const MadeModel plain = small_bert_model(), prefixed = small_bert_model(Dialect::kHuggingFace, "bert."), gguf = small_bert_model(Dialect::kGguf);
  const auto first = build_graph(plain.model), second = build_graph(prefixed.model), third = build_graph(gguf.model);
  ASSERT_TRUE(first.ok() && second.ok() && third.ok()) << third.error().message;
  EXPECT_EQ(graph_hash(*first), graph_hash(*second));
  EXPECT_EQ(graph_hash(*first), graph_hash(*third));
}

TEST(Bert, LeavesOutHeadsWithAReason) {
  MadeModel made = small_bert_model(Dialect::kHuggingFace, "bert.");
  made.tensor("bert.pooler.dense.weight", {8, 8}).tensor("bert.pooler.dense.bias", {8}).tensor("bert.embeddings.position_ids", {1, 16}, DType::kI64);
  made.tensor("cls.predictions.bias", {10});
  made.model.config.other["architectures"] = "BertForMaskedLM";
  GraphNotes notes;
  ASSERT_TRUE(build_graph(made.model, &notes).ok());
  EXPECT_EQ(notes.ignored.size(), 4u);
  EXPECT_THAT(notes.ignored, ::testing::Contains(HasSubstr("bert.pooler.dense.weight: the pooler feeds")));
}

MadeModel small_cross_encoder() {
  MadeModel made = small_bert_model(Dialect::kHuggingFace, "bert.");
  made.model.pooling = Pooling::kNone;
  made.model.normalize_embeddings = false;
  made.model.config.other["architectures"] = "BertForSequenceClassification";
  made.model.config.labels = 1;
  made.tensor("bert.pooler.dense.weight", {8, 8}).tensor("bert.pooler.dense.bias", {8});
  made.tensor("classifier.weight", {1, 8}).tensor("classifier.bias", {1});
  return made;
}

TEST(Bert, ACrossEncoderEndsInTheScoreOfItsHead) {
  const MadeModel made = small_cross_encoder();
  GraphNotes notes;
  const auto graph = build_graph(made.model, &notes);
  ASSERT_TRUE(graph.ok()) << graph.error().message;
  EXPECT_EQ(op_names(*graph),
            "token_embedding position_embedding segment_embedding layer_norm linear linear linear attention linear add layer_norm mlp add "
            "layer_norm linear activate linear output");
  EXPECT_EQ(ops_of<Output>(*graph)[0].kind, Output::Kind::kHead);
  EXPECT_EQ(ops_of<Activate>(*graph)[0].activation, Activation::kTanh);
  EXPECT_EQ(tensor_of(*graph, ops_of<Linear>(*graph).back().weight), "classifier.weight");
  EXPECT_EQ(graph->pooling, Pooling::kNone);
  EXPECT_TRUE(notes.ignored.empty()) << "the pooler takes part";
}

TEST(Bert, RefusesHeadsThatAreNoCrossEncoders) {
  MadeModel classifier = small_cross_encoder();
  classifier.model.config.labels = 3;
  EXPECT_THAT(build_graph(classifier.model).error().message, HasSubstr("a classifier of 3"));
  MadeModel pooled = small_cross_encoder();
  pooled.model.pooling = Pooling::kMean;
  EXPECT_THAT(build_graph(pooled.model).error().message, HasSubstr("scores or vectors"));
  MadeModel headless = small_cross_encoder();
  headless.remove("classifier.weight");
  EXPECT_THAT(build_graph(headless.model).error().message, HasSubstr("classifier.weight"));
  MadeModel one_segment = small_cross_encoder();
  one_segment.remove("bert.embeddings.token_type_embeddings.weight");
  one_segment.tensor("bert.embeddings.token_type_embeddings.weight", {1, 8});
  one_segment.model.config.token_types = 1;
  EXPECT_FALSE(build_graph(one_segment.model).ok()) << "pairs have two segments";
}

TEST(Bert, RefusesWhatItDoesNotUnderstand) {
  const auto error_with = [](const std::string& field, const std::string& value) {
    MadeModel made = small_bert_model();
    made.model.config.other[field] = value;
    const auto graph = build_graph(made.model);
    return graph ? "the graph was built" : graph.error().message;
  };
  EXPECT_EQ(error_with("position_embedding_type", "absolute"), "the graph was built");
  EXPECT_THAT(error_with("position_embedding_type", "relative_key"), HasSubstr("relative_key"));
  EXPECT_THAT(error_with("hidden_act", "mish"), HasSubstr("hidden_act = mish"));
  EXPECT_THAT(error_with("pooling", "pooling_mode_max_tokens"), HasSubstr("pooling_mode_max_tokens"));
  EXPECT_THAT(error_with("bert.attention.causal", "true"), HasSubstr("causal"));
  EXPECT_THAT(error_with("architectures", "BertForTokenClassification"), HasSubstr("BertForTokenClassification"));
  MadeModel narrow = small_bert_model();
  narrow.model.config.head_width = 2;
  EXPECT_THAT(build_graph(narrow.model).error().message, HasSubstr("heads fill its width"));
  MadeModel grouped = small_bert_model();
  grouped.model.config.kv_heads = 1;
  EXPECT_THAT(build_graph(grouped.model).error().message, HasSubstr("as many kv heads"));
}

}  // namespace
}  // namespace accelerate
