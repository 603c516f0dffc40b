// Quantized rows against the bytes of the `gguf` package (tests/data/quantize), and refusals. The K types: quantize_k_test.cc.
#include "accelerate/kernels/quantize/quantize.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "accelerate/kernels/quantize/dequantize.h"

namespace accelerate {
namespace {

struct Case {
  const char* name;
  WeightFormat format;
};

std::string file_bytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<float> golden_input() {
  const std::string bytes = file_bytes(std::string(ACC_TEST_DATA) + "/quantize/input.f32");
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
  return values;
}

class QuantizeGolden : public testing::TestWithParam<Case> {};

TEST_P(QuantizeGolden, IsByteEqualToTheGgufPackage) {
  const std::vector<float> input = golden_input();
  const std::string golden = file_bytes(std::string(ACC_TEST_DATA) + "/quantize/" + GetParam().name + ".blocks");
  ASSERT_FALSE(golden.empty());
  const WeightFormatTraits traits = weight_format_traits(GetParam().format);
  const size_t block_bytes = golden.size() / (input.size() / 32);
  ASSERT_EQ(block_bytes, traits.block_bytes * 32 / traits.block_elements);
  std::string got(golden.size() + 1, '\x5a');
  size_t refused = 0;
  for (size_t block = 0; block < input.size() / 32; ++block) {
    const std::string want = golden.substr(block * block_bytes, block_bytes);
    const auto bad = quantize_row(GetParam().format, input.data() + 32 * block, 32, reinterpret_cast<std::byte*>(got.data() + block * block_bytes));
    EXPECT_EQ(got.substr(block * block_bytes, block_bytes), want) << "block " << block;
    std::vector<float> back(32);
    dequantize_row(GetParam().format, reinterpret_cast<const std::byte*>(want.data()), 32, back.data());
    const bool finite = std::all_of(back.begin(), back.end(), [](float value) { return std::isfinite(value); });
    EXPECT_EQ(bad.has_value(), !finite) << "block " << block << ": refused is what would come back infinite or as NaN";
    EXPECT_LT(bad.value_or(0), 32u);
    refused += bad ? 1 : 0;
  }
  EXPECT_GE(refused, 1u);
  EXPECT_EQ(got.back(), '\x5a') << "wrote past the end";
  // All in one row: the same bytes.
  std::string whole(golden.size(), '\0');
  const auto first = quantize_row(GetParam().format, input.data(), input.size(), reinterpret_cast<std::byte*>(whole.data()));
  EXPECT_EQ(whole, golden);
  EXPECT_TRUE(first.has_value());
}

INSTANTIATE_TEST_SUITE_P(Formats, QuantizeGolden,
                         testing::Values(Case{"F16", WeightFormat::kF16}, Case{"BF16", WeightFormat::kBF16}, Case{"Q8_0", WeightFormat::kQ8_0},
                                         Case{"Q4_0", WeightFormat::kQ4_0}, Case{"Q4_1", WeightFormat::kQ4_1}, Case{"Q5_0", WeightFormat::kQ5_0},
                                         Case{"Q5_1", WeightFormat::kQ5_1}),
                         [](const auto& info) { return std::string(info.param.name); });

constexpr Case kAll[] = {{"F32", WeightFormat::kF32},   {"F16", WeightFormat::kF16},   {"BF16", WeightFormat::kBF16}, {"Q8_0", WeightFormat::kQ8_0},
                         {"Q4_0", WeightFormat::kQ4_0}, {"Q4_1", WeightFormat::kQ4_1}, {"Q5_0", WeightFormat::kQ5_0}, {"Q5_1", WeightFormat::kQ5_1},
                         {"Q4_K", WeightFormat::kQ4_K}, {"Q5_K", WeightFormat::kQ5_K}, {"Q6_K", WeightFormat::kQ6_K}};
class QuantizeAny : public testing::TestWithParam<Case> {
 protected:
  std::vector<float> values_ = std::vector<float>(512, 0.25f);
  std::vector<std::byte> out_ = std::vector<std::byte>(512 * 4, std::byte{0x5a});
  std::optional<size_t> quantize() { return quantize_row(GetParam().format, values_.data(), values_.size(), out_.data()); }
};

TEST_P(QuantizeAny, NamesTheFirstValueThatIsNoNumberAndWritesNothing) {
  for (const float wild : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()}) {
    values_.assign(512, 0.25f);
    values_[300] = values_[400] = wild;
    EXPECT_EQ(quantize(), 300u);
    for (const std::byte byte : out_) EXPECT_EQ(byte, std::byte{0x5a});
  }
}

TEST_P(QuantizeAny, NamesTheValueWhoseScaleOverflows) {
  values_[299] = 3e9f;
  values_[300] = -3e9f;
  const bool holds = GetParam().format == WeightFormat::kF32 || GetParam().format == WeightFormat::kBF16;
  if (holds) {
    EXPECT_FALSE(quantize());
  } else {
    EXPECT_EQ(quantize(), 299u);
  }
}

TEST_P(QuantizeAny, ZerosComeBackAsZeros) {
  values_.assign(512, 0.0f);
  ASSERT_FALSE(quantize());
  std::vector<float> back(512, 1.0f);
  dequantize_row(GetParam().format, out_.data(), 512, back.data());
  for (const float value : back) EXPECT_EQ(value, 0.0f);
}

TEST_P(QuantizeAny, ASecondPassThroughTheSameTypeIsNearlyTheIdentity) {
  for (size_t i = 0; i < values_.size(); ++i) values_[i] = std::sin(static_cast<float>(i * i)) * 0.05f;
  ASSERT_FALSE(quantize());
  std::vector<float> once(512), scratch(512), twice(512);
  dequantize_row(GetParam().format, out_.data(), 512, once.data());
  std::vector<std::byte> again(out_.size());
  ASSERT_FALSE(requantize_row(GetParam().format, out_.data(), GetParam().format, 512, scratch.data(), again.data()));
  EXPECT_EQ(scratch, once);
  dequantize_row(GetParam().format, again.data(), 512, twice.data());
  for (size_t i = 0; i < 512; ++i) EXPECT_NEAR(twice[i], once[i], 0.006f) << i;
}

INSTANTIATE_TEST_SUITE_P(Formats, QuantizeAny, testing::ValuesIn(kAll), [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace accelerate
