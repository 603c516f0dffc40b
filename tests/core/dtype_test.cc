#include "accelerate/core/dtype.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "accelerate/base/numbers.h"

namespace accelerate {
namespace {

TEST(DType, TraitsAgreeWithTheLayouts) {
  const auto expect = [](DType type, std::string_view name, size_t elements, size_t bytes) {
    const DTypeTraits& traits = dtype_traits(type);
    EXPECT_EQ(traits.name, name);
    EXPECT_EQ(traits.block_elements, elements) << name;
    EXPECT_EQ(traits.block_bytes, bytes) << name;
  };
  expect(DType::kF32, "F32", 1, sizeof(float));
  expect(DType::kF16, "F16", 1, 2);
  expect(DType::kBF16, "BF16", 1, 2);
  expect(DType::kQ8_0, "Q8_0", kQuantBlock, sizeof(BlockQ8_0));
  expect(DType::kQ4_0, "Q4_0", kQuantBlock, sizeof(BlockQ4_0));
  expect(DType::kQ4_1, "Q4_1", kQuantBlock, sizeof(BlockQ4_1));
  expect(DType::kQ5_0, "Q5_0", kQuantBlock, sizeof(BlockQ5_0));
  expect(DType::kQ5_1, "Q5_1", kQuantBlock, sizeof(BlockQ5_1));
  expect(DType::kQ4_K, "Q4_K", kSuperBlock, sizeof(BlockQ4_K));
  expect(DType::kQ5_K, "Q5_K", kSuperBlock, sizeof(BlockQ5_K));
  expect(DType::kQ6_K, "Q6_K", kSuperBlock, sizeof(BlockQ6_K));
  expect(DType::kI8, "I8", 1, 1);
  expect(DType::kU8, "U8", 1, 1);
  expect(DType::kI16, "I16", 1, 2);
  expect(DType::kI32, "I32", 1, 4);
  expect(DType::kI64, "I64", 1, 8);
  expect(DType::kF64, "F64", 1, sizeof(double));
  expect(DType::kBool, "BOOL", 1, 1);
}

TEST(DType, NamesGoBothWaysInAnyCase) {
  std::set<std::string_view> names;
  for (int i = 0; i < kDTypeCount; ++i) {
    const auto type = static_cast<DType>(i);
    std::string lower(dtype_traits(type).name);
    for (char& letter : lower) letter = static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
    EXPECT_EQ(dtype_from_name(dtype_traits(type).name), type);
    EXPECT_EQ(dtype_from_name(lower), type);
    names.insert(dtype_traits(type).name);
  }
  EXPECT_EQ(names.size(), static_cast<size_t>(kDTypeCount));
  for (const char* name : {"", "Q4", "Q4_0 ", "F3", "F322"}) EXPECT_FALSE(dtype_from_name(name).has_value()) << name;
}

TEST(DType, SizesAreWholeBlocksThatFit) {
  EXPECT_EQ(*byte_size(DType::kF32, 10), 40u);
  EXPECT_EQ(*byte_size(DType::kQ4_0, 64), 36u);
  EXPECT_EQ(*byte_size(DType::kQ6_K, 512), 420u);
  EXPECT_EQ(*byte_size(DType::kQ4_K, 0), 0u);
  EXPECT_EQ(*byte_size(DType::kI8, UINT64_MAX), SIZE_MAX);
  for (const auto& [type, elements] : {std::pair(DType::kQ4_0, uint64_t{33}), {DType::kQ4_K, 128}, {DType::kF32, uint64_t{1} << 62},
                                       {DType::kF16, (UINT64_MAX >> 1) + 1}, {DType::kQ8_0, UINT64_MAX - 31}}) {
    const Result<size_t> bytes = byte_size(type, elements);
    ASSERT_FALSE(bytes.ok()) << dtype_traits(type).name << " " << elements;
    EXPECT_EQ(bytes.error().code, ErrorCode::kDataLoss);
  }
}

}  // namespace
}  // namespace accelerate
