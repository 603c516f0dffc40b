#include "accelerate/kernels/rope/rope.h"

#include <gtest/gtest.h>

#include "tests/kernels/random_weights.h"
#include "tests/kernels/usable.h"

namespace accelerate {
namespace {

class Rope : public testing::TestWithParam<Isa> {
 protected:
  void SetUp() override { ACC_SKIP_UNLESS_USABLE(GetParam()); }
};

TEST_P(Rope, RotatesByTheTablesAndLeavesTheRest) {
  const uint32_t rows = 3, heads = 2;
  for (bool interleaved : {false, true}) {
    for (uint32_t head_width : {16u, 48u, 64u, 80u, 256u}) {
      for (uint32_t rotated : {2u, 10u, head_width / 2, head_width}) {
        const uint32_t pairs = rotated / 2, stride = heads * head_width + 3;
        const auto before = test::random_floats(rows * stride, head_width);
        std::vector<float> x = before, angles = test::random_floats(rows * pairs, 4, 3.0f), cosine(rows * pairs), sine(rows * pairs);
        std::vector<const float*> cosines, sines;
        for (size_t i = 0; i < angles.size(); ++i) {
          cosine[i] = std::cos(angles[i]);
          sine[i] = std::sin(angles[i]);
        }
        for (uint32_t row = 0; row < rows; ++row) {
          cosines.push_back(&cosine[row * pairs]);
          sines.push_back(&sine[row * pairs]);
        }
        const RopeTask task{x.data(), stride, heads, head_width, rotated, interleaved, cosines.data(), sines.data()};
        native_kernels(GetParam()).rope(task, 0, 1);
        native_kernels(GetParam()).rope(task, 1, rows);
        std::vector<float> want = before;
        for (uint32_t row = 0; row < rows; ++row) {
          for (uint32_t head = 0; head < heads; ++head) {
            for (uint32_t i = 0; i < pairs; ++i) {
              const size_t at = row * stride + head * head_width;
              const size_t a = at + (interleaved ? 2 * i : i), b = at + (interleaved ? 2 * i + 1 : i + pairs);
              const double c = cosine[row * pairs + i], s = sine[row * pairs + i];
              want[a] = static_cast<float>(before[a] * c - before[b] * s);
              want[b] = static_cast<float>(before[a] * s + before[b] * c);
            }
          }
        }
        for (size_t i = 0; i < x.size(); ++i) {
          ASSERT_NEAR(x[i], want[i], 1e-6) << "interleaved " << interleaved << " width " << head_width << " rotated " << rotated << " at " << i;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Tables, Rope, testing::ValuesIn(test::kAllIsas), [](const auto& info) { return std::string(isa_name(info.param)); });

}  // namespace
}  // namespace accelerate
