// HttpConnection over a socket pair, without a server: what the server's tests cannot see from outside.
#include "accelerate/net/http_connection.h"

#include <sys/socket.h>

#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace accelerate {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

struct Line {
  Line() {
    int fds[2] = {-1, -1};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    server = Socket(fds[0]);
    client = Socket(fds[1]);
  }
  std::string hear() {
    std::string out;
    char bytes[4096];
    for (;;) {
      const Socket::Read read = client.read(bytes, sizeof bytes, deadline_in(5s));
      if (read.status != Socket::Status::kOk) return out;
      out.append(bytes, read.bytes);
    }
  }
  Socket server, client;
};

TEST(HttpConnection, HoldsBodiesOnlyWhileAnswering) {
  HttpShared shared;
  size_t held_inside = 0;
  bool busy_inside = false;
  Line line;
  HttpConnection connection(line.server, shared);
  shared.handler = [&](const HttpRequest&, ResponseWriter& writer) {
    held_inside = shared.body_bytes_held;
    busy_inside = connection.busy();
    writer.send(200, {}, "");
  };
  std::thread thread([&] { connection.serve(); });
  line.client.write_all("POST / HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello", deadline_in(1s));
  EXPECT_THAT(line.hear(), HasSubstr("200 OK"));
  thread.join();
  EXPECT_EQ(held_inside, 5u);
  EXPECT_TRUE(busy_inside);
  EXPECT_EQ(shared.body_bytes_held, 0u);
  EXPECT_FALSE(connection.busy());
}

TEST(HttpConnection, ReleasesTheBodyOfARefusedRequest) {
  HttpShared shared;
  shared.options.timeouts.body = 50ms;
  shared.options.timeouts.linger = 50ms;
  shared.handler = [](const HttpRequest&, ResponseWriter&) { FAIL() << "the request never came whole"; };
  Line line;
  HttpConnection connection(line.server, shared);
  std::thread thread([&] { connection.serve(); });
  line.client.write_all("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nhel", deadline_in(1s));
  EXPECT_THAT(line.hear(), HasSubstr("408"));
  thread.join();
  EXPECT_EQ(shared.body_bytes_held, 0u);
}

TEST(HttpConnection, RefusesOnceStopping) {
  HttpShared shared;
  shared.stopping = true;
  shared.options.timeouts.linger = 50ms;
  shared.handler = [](const HttpRequest&, ResponseWriter&) { FAIL() << "a stopping server starts nothing"; };
  Line line;
  HttpConnection connection(line.server, shared);
  std::thread thread([&] { connection.serve(); });
  line.client.write_all("GET / HTTP/1.1\r\nhost: h\r\n\r\n", deadline_in(1s));
  EXPECT_THAT(line.hear(), HasSubstr("503"));
  thread.join();
}

TEST(HttpConnection, AnIdleOneGoesOnWhereItWas) {
  HttpShared shared;
  shared.handler = [](const HttpRequest& request, ResponseWriter& writer) { writer.send(200, {}, request.path); };
  Line line;
  HttpConnection connection(line.server, shared);
  char bytes[4096];
  for (const char* path : {"/one", "/two"}) {
    ASSERT_EQ(line.client.write_all(std::string("GET ") + path + " HTTP/1.1\r\nhost: h\r\n\r\n", deadline_in(1s)), Socket::Status::kOk);
    EXPECT_EQ(connection.serve(), HttpConnection::End::kIdle);
    const Socket::Read read = line.client.read(bytes, sizeof bytes, deadline_in(1s));
    EXPECT_THAT(std::string(bytes, read.bytes), HasSubstr(path));
  }
  line.client = Socket();
  EXPECT_EQ(connection.serve(), HttpConnection::End::kClosed);
}

}  // namespace
}  // namespace accelerate
