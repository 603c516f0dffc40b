#include "accelerate/wire/socket_channel.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include <gtest/gtest.h>

#include "accelerate/wire/message.h"

namespace accelerate {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

std::vector<std::byte> some_bytes(size_t count) {
  std::vector<std::byte> bytes(count);
  for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(i * 131 >> 3);
  return bytes;
}

TEST(SocketChannel, MessagesComeWholeAndInOrder) {
  auto pair = make_socket_pair();
  ASSERT_TRUE(pair);
  SocketChannel theirs(pair->theirs);
  std::thread sender([&] {
    for (const size_t size : {size_t{0}, size_t{1}, size_t{5'000'000}}) ASSERT_TRUE(pair->ours->send(some_bytes(size), Clock::now() + 10s));
  });
  for (const size_t size : {size_t{0}, size_t{1}, size_t{5'000'000}}) {
    const auto got = theirs.receive(Clock::now() + 10s);
    ASSERT_TRUE(got) << to_string(got.error());
    EXPECT_EQ(*got, some_bytes(size));
  }
  sender.join();
}

TEST(SocketChannel, ATimeOutLosesNothing) {
  auto pair = make_socket_pair();
  ASSERT_TRUE(pair);
  const int theirs = pair->theirs;
  const std::vector<std::byte> message = some_bytes(100);
  uint64_t length = message.size();
  const auto receive = [&] { return pair->ours->receive(Clock::now() + 5ms); };
  EXPECT_EQ(receive().error().code, ErrorCode::kDeadlineExceeded);
  ASSERT_EQ(::write(theirs, &length, 3), 3);
  EXPECT_EQ(receive().error().code, ErrorCode::kDeadlineExceeded);
  ASSERT_EQ(::write(theirs, reinterpret_cast<const char*>(&length) + 3, 5), 5);
  ASSERT_EQ(::write(theirs, message.data(), 60), 60);
  EXPECT_EQ(receive().error().code, ErrorCode::kDeadlineExceeded);
  ASSERT_EQ(::write(theirs, message.data() + 60, 40), 40);
  EXPECT_EQ(*receive(), message);
  ::close(theirs);
  EXPECT_EQ(receive().error().code, ErrorCode::kUnavailable);
}

TEST(SocketChannel, NobodyReadsIsADeadlineAndNobodyThereIsUnavailable) {
  auto pair = make_socket_pair();
  ASSERT_TRUE(pair);
  EXPECT_EQ(pair->ours->send(some_bytes(50'000'000), Clock::now() + 20ms).error().code, ErrorCode::kDeadlineExceeded);
  ::close(pair->theirs);
  EXPECT_EQ(pair->ours->send(some_bytes(10), Clock::now() + 1s).error().code, ErrorCode::kUnavailable);
}

TEST(SocketChannel, AnAbsurdLengthIsNotAllocated) {
  auto pair = make_socket_pair();
  ASSERT_TRUE(pair);
  const uint64_t length = UINT64_MAX / 2;
  ASSERT_EQ(::write(pair->theirs, &length, sizeof length), 8);
  EXPECT_EQ(pair->ours->receive(Clock::now() + 1s).error().code, ErrorCode::kUnavailable);
  ::close(pair->theirs);
  EXPECT_EQ(pair->ours->send(std::vector<std::byte>(kWireMessageBytesMax + 1), Clock::now() + 1s).error().code, ErrorCode::kResourceExhausted);
}

TEST(SocketChannel, AFileTravelsWithItsMessage) {
  auto pair = make_socket_pair();
  ASSERT_TRUE(pair);
  SocketChannel theirs(pair->theirs);
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  ASSERT_TRUE(theirs.carries_files());
  ASSERT_TRUE(theirs.send(some_bytes(3), Clock::now() + 1s));
  ASSERT_TRUE(theirs.attach(pipe[0]));
  ASSERT_TRUE(theirs.send(some_bytes(4), Clock::now() + 1s));
  ASSERT_TRUE(theirs.send(some_bytes(5), Clock::now() + 1s));
  ASSERT_TRUE(pair->ours->receive(Clock::now() + 1s));
  EXPECT_EQ(pair->ours->take_file(), -1) << "not with the first";
  ASSERT_TRUE(pair->ours->receive(Clock::now() + 1s));
  const int file = pair->ours->take_file();
  ASSERT_GE(file, 0);
  EXPECT_EQ(pair->ours->take_file(), -1) << "once";
  ASSERT_TRUE(pair->ours->receive(Clock::now() + 1s));
  EXPECT_EQ(pair->ours->take_file(), -1);
  ASSERT_EQ(::write(pipe[1], "x", 1), 1);
  char c = 0;
  EXPECT_EQ(::read(file, &c, 1), 1);
  EXPECT_EQ(c, 'x');
  for (const int one : {file, pipe[0], pipe[1]}) ::close(one);
}

}  // namespace
}  // namespace accelerate
