#include "accelerate/base/buffer_size.h"

#include <gtest/gtest.h>

#include "accelerate/base/buffer.h"

namespace accelerate {
namespace {

TEST(BufferSize, IsWhatABufferTakes) {
  for (const size_t bytes : {size_t{0}, size_t{1}, kPageBytes, kPageBytes + 1, kHugePageBytes - 1, kHugePageBytes, kHugePageBytes + 1, 5 * kHugePageBytes}) {
    const auto buffer = Buffer::allocate(bytes);
    ASSERT_TRUE(buffer);
    EXPECT_EQ(buffer_size(bytes), buffer->size()) << bytes;
  }
  EXPECT_EQ(buffer_size(kHugePageBytes + 1), 2 * kHugePageBytes);
}

}  // namespace
}  // namespace accelerate
