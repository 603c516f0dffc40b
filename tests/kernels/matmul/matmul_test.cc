// Every instruction set this machine can run, every format, against sums in double over the dequantized weights.
#include "accelerate/kernels/matmul/matmul.h"

#include <algorithm>
#include <limits>

#include <gtest/gtest.h>

#include "tests/kernels/random_weights.h"
#include "tests/kernels/usable.h"

namespace accelerate {
namespace {

struct Problem {
  WeightFormat format;
  uint32_t m, n, k;
  MatmulMode mode = MatmulMode::kExact;
  uint32_t bias = 0;   // 1 = with a bias
  uint32_t add = 0;    // 1 = on top of what `out` holds
  uint32_t parts = 1;  // column ranges and row ranges it is split into
  bool rowwise = false;
};

constexpr float kUntouched = 12345.0f;

struct Inputs {
  std::vector<std::byte> source;
  std::vector<float> x, bias, out;
  size_t x_stride, out_stride;
};

Inputs inputs_of(const Problem& p) {
  Inputs in;
  in.x_stride = p.k + 5;
  in.out_stride = p.n + 3;
  in.source = test::random_weights(p.format, p.n, p.k, p.n * 31 + p.k);
  in.x = test::random_floats(p.m * in.x_stride, p.m + p.k);
  for (uint32_t row = 0; row < p.m; ++row) {  // what stands between the rows must not be read into a result
    for (size_t i = p.k; i < in.x_stride; ++i) in.x[row * in.x_stride + i] = std::numeric_limits<float>::quiet_NaN();
  }
  in.bias = test::random_floats(p.n, 3);
  in.out.assign(p.m * in.out_stride, p.add ? 2.0f : kUntouched);
  for (uint32_t row = 0; row < p.m; ++row) std::fill_n(&in.out[row * in.out_stride + p.n], 3, kUntouched);
  return in;
}

std::vector<float> run_kernel(const KernelTable& table, const Problem& p, const Inputs& in) {
  auto weight = PackedMatrix::allocate(p.format, p.n, p.k);
  EXPECT_TRUE(weight.ok());
  pack_rows(*weight, in.source.data(), 0, p.n);
  std::vector<std::byte> memory(matmul_scratch_bytes(p.m, p.k, p.rowwise) + 128, std::byte{0xff});  // NaN where nothing is prepared
  std::byte* scratch = memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64) % 64;
  const MatmulInput input{in.x.data(), in.x_stride, p.m, p.k, p.mode, p.rowwise};
  std::vector<float> out = in.out;
  for (uint32_t i = 0; i < p.parts; ++i) table.matmul_prepare(input, scratch, p.m * i / p.parts, p.m * (i + 1) / p.parts);
  const MatmulTask task{&*weight, p.bias ? in.bias.data() : nullptr, input, scratch, out.data(), in.out_stride, p.add != 0};
  const uint32_t strips = (p.n + kColumnBlock - 1) / kColumnBlock;
  for (uint32_t i = 0; i < p.parts; ++i) {
    table.matmul(task, kColumnBlock * (strips * i / p.parts), std::min(p.n, kColumnBlock * (strips * (i + 1) / p.parts)));
  }
  for (size_t i = 64; i < 128; ++i) EXPECT_EQ(scratch[matmul_scratch_bytes(p.m, p.k, p.rowwise) + i - 64], std::byte{0xff}) << "wrote past the scratch";
  return out;
}

/// Largest difference to double sums, relative to the length of the two vectors that were multiplied.
double error_of(const Problem& p, const Inputs& in, const std::vector<float>& out) {
  const WeightFormatTraits traits = weight_format_traits(p.format);
  const auto dot = [&](const float* a, const float* b) {
    double sum = 0;
    for (uint32_t i = 0; i < p.k; ++i) sum += static_cast<double>(a[i]) * b[i];
    return sum;
  };
  std::vector<float> w(p.k);
  std::vector<double> xx(p.m);
  for (uint32_t row = 0; row < p.m; ++row) xx[row] = dot(&in.x[row * in.x_stride], &in.x[row * in.x_stride]);
  double worst = 0;
  for (uint32_t column = 0; column < p.n; ++column) {
    dequantize_row(p.format, in.source.data() + size_t{column} * p.k / traits.block_elements * traits.block_bytes, p.k, w.data());
    const double ww = dot(w.data(), w.data());
    for (uint32_t row = 0; row < p.m; ++row) {
      const double sum = dot(w.data(), &in.x[row * in.x_stride]) + (p.bias ? in.bias[column] : 0.0) + (p.add ? 2.0 : 0.0);
      const double error = std::fabs(out[row * in.out_stride + column] - sum) / (std::sqrt(ww * xx[row]) + std::fabs(sum) + 1e-30);
      worst = error <= worst ? worst : error;  // a NaN stays
    }
  }
  for (uint32_t row = 0; row < p.m; ++row) {
    for (size_t i = p.n; i < in.out_stride; ++i) EXPECT_EQ(out[row * in.out_stride + i], kUntouched) << "wrote past a row";
  }
  return worst;
}

constexpr double kExactError = 2e-6;     // floats: rounding of sums
constexpr double kDefaultError = 4e-3;   // bf16 at worst: 2^-9 a factor, two factors, errors partly cancel over k

class Matmul : public testing::TestWithParam<std::tuple<Isa, test::FormatName>> {
 protected:
  void SetUp() override { ACC_SKIP_UNLESS_USABLE(isa()); }
  Isa isa() const { return std::get<0>(GetParam()); }
  WeightFormat format() const { return std::get<1>(GetParam()).format; }
  void expect_right(Problem p) {
    p.format = format();
    const Inputs in = inputs_of(p);
    const double error = error_of(p, in, run_kernel(native_kernels(isa()), p, in));
    EXPECT_LE(error, p.mode == MatmulMode::kExact ? kExactError : kDefaultError)
        << "m " << p.m << " n " << p.n << " k " << p.k << " mode " << static_cast<int>(p.mode);
  }
  uint32_t depth(uint32_t wanted) const {  // rounded up to the format's block
    const uint32_t block = weight_format_traits(format()).block_elements;
    return (wanted + block - 1) / block * block;
  }
};

TEST_P(Matmul, RowCounts) {
  for (MatmulMode mode : {MatmulMode::kExact, MatmulMode::kDefault}) {
    for (uint32_t m = 1; m <= 40; ++m) expect_right({.format = {}, .m = m, .n = 64, .k = depth(96), .mode = mode});
  }
}

TEST_P(Matmul, ShapesThatFillNoStripAndNoChunk) {
  for (MatmulMode mode : {MatmulMode::kExact, MatmulMode::kDefault}) {
    for (uint32_t m : {1u, 5u, 17u, 70u}) {
      for (uint32_t n : {1u, 16u, 31u, 33u, 48u, 100u}) {
        for (uint32_t k : {1u, 33u, 96u, 576u}) expect_right({.format = {}, .m = m, .n = n, .k = depth(k), .mode = mode});
      }
    }
  }
}

TEST_P(Matmul, BiasAndAdd) {
  for (uint32_t m : {1u, 4u, 30u}) {
    for (uint32_t with = 1; with < 4; ++with) expect_right({.format = {}, .m = m, .n = 90, .k = depth(576), .bias = with & 1, .add = with >> 1});
  }
}

TEST_P(Matmul, AnySplitGivesTheSameBits) {
  for (MatmulMode mode : {MatmulMode::kExact, MatmulMode::kDefault}) {
    for (uint32_t m : {1u, 2u, 4u, 8u, 37u}) {
      Problem p{.format = format(), .m = m, .n = 230, .k = depth(320), .mode = mode};
      const Inputs in = inputs_of(p);
      const std::vector<float> whole = run_kernel(native_kernels(isa()), p, in);
      for (uint32_t parts : {2u, 3u, 8u}) {
        p.parts = parts;
        EXPECT_EQ(whole, run_kernel(native_kernels(isa()), p, in)) << "m " << m << " parts " << parts;
      }
    }
  }
}

// A row alone, among few and among many gives the same bits.
TEST_P(Matmul, RowwiseResultsDoNotDependOnOtherRows) {
  for (MatmulMode mode : {MatmulMode::kExact, MatmulMode::kDefault}) {
    Problem p{.format = format(), .m = 150, .n = 70, .k = depth(320), .mode = mode, .bias = 1, .rowwise = true};
    const Inputs in = inputs_of(p);
    const std::vector<float> all = run_kernel(native_kernels(isa()), p, in);
    EXPECT_LE(error_of(p, in, all), mode == MatmulMode::kExact ? kExactError : kDefaultError);
    for (const uint32_t m : {1u, 3u, 9u, 64u, 65u, 149u}) {
      p.m = m;
      const std::vector<float> some = run_kernel(native_kernels(isa()), p, in);
      for (uint32_t row = 0; row < m; ++row) {
        for (uint32_t column = 0; column < p.n; ++column) {
          ASSERT_EQ(some[row * in.out_stride + column], all[row * in.out_stride + column]) << "m " << m << " row " << row << " column " << column;
        }
      }
    }
  }
}

TEST_P(Matmul, NanStaysInItsRow) {
  for (MatmulMode mode : {MatmulMode::kExact, MatmulMode::kDefault}) {
    for (uint32_t m : {2u, 8u, 20u, 70u}) {
      const Problem p{.format = format(), .m = m, .n = 40, .k = depth(96), .mode = mode};
      Inputs in = inputs_of(p);
      const std::vector<float> clean = run_kernel(native_kernels(isa()), p, in);
      in.x[in.x_stride + 3] = std::numeric_limits<float>::quiet_NaN();
      const std::vector<float> got = run_kernel(native_kernels(isa()), p, in);
      for (uint32_t row = 0; row < m; ++row) {
        for (uint32_t column = 0; column < p.n; ++column) {
          const size_t at = row * in.out_stride + column;
          if (row == 1) ASSERT_TRUE(std::isnan(got[at])) << "column " << column;
          else ASSERT_EQ(got[at], clean[at]) << "row " << row << " column " << column;
        }
      }
    }
  }
}

TEST_P(Matmul, LongRowsStayExact) {
  expect_right({.format = {}, .m = 1, .n = 32, .k = 8192});
  expect_right({.format = {}, .m = 16, .n = 32, .k = 8192});
}

TEST_P(Matmul, OutliersDoNotDrownTheRest) {  // one activation 10^4 times the others, as real models have them
  Problem p{.format = format(), .m = 1, .n = 64, .k = depth(512)};
  for (uint32_t m : {1u, 20u}) {
    p.m = m;
    Inputs in = inputs_of(p);
    for (uint32_t row = 0; row < m; ++row) in.x[row * in.x_stride + 77] = 1e4f;
    EXPECT_LE(error_of(p, in, run_kernel(native_kernels(isa()), p, in)), kExactError);
  }
}

INSTANTIATE_TEST_SUITE_P(Tables, Matmul, testing::Combine(testing::ValuesIn(test::kAllIsas), testing::ValuesIn(test::kFormats)),
                         [](const auto& info) {
                           return std::string(isa_name(std::get<0>(info.param))) + "_" + std::get<1>(info.param).name;
                         });

}  // namespace
}  // namespace accelerate
