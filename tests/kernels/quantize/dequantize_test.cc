// Every format against the blocks and floats that the `gguf` package made (tests/data/dequant).
#include "accelerate/kernels/quantize/dequantize.h"

#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace accelerate {
namespace {

struct Case {
  const char* name;
  WeightFormat format;
};
class Dequantize : public testing::TestWithParam<Case> {};

std::string file_bytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST_P(Dequantize, IsBitExactToTheGgufPackage) {
  const std::string base = std::string(ACC_TEST_DATA) + "/dequant/" + GetParam().name;
  const std::string blocks = file_bytes(base + ".blocks"), golden = file_bytes(base + ".f32");
  ASSERT_FALSE(golden.empty()) << base;
  const WeightFormatTraits traits = weight_format_traits(GetParam().format);
  const size_t elements = golden.size() / 4;
  ASSERT_EQ(blocks.size() / traits.block_bytes * traits.block_elements, elements);
  std::vector<float> out(elements + 1, 7.0f);
  dequantize_row(GetParam().format, reinterpret_cast<const std::byte*>(blocks.data()), elements, out.data());
  for (size_t i = 0; i < elements; ++i) {
    uint32_t want, got;
    std::memcpy(&want, golden.data() + 4 * i, 4);
    std::memcpy(&got, &out[i], 4);
    float value;
    std::memcpy(&value, &want, 4);
    if (value != value) EXPECT_NE(out[i], out[i]) << i;  // NaN payloads may differ
    else ASSERT_EQ(got, want) << i << ": " << out[i] << " for " << value;
  }
  EXPECT_EQ(out[elements], 7.0f) << "wrote past the end";
}

INSTANTIATE_TEST_SUITE_P(Formats, Dequantize,
                         testing::Values(Case{"F32", WeightFormat::kF32}, Case{"F16", WeightFormat::kF16}, Case{"BF16", WeightFormat::kBF16},
                                         Case{"Q8_0", WeightFormat::kQ8_0}, Case{"Q4_0", WeightFormat::kQ4_0}, Case{"Q4_1", WeightFormat::kQ4_1},
                                         Case{"Q5_0", WeightFormat::kQ5_0}, Case{"Q5_1", WeightFormat::kQ5_1}, Case{"Q4_K", WeightFormat::kQ4_K},
                                         Case{"Q5_K", WeightFormat::kQ5_K}, Case{"Q6_K", WeightFormat::kQ6_K}),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace accelerate
