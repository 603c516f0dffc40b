// A random-weight cross-encoder on every backend: the scores of pairs, alone and together, against Transformers in float32.

#include "accelerate/text/tokenizer.h"
#include "tests/conformance/bounds.h"
#include "tests/conformance/goldens.h"
#include "tests/conformance/harness.h"

namespace accelerate::conformance {
namespace {

struct Scores final : MatrixSink {
  std::vector<float> scores;
  void matrix(size_t input, std::span<const float> values, size_t rows, size_t columns) override {
    EXPECT_EQ(input, scores.size()) << "in order of the inputs";
    EXPECT_EQ(rows * columns, 1u) << "one label";
    scores.push_back(values.front());
  }
};

class CrossEncoder : public BackendTest {};

TEST_P(CrossEncoder, ScoresOfPairsAloneAndTogether) {
  const std::vector<CrossEncoderGolden> goldens = cross_encoder_goldens();
  ASSERT_FALSE(goldens.empty());
  const std::pair<Precision, double> modes[] = {{Precision::kExact, kFixtureErrorExact}, {Precision::kDefault, kFixtureErrorDefault}};
  for (const auto& [precision, bound] : modes) {
    const auto model = open_fixture(goldens.front().model);
    auto program = compile_encoder(GetParam(), model, {.precision = precision});
    ASSERT_TRUE(program) << to_string(program.error());
    EXPECT_EQ((*program)->limits().labels, 1u);
    std::vector<EncoderInput> pairs;
    std::vector<float> wanted;
    for (int round = 0; round < 5; ++round) {
      for (const CrossEncoderGolden& golden : goldens) {
        pairs.emplace_back(TokenSpan(golden.tokens), golden.second_begin);
        wanted.push_back(golden.logit);
      }
    }
    Scores together, alone;
    const Result<void> ran = (*program)->encode(pairs, EncodeOutput::kHead, together, {});
    ASSERT_TRUE(ran) << to_string(ran.error());
    EXPECT_LE(relative_error(together.scores, wanted), bound);
    for (size_t i = 0; i < goldens.size(); ++i) {
      Scores one;
      ASSERT_TRUE((*program)->encode({&pairs[i], 1}, EncodeOutput::kHead, one, {}));
      alone.scores.push_back(one.scores.at(0));
    }
    EXPECT_LE(relative_error(alone.scores, std::span(wanted).first(goldens.size())), bound);
    Scores nothing;
    EXPECT_EQ((*program)->encode(pairs, EncodeOutput::kPooled, nothing, {}).error().code, ErrorCode::kUnimplemented);
  }
}

TEST(CrossEncoderPairs, TheTokenizersOwnPairTemplate) {
  const std::vector<CrossEncoderGolden> goldens = cross_encoder_goldens();
  const auto tokenizer = Tokenizer::create(*open_fixture(goldens.front().model)->tokenizer);
  ASSERT_TRUE(tokenizer) << to_string(tokenizer.error());
  for (const CrossEncoderGolden& golden : goldens) {
    const Result<PairTokens> pair = (*tokenizer)->encode_pair(golden.query, golden.document);
    ASSERT_TRUE(pair) << to_string(pair.error());
    EXPECT_EQ(pair->tokens, golden.tokens) << golden.document;
    EXPECT_EQ(pair->second_begin, golden.second_begin) << golden.document;
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, CrossEncoder, ::testing::ValuesIn(backend_names()));

}  // namespace
}  // namespace accelerate::conformance
