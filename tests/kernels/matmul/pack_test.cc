// Packing keeps every weight's bits, in any split, for shapes that do and do not fill strips.
#include "accelerate/kernels/matmul/layout.h"
#include "accelerate/kernels/matmul/matmul.h"
#include "tests/kernels/random_weights.h"

#include <gtest/gtest.h>

namespace accelerate {
namespace {

class Pack : public testing::TestWithParam<test::FormatName> {};

TEST_P(Pack, UnpackedRowsAreTheDequantizedRows) {
  const WeightFormat format = GetParam().format;
  const WeightFormatTraits traits = weight_format_traits(format);
  const std::vector<uint32_t> depths = traits.block_elements == 1     ? std::vector<uint32_t>{1, 31, 32, 100, 576}
                                       : traits.block_elements == 32 ? std::vector<uint32_t>{32, 96, 288, 576}
                                                                      : std::vector<uint32_t>{256, 768};
  for (uint32_t n : {1u, 16u, 33u, 80u}) {
    for (uint32_t k : depths) {
      const auto source = test::random_weights(format, n, k, n * 1000 + k);
      auto matrix = PackedMatrix::allocate(format, n, k);
      ASSERT_TRUE(matrix.ok()) << to_string(matrix.error());
      for (uint32_t row = 0; row < n; row += 16) pack_rows(*matrix, source.data(), row, std::min(n, row + 16));
      std::vector<float> want(k), got(k);
      for (uint32_t row = 0; row < n; ++row) {
        dequantize_row(format, source.data() + size_t{row} * k / traits.block_elements * traits.block_bytes, k, want.data());
        unpack_row(*matrix, row, got.data());
        ASSERT_EQ(0, std::memcmp(want.data(), got.data(), k * 4)) << "n " << n << " k " << k << " row " << row;
      }
    }
  }
}

TEST_P(Pack, AllocateRefusesPartsOfBlocks) {
  const uint32_t block = weight_format_traits(GetParam().format).block_elements;
  EXPECT_FALSE(PackedMatrix::allocate(GetParam().format, 0, block).ok());
  EXPECT_FALSE(PackedMatrix::allocate(GetParam().format, 4, 0).ok());
  if (block == 1) return;
  auto refused = PackedMatrix::allocate(GetParam().format, 16, block + block / 2);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
}

TEST_P(Pack, ImpossibleSizesAreAnErrorNotACrash) {
  auto refused = PackedMatrix::allocate(GetParam().format, 0xffffffe0u, 0xffffff00u);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kResourceExhausted);
}

TEST_P(Pack, BytesNeededIsWhatAllocateTakesAndNearTheFile) {
  const WeightFormat format = GetParam().format;
  const WeightFormatTraits traits = weight_format_traits(format);
  auto matrix = PackedMatrix::allocate(format, 64, 512);
  ASSERT_TRUE(matrix.ok());
  EXPECT_GE(matrix->size_bytes(), PackedMatrix::bytes_needed(format, 64, 512));
  const double file = 64.0 * 512 / traits.block_elements * traits.block_bytes;
  const double widened = block_shape(format).body == BlockBody::kByte && format != WeightFormat::kQ8_0 ? 1.65 : 1.03;
  EXPECT_LE(static_cast<double>(PackedMatrix::bytes_needed(format, 64, 512)), widened * file);
}

INSTANTIATE_TEST_SUITE_P(Formats, Pack, testing::ValuesIn(test::kFormats), [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace accelerate
