// Activations over their whole range, odd counts, specials.
#include "accelerate/kernels/elementwise/elementwise.h"

#include <limits>

#include <gtest/gtest.h>

#include "tests/kernels/random_weights.h"
#include "tests/kernels/usable.h"

namespace accelerate {
namespace {

constexpr UnaryFunction kFunctions[] = {UnaryFunction::kSilu, UnaryFunction::kGeluTanh, UnaryFunction::kGeluErf, UnaryFunction::kRelu,
                                        UnaryFunction::kTanh};
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

double truth(UnaryFunction function, double x) {
  switch (function) {
    case UnaryFunction::kSilu: return x / (1 + std::exp(-x));
    case UnaryFunction::kGeluTanh: return x / (1 + std::exp(-2 * std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case UnaryFunction::kGeluErf: return 0.5 * x * std::erfc(-x * M_SQRT1_2);
    case UnaryFunction::kRelu: return x > 0 ? x : 0;
    case UnaryFunction::kTanh: return std::tanh(x);
  }
  return 0;
}

class Elementwise : public testing::TestWithParam<Isa> {
 protected:
  void SetUp() override { ACC_SKIP_UNLESS_USABLE(GetParam()); }
  const KernelTable& table() const { return native_kernels(GetParam()); }
};

TEST_P(Elementwise, ActivationsAreWithin2e6OfTheTruth) {
  std::vector<float> x;
  for (float v = -12.0f; v <= 12.0f; v += 0.00037f) x.push_back(v);
  for (float v = 1e-30f; v < 1e30f; v *= 1.7f) {
    x.push_back(v);
    x.push_back(-v);
  }
  x.push_back(0.0f);
  std::vector<float> out(x.size());
  for (UnaryFunction function : kFunctions) {
    table().activate(function, x.data(), out.data(), x.size());
    for (size_t i = 0; i < x.size(); ++i) {
      const double want = truth(function, x[i]);
      ASSERT_NEAR(out[i], want, 2e-6 * std::fabs(want) + 1e-13) << "function " << static_cast<int>(function) << " of " << x[i];
    }
  }
}

TEST_P(Elementwise, SpecialsBehave) {
  const std::vector<float> x = {kInfinity, -kInfinity, kNan, 3e38f, -3e38f};
  std::vector<float> out(x.size());
  for (UnaryFunction function : kFunctions) {
    table().activate(function, x.data(), out.data(), x.size());
    EXPECT_TRUE(std::isnan(out[2])) << "function " << static_cast<int>(function) << " hides NaN";
    EXPECT_FALSE(std::isfinite(out[0]) && function != UnaryFunction::kTanh);
    EXPECT_FLOAT_EQ(out[3], static_cast<float>(truth(function, 3e38f)));
    EXPECT_FLOAT_EQ(out[4], static_cast<float>(truth(function, -3e38f)));
  }
}

TEST_P(Elementwise, EveryCountAndInPlace) {
  for (size_t count = 0; count <= 70; ++count) {
    const auto a = test::random_floats(count + 1, 1), b = test::random_floats(count + 1, 2);
    std::vector<float> sum(count + 1, 7.0f), product = a, silu(count + 1, 7.0f);
    table().add(a.data(), b.data(), sum.data(), count);
    table().activate(UnaryFunction::kSilu, a.data(), silu.data(), count);
    table().activate_multiply(UnaryFunction::kSilu, product.data(), b.data(), product.data(), count);
    for (size_t i = 0; i < count; ++i) {
      ASSERT_EQ(sum[i], a[i] + b[i]);
      ASSERT_FLOAT_EQ(silu[i], static_cast<float>(truth(UnaryFunction::kSilu, a[i])));
      ASSERT_FLOAT_EQ(product[i], static_cast<float>(truth(UnaryFunction::kSilu, a[i]) * b[i]));
    }
    ASSERT_EQ(sum[count], 7.0f);
    ASSERT_EQ(silu[count], 7.0f);
    ASSERT_EQ(product[count], a[count]);
  }
}

TEST_P(Elementwise, AllFiniteFindsEachPlace) {
  for (size_t count : {1u, 15u, 16u, 17u, 100u}) {
    std::vector<float> x(count + 1, std::numeric_limits<float>::max());
    x[count] = kNan;  // past the end
    EXPECT_TRUE(table().all_finite(x.data(), count));
    for (size_t i = 0; i < count; ++i) {
      for (float bad : {kNan, kInfinity, -kInfinity}) {
        const float kept = x[i];
        x[i] = bad;
        EXPECT_FALSE(table().all_finite(x.data(), count)) << bad << " at " << i << " of " << count;
        x[i] = kept;
      }
    }
  }
  EXPECT_TRUE(table().all_finite(nullptr, 0));
}

INSTANTIATE_TEST_SUITE_P(Tables, Elementwise, testing::ValuesIn(test::kAllIsas),
                         [](const auto& info) { return std::string(isa_name(info.param)); });

}  // namespace
}  // namespace accelerate
