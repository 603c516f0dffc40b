#include "accelerate/wire/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include <gtest/gtest.h>

namespace accelerate {
namespace {

TEST(SharedMemory, BothSidesSeeTheSameBytes) {
  auto ours = SharedMemory::create(10'000);
  ASSERT_TRUE(ours) << to_string(ours.error());
  auto theirs = SharedMemory::adopt(::dup(ours->descriptor()), 10'000);
  ASSERT_TRUE(theirs) << to_string(theirs.error());
  std::memcpy(ours->data() + 9'990, "0123456789", 10);
  EXPECT_EQ(std::memcmp(theirs->data() + 9'990, "0123456789", 10), 0);
  SharedMemory moved = *std::move(theirs);
  EXPECT_EQ(moved.size(), 10'000u);
}

TEST(SharedMemory, AFileThatCouldShrinkOrIsOfAnotherSizeIsRefused) {
  auto region = SharedMemory::create(4096);
  ASSERT_TRUE(region);
  EXPECT_EQ(::ftruncate(region->descriptor(), 0), -1) << "it is sealed";
  EXPECT_EQ(SharedMemory::adopt(::dup(region->descriptor()), 8192).error().code, ErrorCode::kDataLoss);
  const int unsealed = ::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  ASSERT_EQ(::ftruncate(unsealed, 4096), 0);
  EXPECT_EQ(SharedMemory::adopt(unsealed, 4096).error().code, ErrorCode::kDataLoss);
  EXPECT_EQ(SharedMemory::adopt(-1, 4096).error().code, ErrorCode::kDataLoss);
  EXPECT_FALSE(SharedMemory::create(0));
}

}  // namespace
}  // namespace accelerate
