#include "accelerate/formats/hf_heads.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "accelerate/formats/hf_config.h"

namespace accelerate {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// config.json with `more` members, read as open_hugging_face reads it.
Result<Model> read(const std::string& more, const std::string& architecture = "BertForSequenceClassification") {
  const std::string text = R"({"model_type": "bert", "architectures": [")" + architecture + "\"]" + (more.empty() ? "" : ", ") + more + "}";
  Model model;
  ACC_TRY(model.config, parse_hf_config(text));
  ACC_TRY(const Json json, parse_json(text));
  ACC_TRY_VOID(read_hf_heads(json, model));
  return model;
}

TEST(HfHeads, LabelsAreCountedAsTransformersDoes) {
  EXPECT_EQ(read("")->config.labels, 2u);
  EXPECT_EQ(read(R"("num_labels": 1)")->config.labels, 1u);
  EXPECT_EQ(read(R"("id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0})")->config.labels, 1u);
  EXPECT_EQ(read(R"("id2label": {"0": "a", "1": "b", "2": "c"})")->config.labels, 3u);
  EXPECT_EQ(read(R"("id2label": {"0": "LABEL_0"})", "BertModel")->config.labels, 0u);
  EXPECT_FALSE(read(R"("id2label": {})"));
  EXPECT_FALSE(read(R"("num_labels": 1000000)"));
  EXPECT_FALSE(read(R"("num_labels": "x")"));
}

TEST(HfHeads, TheScoreFunctionIsSentenceTransformers) {
  EXPECT_EQ(read("")->score_function, ScoreFunction::kSigmoid);
  EXPECT_EQ(read(R"("sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity")")->score_function, ScoreFunction::kIdentity);
  const auto newer = read(R"("sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity", "version": "4.0.1"})");
  EXPECT_EQ(newer->score_function, ScoreFunction::kIdentity);
  EXPECT_FALSE(newer->config.other.contains("sentence_transformers"));
  EXPECT_EQ(read(R"("sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Sigmoid"})")->score_function, ScoreFunction::kSigmoid);
}

TEST(HfHeads, WhatIsNotUnderstoodStaysToBeRefused) {
  EXPECT_TRUE(read(R"("sentence_transformers": {"activation_fn": "torch.nn.modules.activation.Tanh"})")->config.other.contains("sentence_transformers"));
  EXPECT_TRUE(read(R"("sentence_transformers": {"activation_fn": "my.code.Sigmoid"})")->config.other.contains("sentence_transformers"));
  EXPECT_TRUE(read(R"("sentence_transformers": {"version": "9", "something_new": 1})")->config.other.contains("sentence_transformers"));
  EXPECT_TRUE(read(R"("sbert_ce_default_activation_function": "os.system")")->config.other.contains("sbert_ce_default_activation_function"));
}

TEST(HfHeads, MatryoshkaLengths) {
  EXPECT_FALSE(read("", "BertModel")->matryoshka);
  EXPECT_FALSE(read(R"("is_matryoshka": false)", "BertModel")->matryoshka);
  const auto any = read(R"("is_matryoshka": true)", "BertModel");
  EXPECT_TRUE(any->matryoshka);
  EXPECT_TRUE(any->matryoshka_dimensions.empty());
  EXPECT_FALSE(any->config.other.contains("is_matryoshka"));
  const auto some = read(R"("matryoshka_dimensions": [256, 64])", "BertModel");
  EXPECT_TRUE(some->matryoshka);
  EXPECT_THAT(some->matryoshka_dimensions, ElementsAre(256u, 64u));
  EXPECT_FALSE(some->config.other.contains("matryoshka_dimensions"));
  EXPECT_THAT(read(R"("matryoshka_dimensions": [0])").error().message, HasSubstr("matryoshka_dimensions"));
  EXPECT_THAT(read(R"("matryoshka_dimensions": 3)").error().message, HasSubstr("matryoshka_dimensions"));
  EXPECT_THAT(read(R"("matryoshka_dimensions": [-1])").error().message, HasSubstr("matryoshka_dimensions"));
}

}  // namespace
}  // namespace accelerate
