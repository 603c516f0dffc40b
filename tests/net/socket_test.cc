#include "accelerate/net/socket.h"

#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/net/raw_client.h"

namespace accelerate {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

struct Pair {
  Pair() {
    int fds[2] = {-1, -1};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    near = Socket(fds[0]);
    far = Socket(fds[1]);
  }
  Socket near, far;
};

TEST(Socket, ReadsWhatWasWritten) {
  Pair pair;
  EXPECT_EQ(pair.near.write_all("hello", deadline_in(1s)), Socket::Status::kOk);
  char bytes[16];
  const Socket::Read read = pair.far.read(bytes, sizeof bytes, deadline_in(1s));
  EXPECT_EQ(read.status, Socket::Status::kOk);
  EXPECT_EQ(std::string(bytes, read.bytes), "hello");
}

TEST(Socket, ReadTimesOut) {
  Pair pair;
  char byte;
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(pair.near.read(&byte, 1, deadline_in(60ms)).status, Socket::Status::kTimeout);
  const auto waited = std::chrono::steady_clock::now() - start;
  EXPECT_GE(waited, 60ms);
  EXPECT_LT(waited, 5s);
}

TEST(Socket, WriteTimesOutWhenNobodyReads) {
  Pair pair;
  EXPECT_EQ(pair.near.write_all(std::string(size_t{64} << 20, 'x'), deadline_in(60ms)), Socket::Status::kTimeout);
}

TEST(Socket, SeesThePeerGo) {
  Pair pair;
  EXPECT_FALSE(pair.near.peer_gone());
  ASSERT_EQ(pair.far.write_all("unread", deadline_in(1s)), Socket::Status::kOk);
  EXPECT_FALSE(pair.near.peer_gone());
  pair.far = Socket();
  EXPECT_TRUE(pair.near.peer_gone()) << "even with unread bytes before the end";
  EXPECT_NE(pair.near.write_all(std::string(1 << 20, 'x'), deadline_in(1s)), Socket::Status::kOk);  // and no SIGPIPE
}

TEST(Socket, EndsWhenAllIsRead) {
  Pair pair;
  EXPECT_FALSE(pair.near.at_end());
  ASSERT_EQ(pair.far.write_all("x", deadline_in(1s)), Socket::Status::kOk);
  pair.far = Socket();
  EXPECT_FALSE(pair.near.at_end()) << "a byte is left";
  char byte;
  EXPECT_EQ(pair.near.read(&byte, 1, deadline_in(1s)).status, Socket::Status::kOk);
  EXPECT_TRUE(pair.near.at_end());
}

TEST(Socket, WhoStopsReceivingMaySendStill) {
  Pair pair;
  std::thread waker([&] {
    std::this_thread::sleep_for(30ms);
    pair.near.shut_down_receiving();
  });
  char bytes[8];
  EXPECT_EQ(pair.near.read(bytes, sizeof bytes, deadline_in(10s)).status, Socket::Status::kClosed);
  waker.join();
  EXPECT_EQ(pair.near.write_all("bye", deadline_in(1s)), Socket::Status::kOk);
  EXPECT_EQ(pair.far.read(bytes, sizeof bytes, deadline_in(1s)).bytes, 3u);
}

TEST(Socket, ShutDownWakesAReader) {
  Pair pair;
  std::thread waker([&] {
    std::this_thread::sleep_for(30ms);
    pair.near.shut_down();
  });
  char byte;
  EXPECT_EQ(pair.near.read(&byte, 1, deadline_in(10s)).status, Socket::Status::kClosed);
  waker.join();
}

TEST(Listener, TakenPortIsNamed) {
  auto first = Listener::open({.host = "127.0.0.1", .port = 0});
  ASSERT_TRUE(first.ok()) << first.error().message;
  ASSERT_NE(first->port(), 0);
  const auto second = Listener::open({.host = "127.0.0.1", .port = first->port()});
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, ErrorCode::kAlreadyExists);
  EXPECT_THAT(second.error().message, HasSubstr("127.0.0.1:" + std::to_string(first->port())));
}

TEST(Listener, RefusesHostsThatAreNotOurs) {
  const auto foreign = Listener::open({.host = "192.0.2.1", .port = 0});  // TEST-NET-1, RFC 5737
  ASSERT_FALSE(foreign.ok());
  EXPECT_EQ(foreign.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(foreign.error().message, HasSubstr("192.0.2.1"));
  const auto broken = Listener::open({.host = "no such host", .port = 0});
  ASSERT_FALSE(broken.ok());
  EXPECT_EQ(broken.error().code, ErrorCode::kInvalidArgument);
}

TEST(Listener, ListensOnIpv6) {
  auto listener = Listener::open({.host = "::1", .port = 0});
  if (!listener.ok()) GTEST_SKIP() << "no IPv6 loopback here: " << listener.error().message;
  EXPECT_NE(listener->port(), 0);
}

TEST(Listener, Accepts) {
  auto listener = Listener::open({});
  ASSERT_TRUE(listener.ok());
  Socket accepted;
  EXPECT_EQ(listener->accept(accepted), Listener::Outcome::kNone);
  testing::RawClient client(listener->port());
  ASSERT_TRUE(client.connected());
  EXPECT_EQ(listener->accept(accepted), Listener::Outcome::kAccepted);
  EXPECT_THAT(accepted.peer(), HasSubstr("127.0.0.1:"));
}

TEST(Listener, APeerThatDoesNotReadIsNoticedSoon) {
  auto listener = Listener::open({});
  ASSERT_TRUE(listener.ok());
  const testing::RawClient client(listener->port(), 4096);
  Socket accepted;
  ASSERT_EQ(listener->accept(accepted), Listener::Outcome::kAccepted);
  size_t taken = 0;
  while (taken < (size_t{4} << 20) && accepted.write_all(std::string(4096, 'x'), deadline_in(100ms)) == Socket::Status::kOk) taken += 4096;
  EXPECT_LT(taken, size_t{300} << 10);
}

TEST(Listener, KnowsLoopback) {
  for (const char* host : {"127.0.0.1", "127.8.9.10", "localhost", "::1"}) EXPECT_TRUE(is_loopback(host)) << host;
  for (const char* host : {"0.0.0.0", "::", "192.0.2.1", "no such host", ""}) EXPECT_FALSE(is_loopback(host)) << host;
}

}  // namespace
}  // namespace accelerate
