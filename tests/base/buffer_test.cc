#include "accelerate/base/buffer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "accelerate/base/cpu.h"

namespace accelerate {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

TEST(Buffer, NothingAskedIsNothingHeld) {
  Result<Buffer> buffer = Buffer::allocate(0);
  ASSERT_TRUE(buffer.ok());
  EXPECT_EQ(buffer->size(), 0u);
  EXPECT_EQ(buffer->data(), nullptr);
}

TEST(Buffer, IsZeroedAlignedAndWritableToItsEnd) {
  for (const size_t bytes : {size_t{1}, size_t{4096}, size_t{4097}, 2 * kMiB - 1, 2 * kMiB, 5 * kMiB + 3}) {
    Result<Buffer> buffer = Buffer::allocate(bytes);
    ASSERT_TRUE(buffer.ok()) << bytes;
    const size_t alignment = bytes >= 2 * kMiB ? 2 * kMiB : 4096;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer->data()) % alignment, 0u) << bytes;
    EXPECT_GE(buffer->size(), bytes);
    EXPECT_LT(buffer->size(), bytes + alignment);
    const auto* first = buffer->as<unsigned char>();
    EXPECT_TRUE(std::all_of(first, first + buffer->size(), [](unsigned char byte) { return byte == 0; })) << bytes;
    std::fill_n(buffer->as<unsigned char>(), buffer->size(), 0xab);
    EXPECT_EQ(buffer->as<unsigned char>()[buffer->size() - 1], 0xab);
  }
}

TEST(Buffer, MovesHandOverTheMemory) {
  Buffer a = *Buffer::allocate(100);
  a.as<int>()[3] = 7;
  std::byte* const memory = a.data();
  Buffer b = std::move(a);
  EXPECT_EQ(b.data(), memory);
  EXPECT_EQ(a.data(), nullptr);  // NOLINT: what a move leaves is part of the contract
  Buffer c;
  c = std::move(b);
  EXPECT_EQ(c.as<int>()[3], 7);
}

TEST(Buffer, MemoryIsReturnedOnDestruction) {
  constexpr size_t kBytes = 64 * kMiB;
  const uint64_t before = resident_bytes();
  {
    Buffer buffer = *Buffer::allocate(kBytes);
    std::fill_n(buffer.as<unsigned char>(), kBytes, 1);
    EXPECT_GE(resident_bytes(), before + kBytes / 2);
  }
  EXPECT_LT(resident_bytes(), before + kBytes / 2);
}

TEST(Buffer, MoreThanTheMachineHasIsRefusedAtOnce) {
  const uint64_t beyond = cpu_info().memory_bytes * 2;
  for (const size_t bytes : {static_cast<size_t>(beyond), SIZE_MAX / 2, SIZE_MAX - 1, SIZE_MAX}) {
    const Result<Buffer> buffer = Buffer::allocate(bytes);
    ASSERT_FALSE(buffer.ok()) << bytes;
    EXPECT_EQ(buffer.error().code, ErrorCode::kResourceExhausted);
    EXPECT_EQ(buffer.error().message.rfind("[base]", 0), 0u) << buffer.error().message;
  }
}

}  // namespace
}  // namespace accelerate
