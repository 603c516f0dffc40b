#include "accelerate/core/model.h"

#include <gtest/gtest.h>

namespace accelerate {
namespace {

Model three_tensors() {
  static const std::vector<std::byte> storage(4096);
  Model model;
  model.tensors = {{.name = "a", .dtype = DType::kF32, .shape = {8}, .bytes = std::span(storage).first(32)},
                   {.name = "b", .dtype = DType::kQ4_0, .shape = {4, 64}, .bytes = std::span(storage).first(144)},
                   {.name = "c", .dtype = DType::kF16, .shape = {2, 4}, .bytes = std::span(storage).first(16)}};
  return model;
}

TEST(Model, FindsTensorsByTheirWholeName) {
  const Model model = three_tensors();
  ASSERT_NE(model.find("b"), nullptr);
  EXPECT_EQ(model.find("b"), &model.tensors[1]);
  EXPECT_EQ(model.find(""), nullptr);
  EXPECT_EQ(model.find("bb"), nullptr);
  EXPECT_EQ(Model{}.find("a"), nullptr);
}

TEST(Model, CountsParametersAndBytes) {
  const Model model = three_tensors();
  EXPECT_EQ(model.parameter_count(), 8u + 256 + 8);
  EXPECT_EQ(model.weight_bytes(), 32u + 144 + 16);
  EXPECT_EQ(Model{}.weight_bytes(), 0u);
}

TEST(Model, IsCalledByTheFormatOfMostBytes) {
  Model model = three_tensors();
  EXPECT_EQ(model.main_dtype(), DType::kQ4_0);
  model.tensors.erase(model.tensors.begin() + 1);
  EXPECT_EQ(model.main_dtype(), DType::kF32);
}

}  // namespace
}  // namespace accelerate
