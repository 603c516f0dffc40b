#include "accelerate/host/encoder.h"

#include <gtest/gtest.h>

#include "tests/host/harness.h"

namespace accelerate {
namespace {

using harness::compile_encoder;
using reference::relative_error;
using reference::Rows;

constexpr double kExactBound = 2e-5;

std::vector<Rows> encode(EncoderProgram& encoder, const std::vector<std::vector<uint32_t>>& texts, EncodeOutput output) {
  const std::vector<EncoderInput> spans(texts.begin(), texts.end());
  harness::Matrices sink;
  const auto done = encoder.encode(spans, output, sink, {});
  EXPECT_TRUE(done.ok()) << done.error().message;
  return sink.results;
}

std::vector<std::vector<uint32_t>> some_texts() {
  std::vector<std::vector<uint32_t>> texts;
  for (const uint32_t length : {1u, 5u, 64u, 65u, 200u, 3u, 256u, 130u}) texts.push_back(tiny::random_tokens(length, 70, length));
  return texts;
}

TEST(HostEncoder, HiddenRowsEqualTheReference) {
  for (const uint32_t head_width : {16u, 12u}) {
    const auto model = tiny::bert({.width = 48, .heads = 4, .head_width = head_width, .dtype = DType::kF32});
    const auto encoder = compile_encoder(model);
    const auto texts = some_texts();
    const auto got = encode(*encoder, texts, EncodeOutput::kHidden);
    ASSERT_EQ(got.size(), texts.size());
    reference::Interpreter oracle(*model);
    for (size_t i = 0; i < texts.size(); ++i) EXPECT_LT(relative_error(got[i], oracle.run(texts[i])), kExactBound) << i;
  }
}

Rows pooled(const Rows& hidden, Pooling pooling, bool normalize) {
  std::vector<double> out(hidden[0].size(), 0.0);
  for (size_t i = 0; i < out.size(); ++i) {
    if (pooling == Pooling::kCls) out[i] = hidden.front()[i];
    if (pooling == Pooling::kLast) out[i] = hidden.back()[i];
    if (pooling != Pooling::kMean) continue;
    for (const auto& row : hidden) out[i] += row[i] / static_cast<double>(hidden.size());
  }
  double squares = 0;
  for (const double x : out) squares += x * x;
  if (normalize) {
    for (double& x : out) x /= std::sqrt(squares);
  }
  return {out};
}

TEST(HostEncoder, PoolsAsTheModelSays) {
  for (const Pooling pooling : {Pooling::kMean, Pooling::kCls, Pooling::kLast}) {
    for (const bool normalize : {true, false}) {
      const auto model = tiny::bert({}, pooling, normalize);
      const auto encoder = compile_encoder(model, {.threads = 3});
      const auto texts = some_texts();
      const auto got = encode(*encoder, texts, EncodeOutput::kPooled);
      ASSERT_EQ(got.size(), texts.size());
      reference::Interpreter oracle(*model);
      for (size_t i = 0; i < texts.size(); ++i) {
        EXPECT_LT(relative_error(got[i], pooled(oracle.run(texts[i]), pooling, normalize)), kExactBound) << i;
      }
    }
  }
}

TEST(HostEncoder, ManyShortTextsAndThreadsChangeNothing) {
  const auto model = tiny::bert({});
  std::vector<std::vector<uint32_t>> texts;
  for (uint32_t i = 0; i < 200; ++i) texts.push_back(tiny::random_tokens(1 + i % 9, 70, i));
  const auto want = encode(*compile_encoder(model, {.threads = 1}), texts, EncodeOutput::kPooled);
  EXPECT_EQ(want.size(), 200u);
  EXPECT_EQ(encode(*compile_encoder(model, {.threads = 2}), texts, EncodeOutput::kPooled), want);
  const auto alone = compile_encoder(model, {.threads = 3});
  for (size_t i = 0; i < texts.size(); i += 17) {
    EXPECT_LT(relative_error(encode(*alone, {texts[i]}, EncodeOutput::kPooled)[0], want[i]), 1e-5) << i;
  }
}

TEST(HostEncoder, ADecodersHiddenRowsWork) {
  auto owned = std::make_shared<Model>(*tiny::llama({}));
  auto graph = std::make_shared<Graph>(*owned->graph);
  std::get<Output>(graph->ops.back()) = {.kind = Output::Kind::kHidden, .x = std::get<Output>(graph->ops.back()).x, .head = {}};
  graph->pooling = Pooling::kLast;
  const auto source = tiny::llama({});  // the same seed: keeps bytes alive and equal
  owned->tensors = source->tensors;
  owned->graph = graph;
  const auto encoder = compile_encoder(owned);
  const auto texts = some_texts();
  const auto got = encode(*encoder, texts, EncodeOutput::kPooled);
  reference::Interpreter oracle(*owned);
  for (size_t i = 0; i < texts.size(); ++i) EXPECT_LT(relative_error(got[i], pooled(oracle.run(texts[i]), Pooling::kLast, false)), kExactBound) << i;
}

TEST(HostEncoder, AHeadScoresTheFirstRowWithSegmentsSeen) {
  for (const uint32_t labels : {1u, 3u, 17u}) {
    const auto model = tiny::bert({}, Pooling::kNone, false, labels);
    const auto encoder = compile_encoder(model, {.threads = 2});
    EXPECT_EQ(encoder->limits().labels, labels);
    EXPECT_EQ(encoder->limits().width, 0u);
    const auto texts = some_texts();
    std::vector<EncoderInput> pairs;
    for (const auto& text : texts) pairs.emplace_back(TokenSpan(text), static_cast<uint32_t>(text.size() / 3));
    pairs.emplace_back(TokenSpan(texts[4]));  // the same tokens, all of the first segment
    harness::Matrices sink;
    const auto done = encoder->encode(pairs, EncodeOutput::kHead, sink, {});
    ASSERT_TRUE(done.ok()) << done.error().message;
    ASSERT_EQ(sink.results.size(), pairs.size());
    reference::Interpreter oracle(*model);
    for (size_t i = 0; i < pairs.size(); ++i) {
      EXPECT_LT(relative_error(sink.results[i], oracle.run(pairs[i].tokens, pairs[i].second_begin)), kExactBound) << i;
    }
    EXPECT_NE(sink.results.back(), sink.results[4]) << "the segments count";
    EXPECT_EQ(encoder->encode(pairs, EncodeOutput::kPooled, sink, {}).error().code, ErrorCode::kUnimplemented);
    EXPECT_EQ(encoder->encode(pairs, EncodeOutput::kHidden, sink, {}).error().code, ErrorCode::kUnimplemented);
  }
}

TEST(HostEncoder, RefusesByNamingTheRule) {
  const auto encoder = compile_encoder(tiny::bert({.context = 100}), {.context = 80});
  EXPECT_EQ(encoder->limits().tokens_max, 80u);
  EXPECT_EQ(encoder->limits().width, 64u);
  harness::Matrices sink;
  const auto code = [&](const std::vector<uint32_t>& text, EncodeOutput output) {
    const std::vector<uint32_t> fine = {1, 2};
    const EncoderInput spans[] = {TokenSpan(fine), TokenSpan(text)};
    return encoder->encode(spans, output, sink, {}).error();
  };
  EXPECT_EQ(code({}, EncodeOutput::kPooled).code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({70}, EncodeOutput::kPooled).code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({3}, EncodeOutput::kHead).code, ErrorCode::kUnimplemented);
  const Error too_long = code(std::vector<uint32_t>(81, 1), EncodeOutput::kHidden);
  EXPECT_EQ(too_long.code, ErrorCode::kOutOfRange);
  EXPECT_NE(too_long.message.find("at most 80 tokens"), std::string::npos) << too_long.message;
  EXPECT_TRUE(sink.results.empty());  // checked before anything ran
  const std::atomic<bool> stop{true};
  const std::vector<uint32_t> text(20, 1);
  const EncoderInput span(text);
  EXPECT_EQ(encoder->encode({&span, 1}, EncodeOutput::kPooled, sink, {.stop = &stop}).error().code, ErrorCode::kCancelled);
  const auto unpooled = compile_encoder(tiny::bert({}, Pooling::kNone));
  EXPECT_EQ(unpooled->encode({&span, 1}, EncodeOutput::kPooled, sink, {}).error().code, ErrorCode::kUnimplemented);
}

TEST(HostEncoder, ResultsThatAreNoNumbersAreAnError) {
  KernelTable kernels = native_kernels(Isa::kPortable);
  kernels.add = [](const float*, const float*, float* out, size_t count) { std::fill_n(out, count, NAN); };
  const auto encoder = compile_encoder(tiny::bert({}), {.kernels = &kernels});
  const std::vector<uint32_t> text(20, 1);
  const EncoderInput span(text);
  harness::Matrices sink;
  EXPECT_EQ(encoder->encode({&span, 1}, EncodeOutput::kPooled, sink, {}).error().code, ErrorCode::kInternal);
  EXPECT_TRUE(sink.results.empty());
}

TEST(HostEncoder, TheModelsOwnLimitOfTokensCounts) {
  auto model = std::make_shared<Model>(*tiny::bert({}));
  const auto source = tiny::bert({});
  model->tensors = source->tensors;
  model->embedding_tokens_max = 50;
  EXPECT_EQ(compile_encoder(model)->limits().tokens_max, 50u);
}

}  // namespace
}  // namespace accelerate
