// Every random-weight fixture on every backend: all ways of feeding the same tokens give the golden logits.

#include <cstdio>
#include <map>
#include <tuple>

#include "tests/conformance/bounds.h"
#include "tests/conformance/goldens.h"
#include "tests/conformance/harness.h"

namespace accelerate::conformance {
namespace {

struct Mode {
  std::string name;
  Precision precision;
  double bound;
};
const Mode kModes[] = {{"exact", Precision::kExact, kFixtureErrorExact}, {"default", Precision::kDefault, kFixtureErrorDefault}};

const std::vector<DecoderGolden>& decoders() {
  static const std::vector<DecoderGolden> goldens = decoder_goldens();
  return goldens;
}

class DecoderFixture : public ::testing::TestWithParam<std::tuple<std::string, size_t, size_t>> {
 protected:
  const DecoderGolden& golden() const { return decoders()[std::get<1>(GetParam())]; }
  const Mode& mode() const { return kModes[std::get<2>(GetParam())]; }
  void SetUp() override {
    const std::string& backend = std::get<0>(GetParam());
    if (const Result<Device> device = device_of(backend); !device) GTEST_SKIP() << device.error().message;
    auto compiled = compile_decoder(backend, open_fixture(golden().model), {.precision = mode().precision});
    ASSERT_TRUE(compiled) << to_string(compiled.error());
    program_ = *std::move(compiled);
    ASSERT_EQ(program_->vocabulary(), golden().vocabulary);
  }
  void expect_golden(std::span<const float> logits, const char* how) {
    const double error = relative_error(logits, golden().logits);
    EXPECT_LE(error, mode().bound) << how << ", " << isa_here();
    worst_ = std::max(worst_, error);
  }
  void TearDown() override {
    if (program_ && !HasFailure()) RecordProperty("error", fmt_error(worst_));
  }
  static std::string fmt_error(double error) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1e", error);
    return text;
  }
  std::unique_ptr<DecoderProgram> program_;
  double worst_ = 0;
};

TEST_P(DecoderFixture, AllWaysOfFeedingGiveTheGolden) {
  const std::map<const char*, std::vector<size_t>> ways = {
      {"one chunk", {1000}}, {"token by token", {1}}, {"uneven chunks", {3, 1, 5, 2, 7}}, {"long then short", {11, 1}}};
  for (const auto& [name, chunks] : ways) {
    Walk walk{.tokens = golden().tokens, .chunks = chunks};
    const Result<void> ran = collect_walks(*program_, {&walk, 1});
    ASSERT_TRUE(ran) << name << ": " << to_string(ran.error());
    expect_golden(walk.logits, name);
  }
}

TEST_P(DecoderFixture, InterleavedSlotsDoNotTouchEachOther) {
  std::vector<uint32_t> shifted = golden().tokens;  // a different neighbour, so that a mix-up shows
  std::rotate(shifted.begin(), shifted.begin() + 5, shifted.end());
  Walk walks[] = {{.tokens = golden().tokens, .chunks = {2, 5, 1, 1, 4}},
                  {.tokens = shifted, .chunks = {4, 1, 6, 1}},
                  {.tokens = golden().tokens, .chunks = {1}}};
  const Result<void> ran = collect_walks(*program_, walks);
  ASSERT_TRUE(ran) << to_string(ran.error());
  expect_golden(walks[0].logits, "first of three slots");
  expect_golden(walks[2].logits, "third of three slots");
  Walk alone{.tokens = shifted, .chunks = {1000}};
  ASSERT_TRUE(collect_walks(*program_, {&alone, 1}));
  EXPECT_LE(relative_error(walks[1].logits, alone.logits), 2 * mode().bound) << "each is within the bound of the truth";
}

TEST_P(DecoderFixture, AClosedSlotLeavesNothingBehind) {
  for (int round = 0; round < 3; ++round) {
    Walk other{.tokens = std::span(golden().tokens).subspan(static_cast<size_t>(round) + 1), .chunks = {3}};
    ASSERT_TRUE(collect_walks(*program_, {&other, 1}));
    Walk walk{.tokens = golden().tokens, .chunks = {6, 1}};
    ASSERT_TRUE(collect_walks(*program_, {&walk, 1}));
    expect_golden(walk.logits, "after another sequence");
  }
}

std::string decoder_name(const ::testing::TestParamInfo<std::tuple<std::string, size_t, size_t>>& info) {
  std::string name = std::get<0>(info.param) + "_" + decoders()[std::get<1>(info.param)].model + "_" + kModes[std::get<2>(info.param)].name;
  for (char& c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return name;
}

INSTANTIATE_TEST_SUITE_P(Backends, DecoderFixture,
                         ::testing::Combine(::testing::ValuesIn(backend_names()), ::testing::Range(size_t{0}, decoders().size()),
                                            ::testing::Range(size_t{0}, std::size(kModes))),
                         decoder_name);

class Collected final : public MatrixSink {
 public:
  struct Matrix { std::vector<float> values; size_t rows = 0, columns = 0; };
  std::vector<Matrix> matrices;
  void matrix(size_t input, std::span<const float> values, size_t rows, size_t columns) override {
    EXPECT_EQ(input, matrices.size()) << "in order of the inputs";
    EXPECT_EQ(values.size(), rows * columns);
    matrices.push_back({{values.begin(), values.end()}, rows, columns});
  }
};

class EncoderFixture : public BackendTest {};

TEST_P(EncoderFixture, HiddenRowsAndPooledVectorsAloneAndTogether) {
  const std::vector<EncoderGolden> goldens = encoder_goldens();
  ASSERT_FALSE(goldens.empty());
  for (const Mode& mode : kModes) {
    const std::shared_ptr<const Model> model = open_fixture(goldens.front().model);
    auto program = compile_encoder(GetParam(), model, {.precision = mode.precision});
    ASSERT_TRUE(program) << to_string(program.error());
    std::vector<EncoderInput> together;
    for (int round = 0; round < 5; ++round) {
      for (const EncoderGolden& golden : goldens) together.emplace_back(golden.tokens);
    }
    Collected hidden, pooled;
    ASSERT_TRUE((*program)->encode(together, EncodeOutput::kHidden, hidden, {}));
    ASSERT_TRUE((*program)->encode(together, EncodeOutput::kPooled, pooled, {}));
    ASSERT_EQ(hidden.matrices.size(), together.size());
    ASSERT_EQ(pooled.matrices.size(), together.size());
    ASSERT_EQ(model->graph->pooling, Pooling::kMean) << "what the fixture's 1_Pooling says";
    for (size_t i = 0; i < together.size(); ++i) {
      const EncoderGolden& golden = goldens[i % goldens.size()];
      EXPECT_EQ(hidden.matrices[i].rows, golden.tokens.size());
      EXPECT_LE(relative_error(hidden.matrices[i].values, golden.hidden), mode.bound) << mode.name << " " << i;
      const std::vector<float>& vector = model->graph->normalize ? golden.mean_normalized : golden.mean;
      EXPECT_LE(relative_error(pooled.matrices[i].values, vector), mode.bound) << mode.name << " " << i;
    }
    for (const EncoderGolden& golden : goldens) {
      const EncoderInput alone[] = {TokenSpan(golden.tokens)};
      Collected one;
      ASSERT_TRUE((*program)->encode(alone, EncodeOutput::kHidden, one, {}));
      EXPECT_LE(relative_error(one.matrices.at(0).values, golden.hidden), mode.bound);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, EncoderFixture, ::testing::ValuesIn(backend_names()));

}  // namespace
}  // namespace accelerate::conformance
