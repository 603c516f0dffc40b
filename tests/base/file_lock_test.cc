#include "accelerate/base/file_lock.h"

#include <atomic>
#include <chrono>
#include <optional>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "accelerate/base/process.h"
#include "tests/temporary.h"

namespace accelerate {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

TEST(FileLock, OneAtATime) {
  const TemporaryFolder folder;
  std::optional<FileLock> first;
  {
    auto taken = FileLock::take(folder / "lock", "test");
    ASSERT_TRUE(taken) << to_string(taken.error());
    first.emplace(*std::move(taken));  // moved: still held, once
  }
  std::atomic<int> asked{0};
  std::atomic<bool> second{false};
  std::thread other([&] { second = FileLock::take(folder / "lock", "test", [&] { return ++asked < 100; }).ok(); });
  while (asked < 2) std::this_thread::sleep_for(1ms);
  EXPECT_FALSE(second);
  first.reset();
  other.join();
  EXPECT_TRUE(second);
}

TEST(FileLock, AStopEndsTheWait) {
  const TemporaryFolder folder;
  const auto held = FileLock::take(folder / "lock", "test");
  ASSERT_TRUE(held);
  const auto stopped = FileLock::take(folder / "lock", "test", [] { return false; });
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::kCancelled);
  EXPECT_THAT(stopped.error().message, HasSubstr("[test]"));
}

TEST(FileLock, ItGoesWithItsProcess) {
  const TemporaryFolder folder;
  const ChildOutcome died = run_in_child([&]() -> int {
    const auto held = FileLock::take(folder / "lock", "test");
    std::_Exit(held ? 7 : 1);  // no destructor runs
  }, 5s);
  EXPECT_EQ(died.exit_code, 7);
  EXPECT_TRUE(FileLock::take(folder / "lock", "test", [] { return false; }));
}

TEST(FileLock, SharedOnesExcludeOnlyTheExclusive) {
  const TemporaryFolder folder;
  const auto try_take = [&](FileLock::Kind kind) {
    Result<std::optional<FileLock>> got = FileLock::try_take(folder / "lock", "test", kind);
    EXPECT_TRUE(got);
    return *std::move(got);
  };
  std::optional<FileLock> one = try_take(FileLock::Kind::kShared), two = try_take(FileLock::Kind::kShared);
  EXPECT_TRUE(one && two);
  EXPECT_FALSE(try_take(FileLock::Kind::kExclusive));
  one.reset();
  EXPECT_FALSE(try_take(FileLock::Kind::kExclusive));
  two.reset();
  const std::optional<FileLock> only = try_take(FileLock::Kind::kExclusive);
  EXPECT_TRUE(only);
  EXPECT_FALSE(try_take(FileLock::Kind::kShared));
  EXPECT_EQ(FileLock::try_take(folder / "no" / "lock", "test", FileLock::Kind::kShared).error().code, ErrorCode::kNotFound);
}

TEST(FileLock, APlaceThatCannotBeIsNamed) {
  const TemporaryFolder folder;
  const auto none = FileLock::take(folder / "no" / "such" / "lock", "test");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(none.error().message, HasSubstr("such"));
}

}  // namespace
}  // namespace accelerate
