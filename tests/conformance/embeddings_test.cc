// Sentence embeddings of the real MiniLM against Transformers in float32 with the same pooling.

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "tests/conformance/bounds.h"
#include "tests/conformance/goldens.h"
#include "tests/conformance/harness.h"

namespace accelerate::conformance {
namespace {

constexpr size_t kTextsPortable = 8;  // plain C++ kernels

double cosine(std::span<const float> a, std::span<const float> b) {
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    ab += double{a[i]} * b[i];
    aa += double{a[i]} * a[i];
    bb += double{b[i]} * b[i];
  }
  return ab / std::sqrt(aa * bb);
}

struct Vectors final : MatrixSink {
  std::vector<std::vector<float>> vectors;
  void matrix(size_t, std::span<const float> values, size_t, size_t) override { vectors.emplace_back(values.begin(), values.end()); }
};

class Embeddings : public BackendTest {};

TEST_P(Embeddings, MiniLM) {
  const Result<std::shared_ptr<const Model>> model = open_real("minilm");
  if (!model) GTEST_SKIP() << model.error().message;
  std::vector<EmbeddingGolden> goldens = embedding_goldens("minilm");
  if (is_portable()) goldens.resize(kTextsPortable);
  for (const Precision precision : {Precision::kExact, Precision::kDefault}) {
    auto program = compile_encoder(GetParam(), *model, {.precision = precision});
    ASSERT_TRUE(program) << to_string(program.error());
    std::vector<EncoderInput> inputs;
    for (const EmbeddingGolden& golden : goldens) inputs.emplace_back(golden.tokens);
    Vectors together;
    const Result<void> ran = (*program)->encode(inputs, EncodeOutput::kPooled, together, {});
    ASSERT_TRUE(ran) << to_string(ran.error());
    ASSERT_EQ(together.vectors.size(), goldens.size());
    double worst = 1;
    for (size_t i = 0; i < goldens.size(); ++i) {
      ASSERT_EQ(together.vectors[i].size(), goldens[i].vector.size());
      worst = std::min(worst, cosine(together.vectors[i], goldens[i].vector));
      Vectors alone;
      ASSERT_TRUE((*program)->encode({&inputs[i], 1}, EncodeOutput::kPooled, alone, {}));
      worst = std::min(worst, cosine(alone.vectors.at(0), goldens[i].vector));
      double length = 0;
      for (const float value : together.vectors[i]) length += double{value} * value;
      EXPECT_NEAR(length, 1, 1e-5) << "normalized, as modules.json says";
    }
    std::printf("  %s %s minilm %s: %zu texts, smallest cosine %.7f\n", GetParam().c_str(), isa_here().c_str(),
                precision == Precision::kExact ? "exact" : "default", goldens.size(), worst);
    EXPECT_GE(worst, kCosineMin);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, Embeddings, ::testing::ValuesIn(backend_names()));

}  // namespace
}  // namespace accelerate::conformance
