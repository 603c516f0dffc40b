#include "accelerate/wire/tensors.h"

#include <gtest/gtest.h>

namespace accelerate {
namespace {

Tensor tensor(DType dtype, std::vector<uint64_t> shape, size_t bytes) { return {dtype, std::move(shape), std::vector<std::byte>(bytes, std::byte{7})}; }

TEST(WireTensors, ComeBackAsTheyWere) {
  NamedTensors sent;
  sent["x"] = tensor(DType::kF32, {2, 3}, 24);
  sent["scalar"] = tensor(DType::kI64, {}, 8);
  sent["empty"] = tensor(DType::kU8, {0, 5}, 0);
  WireMessage message("run");
  add_tensors(message, sent);
  const auto decoded = WireMessage::decode(message.encode());
  ASSERT_TRUE(decoded);
  const auto got = tensors_of(*decoded);
  ASSERT_TRUE(got) << to_string(got.error());
  ASSERT_EQ(got->size(), 3u);
  for (const auto& [name, one] : sent) {
    EXPECT_EQ(got->at(name).dtype, one.dtype) << name;
    EXPECT_EQ(got->at(name).shape, one.shape) << name;
    EXPECT_EQ(got->at(name).bytes, one.bytes) << name;
  }
}

TEST(WireTensors, SizesThatDisagreeAreRefused) {
  const auto check = [](std::vector<std::string> names, std::vector<std::string> types, std::vector<uint64_t> ranks, std::vector<uint64_t> shapes) {
    WireMessage message("run");
    message.set_texts("names", names).set_texts("types", types).set_numbers("ranks", ranks).set_numbers("shapes", shapes);
    const std::vector<std::byte> bytes(8);
    for (size_t i = 0; i < names.size(); ++i) message.add_blob(bytes);
    return tensors_of(message).ok();
  };
  EXPECT_TRUE(check({"a"}, {"F32"}, {1}, {2}));
  EXPECT_FALSE(check({"a"}, {"F32"}, {1}, {3})) << "12 bytes in 8";
  EXPECT_FALSE(check({"a"}, {"F33"}, {1}, {2}));
  EXPECT_FALSE(check({"a"}, {"F32"}, {2}, {2}));
  EXPECT_FALSE(check({"a"}, {"F32"}, {1}, {2, 2}));
  EXPECT_FALSE(check({"a"}, {"F32"}, {99}, {2}));
  EXPECT_FALSE(check({"a", "a"}, {"F32", "F32"}, {1, 1}, {2, 2}));
  EXPECT_FALSE(check({"a"}, {}, {1}, {2}));
  EXPECT_FALSE(check({"a"}, {"F32"}, {2}, {UINT64_MAX, UINT64_MAX}));
}

}  // namespace
}  // namespace accelerate
