#include "accelerate/backends/null/null_encoder.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/backends/null/null_harness.h"

namespace accelerate {
namespace {

class Vectors final : public MatrixSink {
 public:
  void matrix(size_t, std::span<const float> values, size_t rows, size_t columns) override {
    EXPECT_EQ(values.size(), rows * columns);
    results.emplace_back(values.begin(), values.end());
  }
  std::vector<std::vector<float>> results;
};

TEST(NullEncoder, VectorsFollowTheTokens) {
  const auto program = null_harness::compile({.encoder = true});
  auto& encoder = static_cast<EncoderProgram&>(*program);
  const std::vector<uint32_t> a = {1, 2}, b = {1, 3};
  const EncoderInput texts[] = {TokenSpan(a), TokenSpan(b), TokenSpan(a)};
  Vectors sink;
  ASSERT_TRUE(encoder.encode(texts, EncodeOutput::kPooled, sink, {}).ok());
  ASSERT_EQ(sink.results.size(), 3u);
  EXPECT_EQ(sink.results[0], sink.results[2]);
  EXPECT_NE(sink.results[0], sink.results[1]);
  double squares = 0;
  for (const float x : sink.results[0]) squares += double{x} * x;
  EXPECT_NEAR(squares, 1.0, 1e-6);
  ASSERT_TRUE(encoder.encode(texts, EncodeOutput::kHidden, sink, {}).ok());
  EXPECT_EQ(sink.results[3].size(), 2 * size_t{kNullVectorWidth});
  EXPECT_EQ(encoder.limits().width, kNullVectorWidth);
}

TEST(NullEncoder, Refuses) {
  const auto program = null_harness::compile({.context = 3, .encoder = true});
  auto& encoder = static_cast<EncoderProgram&>(*program);
  const std::vector<uint32_t> empty, long_text = {1, 2, 3, 4};
  Vectors sink;
  EncoderInput text(empty);
  EXPECT_EQ(encoder.encode({&text, 1}, EncodeOutput::kPooled, sink, {}).error().code, ErrorCode::kInvalidArgument);
  text = TokenSpan(long_text);
  EXPECT_EQ(encoder.encode({&text, 1}, EncodeOutput::kPooled, sink, {}).error().code, ErrorCode::kOutOfRange);
}

}  // namespace
}  // namespace accelerate
