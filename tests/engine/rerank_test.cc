#include "accelerate/engine/rerank.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/fake_encoder.h"
#include "tests/engine/fixture_model.h"

namespace accelerate {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Scores a pair by its tokens: the number of those in the second segment.
class FakeScorer final : public EncoderProgram {
 public:
  uint64_t memory_bytes() const override { return 0; }
  EncoderLimits limits() const override { return {.tokens_max = 16, .batch_tokens_max = 256, .width = 0, .labels = 1}; }
  Result<void> encode(std::span<const EncoderInput> inputs, EncodeOutput output, MatrixSink& sink, const StepControl& control) override {
    EXPECT_EQ(output, EncodeOutput::kHead);
    if (control.should_stop()) return Error{ErrorCode::kCancelled, "[test] stopped"};
    for (size_t i = 0; i < inputs.size(); ++i) {
      const float score = static_cast<float>(inputs[i].tokens.size() - inputs[i].second_begin);
      sink.matrix(i, {&score, 1}, 1, 1);
    }
    return {};
  }
};

std::shared_ptr<Endpoint> endpoint_of(const std::shared_ptr<Model>& model, std::unique_ptr<Program> program) {
  auto endpoint = make_endpoint({.model = model, .program = std::move(program), .name = "bert", .path = "/x", .target = "test@cpu:0",
                                 .started = std::chrono::steady_clock::now()});
  EXPECT_TRUE(endpoint) << to_string(endpoint.error());
  return *endpoint;
}

std::shared_ptr<const Tokenizer> tokenizer() {
  auto made = Tokenizer::create(*fixture_model("bert_cross_hf")->tokenizer);
  EXPECT_TRUE(made) << to_string(made.error());
  return *made;
}

TEST(Rerank, PairsAreCutOnlyWhereAskedForAndNoted) {
  const auto words = tokenizer();
  RerankInput input{.query = "hello", .documents = {"a b c d e f g h", "a"}, .document_tokens_max = std::nullopt, .truncate = false};
  const auto whole = make_rerank_pairs(*words, input, 64, nullptr);
  ASSERT_TRUE(whole) << to_string(whole.error());
  EXPECT_TRUE(whole->notes.empty());
  EXPECT_EQ(whole->pairs[0].second_begin, 3u) << "[CLS] hello [SEP]";
  EXPECT_EQ(whole->pairs[0].tokens.size(), 3u + 8 + 1);
  EXPECT_EQ(whole->prompt_tokens, 12u + 5);
  const auto refused = make_rerank_pairs(*words, input, 10, nullptr);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kOutOfRange);
  EXPECT_THAT(refused.error().message, HasSubstr("document 0"));
  input.truncate = true;
  const auto cut = make_rerank_pairs(*words, input, 10, nullptr);
  ASSERT_TRUE(cut) << to_string(cut.error());
  EXPECT_EQ(cut->pairs[0].tokens.size(), 10u);
  EXPECT_EQ(cut->pairs[0].tokens.back(), 3u) << "[SEP] stays";
  EXPECT_THAT(cut->notes, ElementsAre("documents cut: 0 (6 of 8 tokens)"));
  input.truncate = false;
  input.document_tokens_max = 2;
  const auto short_ones = make_rerank_pairs(*words, input, 10, nullptr);
  ASSERT_TRUE(short_ones) << to_string(short_ones.error());
  EXPECT_EQ(short_ones->pairs[0].tokens.size(), 6u);
  EXPECT_THAT(short_ones->notes, ElementsAre("documents cut: 0 (2 of 8 tokens)"));
}

TEST(Rerank, AQueryThatLeavesNoRoomIsRefused) {
  const RerankInput input{.query = "a b c d e f g h", .documents = {"a"}, .document_tokens_max = std::nullopt, .truncate = true};
  const auto refused = make_rerank_pairs(*tokenizer(), input, 11, nullptr);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kOutOfRange);
  EXPECT_THAT(refused.error().message, HasSubstr("shorter query"));
}

TEST(Rerank, UserTextIsNoControlToken) {
  const auto pairs = make_rerank_pairs(*tokenizer(), {.query = "a", .documents = {"[SEP]"}, .document_tokens_max = std::nullopt}, 64, nullptr);
  ASSERT_TRUE(pairs) << to_string(pairs.error());
  EXPECT_EQ(std::count(pairs->pairs[0].tokens.begin(), pairs->pairs[0].tokens.end(), 3u), 2) << "the template's two";
}

TEST(Rerank, StopsBetweenDocuments) {
  const std::atomic<bool> stop{true};
  EXPECT_EQ(make_rerank_pairs(*tokenizer(), {.query = "a", .documents = {"b"}}, 64, &stop).error().code, ErrorCode::kCancelled);
}

TEST(Rerank, ScoresAreTheModelsOwnFunction) {
  EXPECT_FLOAT_EQ(rerank_score(0, ScoreFunction::kSigmoid), 0.5f);
  EXPECT_FLOAT_EQ(rerank_score(2, ScoreFunction::kSigmoid), 0.880797f);
  EXPECT_FLOAT_EQ(rerank_score(-1000, ScoreFunction::kSigmoid), 0.0f);
  EXPECT_FLOAT_EQ(rerank_score(1000, ScoreFunction::kSigmoid), 1.0f);
  EXPECT_FLOAT_EQ(rerank_score(-3.5f, ScoreFunction::kIdentity), -3.5f);
}

TEST(Rerank, ACrossEncoderScoresAndDoesNothingElse) {
  const auto model = fixture_model("bert_cross_hf");
  const auto endpoint = endpoint_of(model, std::make_unique<FakeScorer>());
  const auto reply = endpoint->rerank({.query = "a", .documents = {"b c", "b"}});
  ASSERT_TRUE(reply) << to_string(reply.error());
  EXPECT_THAT(reply->scores, ElementsAre(rerank_score(3, ScoreFunction::kSigmoid), rerank_score(2, ScoreFunction::kSigmoid)));
  EXPECT_EQ(reply->prompt_tokens, 6u + 5);
  EXPECT_EQ(reply->served_by, "test@cpu:0");
  EXPECT_THAT(reply->score, HasSubstr("sigmoid"));
  EXPECT_EQ(endpoint->stats().requests, 1u);
  EXPECT_EQ(endpoint->stats().prompt_tokens, 11u);
  EXPECT_TRUE(endpoint->check_health());
  EXPECT_EQ(endpoint->stats().requests, 1u) << "health is no request";
  const EmbedInput text = std::string("a");
  EXPECT_THAT(endpoint->embed({&text, 1}).error().message, HasSubstr("try /v1/rerank"));
  EXPECT_THAT(endpoint->generate({.text = "a"}).error().message, HasSubstr("try /v1/rerank"));
  model->score_function = ScoreFunction::kIdentity;
  EXPECT_THAT(endpoint->rerank({.query = "a", .documents = {"b c"}})->scores, ElementsAre(3.0f));
  const std::atomic<bool> stop{true};
  EXPECT_EQ(endpoint->rerank({.query = "a", .documents = {"b"}}, &stop).error().code, ErrorCode::kCancelled);
  EXPECT_EQ(endpoint->stats().cancelled, 1u);
  endpoint->close();
  EXPECT_EQ(endpoint->rerank({.query = "a", .documents = {"b"}}).error().code, ErrorCode::kUnavailable);
}

TEST(Rerank, EmbeddingModelsScoreByCosineWhereAskedFor) {
  const auto endpoint = endpoint_of(fixture_model("bert_hf"), std::make_unique<FakeEncoder>());
  EXPECT_EQ(endpoint->rerank({.query = "a", .documents = {"b"}}).error().code, ErrorCode::kUnimplemented);
  const auto reply = rerank_by_embeddings(*endpoint, {.query = "a", .documents = {"a", "b c"}}, nullptr);
  ASSERT_TRUE(reply) << to_string(reply.error());
  EXPECT_NEAR(reply->scores[0], 1, 1e-6);
  EXPECT_LT(reply->scores[1], 1);
  EXPECT_EQ(reply->notes.size(), 1u) << "it says what it is";
  EXPECT_EQ(rerank_by_embeddings(*endpoint, {.query = "a", .documents = {"b"}, .document_tokens_max = std::nullopt, .truncate = true}, nullptr).error().code,
            ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace accelerate
