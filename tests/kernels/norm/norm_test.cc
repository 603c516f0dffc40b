// Norms of every instruction set against double arithmetic.
#include "accelerate/kernels/norm/norm.h"

#include <gtest/gtest.h>

#include "tests/kernels/random_weights.h"
#include "tests/kernels/usable.h"

namespace accelerate {
namespace {

class Norm : public testing::TestWithParam<Isa> {
 protected:
  void SetUp() override { ACC_SKIP_UNLESS_USABLE(GetParam()); }
  const KernelTable& table() const { return native_kernels(GetParam()); }
};

constexpr uint32_t kWidths[] = {1, 7, 16, 31, 48, 64, 100, 576, 641, 2048};

TEST_P(Norm, RmsAgreesWithDoubles) {
  for (uint32_t width : kWidths) {
    for (uint32_t groups : {1u, 3u}) {
      for (float offset : {0.0f, 1.0f}) {
        const uint32_t rows = 3, total = width * groups, stride = total + 2;
        const auto x = test::random_floats(rows * stride, width), weight = test::random_floats(width, 5);
        std::vector<float> out(rows * stride, 99.0f);
        table().rms_norm({x.data(), stride, out.data(), stride, weight.data(), total, width, 1e-5f, offset}, 0, rows);
        for (uint32_t row = 0; row < rows; ++row) {
          double squares = 0;
          for (uint32_t i = 0; i < total; ++i) {
            const float* group = &x[row * stride + i / width * width];
            if (i % width == 0) squares = 0;
            for (uint32_t j = 0; i % width == 0 && j < width; ++j) squares += static_cast<double>(group[j]) * group[j];
            const double want = group[i % width] / std::sqrt(squares / width + 1e-5) * (static_cast<double>(weight[i % width]) + offset);
            ASSERT_NEAR(out[row * stride + i], want, 1e-5 * std::fabs(want) + 1e-6) << "width " << width << " at " << i;
          }
          ASSERT_EQ(out[row * stride + total], 99.0f) << "wrote past a row";
        }
      }
    }
  }
}

TEST_P(Norm, LayerAgreesWithDoubles) {
  for (uint32_t width : kWidths) {
    const uint32_t rows = 3, stride = width + 1;
    const auto x = test::random_floats(rows * stride, width), weight = test::random_floats(width, 5), bias = test::random_floats(width, 6);
    std::vector<float> out(rows * stride, 99.0f);
    table().layer_norm({x.data(), stride, out.data(), stride, weight.data(), bias.data(), width, 1e-5f}, 0, rows);
    for (uint32_t row = 0; row < rows; ++row) {
      double mean = 0, variance = 0;
      for (uint32_t i = 0; i < width; ++i) mean += x[row * stride + i];
      mean /= width;
      for (uint32_t i = 0; i < width; ++i) variance += (x[row * stride + i] - mean) * (x[row * stride + i] - mean);
      variance /= width;
      for (uint32_t i = 0; i < width; ++i) {
        const double want = (x[row * stride + i] - mean) / std::sqrt(variance + 1e-5) * weight[i] + bias[i];
        ASSERT_NEAR(out[row * stride + i], want, 1e-5 * std::fabs(want) + 1e-5) << "width " << width << " at " << i;
      }
      ASSERT_EQ(out[row * stride + width], 99.0f) << "wrote past a row";
    }
  }
}

TEST_P(Norm, InPlaceAndRangesGiveTheSameBits) {
  const uint32_t rows = 5, width = 100;
  const auto x = test::random_floats(rows * width, 1), weight = test::random_floats(width, 2), bias = test::random_floats(width, 3);
  std::vector<float> apart(rows * width), in_place = x, layer_apart(rows * width), layer_in_place = x;
  table().rms_norm({x.data(), width, apart.data(), width, weight.data(), width, 50, 1e-6f, 0}, 0, rows);
  table().layer_norm({x.data(), width, layer_apart.data(), width, weight.data(), bias.data(), width, 1e-6f}, 0, rows);
  for (uint32_t row = 0; row < rows; ++row) {
    table().rms_norm({in_place.data(), width, in_place.data(), width, weight.data(), width, 50, 1e-6f, 0}, row, row + 1);
    table().layer_norm({layer_in_place.data(), width, layer_in_place.data(), width, weight.data(), bias.data(), width, 1e-6f}, row, row + 1);
  }
  EXPECT_EQ(apart, in_place);
  EXPECT_EQ(layer_apart, layer_in_place);
}

TEST_P(Norm, LargeMeansKeepTheirVariance) {  // two passes: sum of squares minus square of sums would lose everything here
  std::vector<float> x(512), weight(512, 1.0f), bias(512, 0.0f), out(512);
  for (size_t i = 0; i < x.size(); ++i) x[i] = 10000.0f + static_cast<float>(i % 2);
  table().layer_norm({x.data(), 512, out.data(), 512, weight.data(), bias.data(), 512, 1e-12f}, 0, 1);
  for (size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(out[i], i % 2 ? 1.0f : -1.0f, 1e-4f);
}

INSTANTIATE_TEST_SUITE_P(Tables, Norm, testing::ValuesIn(test::kAllIsas), [](const auto& info) { return std::string(isa_name(info.param)); });

}  // namespace
}  // namespace accelerate
