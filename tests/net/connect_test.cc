#include "accelerate/net/connect.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace accelerate {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

TEST(Connect, ReachesAListenerByNameAndByAddress) {
  auto listener = Listener::open({});
  ASSERT_TRUE(listener.ok());
  for (const char* host : {"127.0.0.1", "localhost"}) {
    auto socket = connect_tcp(host, listener->port(), {.deadline = deadline_in(5s)});
    ASSERT_TRUE(socket.ok()) << host << ": " << socket.error().message;
    Socket peer;
    ASSERT_TRUE(wait_for_fd(listener->fd(), 1 /* POLLIN */, deadline_in(5s)));
    ASSERT_EQ(listener->accept(peer), Listener::Outcome::kAccepted);
    EXPECT_EQ(socket->write_all("x", deadline_in(1s)), Socket::Status::kOk);
    char byte;
    EXPECT_EQ(peer.read(&byte, 1, deadline_in(1s)).bytes, 1u);
  }
}

TEST(Connect, ARefusalNamesHostAndCause) {
  uint16_t port = 0;
  {
    auto listener = Listener::open({});
    port = listener->port();
  }
  const auto socket = connect_tcp("127.0.0.1", port, {.deadline = deadline_in(5s)});
  ASSERT_FALSE(socket.ok());
  EXPECT_EQ(socket.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(socket.error().message, HasSubstr("127.0.0.1:" + std::to_string(port)));
  EXPECT_THAT(socket.error().message, HasSubstr("refused"));
}

TEST(Connect, AnUnknownNameIsSaid) {
  const auto socket = connect_tcp("no-such-host.invalid", 80, {.deadline = deadline_in(30s)});
  ASSERT_FALSE(socket.ok());
  EXPECT_TRUE(socket.error().code == ErrorCode::kUnavailable || socket.error().code == ErrorCode::kDeadlineExceeded);
  EXPECT_THAT(socket.error().message, HasSubstr("no-such-host.invalid"));
}

// A listener whose queue of connections is full: further ones hang, as with a host that drops packets.
class FullListener {
 public:
  FullListener() {
    auto opened = Listener::open({.backlog = 0});
    EXPECT_TRUE(opened.ok());
    listener_ = std::move(*opened);
    for (int i = 0; i < 4; ++i) {
      auto held = connect_tcp("127.0.0.1", listener_.port(), {.deadline = deadline_in(200ms)});
      if (held) held_.push_back(std::move(*held));
    }
  }
  uint16_t port() const { return listener_.port(); }

 private:
  Listener listener_;
  std::vector<Socket> held_;
};

TEST(Connect, HasADeadline) {
  const FullListener full;
  const auto start = std::chrono::steady_clock::now();
  const auto socket = connect_tcp("127.0.0.1", full.port(), {.deadline = deadline_in(150ms)});
  ASSERT_FALSE(socket.ok());
  EXPECT_EQ(socket.error().code, ErrorCode::kDeadlineExceeded) << socket.error().message;
  EXPECT_LT(std::chrono::steady_clock::now() - start, 5s);
}

TEST(Connect, ObeysAStop) {
  const FullListener full;
  std::atomic<bool> stop{false};
  std::thread stopper([&] {
    std::this_thread::sleep_for(50ms);
    stop = true;
  });
  const auto start = std::chrono::steady_clock::now();
  const auto socket = connect_tcp("127.0.0.1", full.port(), {.deadline = deadline_in(60s), .stop = &stop});
  stopper.join();
  ASSERT_FALSE(socket.ok());
  EXPECT_EQ(socket.error().code, ErrorCode::kCancelled) << socket.error().message;
  EXPECT_LT(std::chrono::steady_clock::now() - start, 10s);
}

TEST(Connect, TheSocketObeysTheStopToo) {
  auto listener = Listener::open({});
  std::atomic<bool> stop{false};
  auto socket = connect_tcp("127.0.0.1", listener->port(), {.deadline = deadline_in(5s), .stop = &stop});
  ASSERT_TRUE(socket.ok());
  stop = true;
  char byte;
  EXPECT_EQ(socket->read(&byte, 1, deadline_in(60s)).status, Socket::Status::kTimeout);
}

}  // namespace
}  // namespace accelerate
