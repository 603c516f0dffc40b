#include "accelerate/core/tensor.h"

#include <gtest/gtest.h>

namespace accelerate {
namespace {

TensorView view(DType dtype, std::vector<uint64_t> shape, size_t bytes) {
  static const std::vector<std::byte> storage(4096);
  return {.name = "blk.0.w", .dtype = dtype, .shape = std::move(shape), .bytes = std::span(storage).first(bytes)};
}

TEST(Tensor, RowsAndColumns) {
  const TensorView scalar = view(DType::kF32, {}, 4), vector = view(DType::kF32, {5}, 20), cube = view(DType::kF32, {2, 3, 4}, 96);
  EXPECT_EQ(scalar.element_count(), 1u);
  EXPECT_EQ(scalar.rows(), 1u);
  EXPECT_EQ(scalar.columns(), 1u);
  EXPECT_EQ(vector.rows(), 1u);
  EXPECT_EQ(vector.columns(), 5u);
  EXPECT_EQ(cube.rows(), 6u);
  EXPECT_EQ(cube.columns(), 4u);
  EXPECT_EQ(cube.element_count(), 24u);
  EXPECT_EQ(to_string(cube), "[2, 3, 4] F32");
  EXPECT_EQ(to_string(scalar), "[] F32");
}

TEST(Tensor, WholeTensorsPass) {
  EXPECT_TRUE(check_tensor(view(DType::kF32, {2, 3}, 24)).ok());
  EXPECT_TRUE(check_tensor(view(DType::kF32, {}, 4)).ok());
  EXPECT_TRUE(check_tensor(view(DType::kF32, {0, 7}, 0)).ok());
  EXPECT_TRUE(check_tensor(view(DType::kQ4_0, {3, 64}, 108)).ok());
  EXPECT_TRUE(check_tensor(view(DType::kF32, {1, 1, 1, 1, 1, 1, 1, 1}, 4)).ok());
}

TEST(Tensor, EachDefectIsDataLossAndNamesTheTensor) {
  constexpr uint64_t kHalf = uint64_t{1} << 32;
  const TensorView defects[] = {
      view(DType::kF32, {2, 3}, 23),                       // one byte short
      view(DType::kF32, {2, 3}, 28),                       // too long
      view(DType::kF32, {1, 1, 1, 1, 1, 1, 1, 1, 1}, 4),   // rank
      view(DType::kF32, {kHalf, kHalf}, 0),                // product is 2^64, which wraps to 0
      view(DType::kF32, {kHalf, kHalf, 0}, 0),
      view(DType::kF32, {uint64_t{1} << 62}, 0),           // bytes wrap to 0
      view(DType::kQ4_0, {2, 16}, 18),                     // a block across two rows
      view(DType::kQ4_K, {128}, 72),
  };
  for (const TensorView& tensor : defects) {
    const Result<void> checked = check_tensor(tensor);
    ASSERT_FALSE(checked.ok()) << to_string(tensor);
    EXPECT_EQ(checked.error().code, ErrorCode::kDataLoss) << to_string(tensor);
  }
  for (const TensorView& tensor : {defects[0], defects[2], defects[3], defects[6]}) {
    EXPECT_NE(check_tensor(tensor).error().message.find("'blk.0.w'"), std::string::npos) << check_tensor(tensor).error().message;
  }
}

}  // namespace
}  // namespace accelerate
