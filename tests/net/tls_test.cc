#include "accelerate/net/tls.h"

#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "accelerate/net/socket.h"
#include "tests/net/throwaway_certificate.h"
#include "tests/temporary.h"

namespace accelerate {
namespace {

using namespace std::chrono_literals;
using testing::make_certificate;
using testing::TlsClient;
using ::testing::HasSubstr;

class Tls : public ::testing::Test {
 protected:
  Tls() {
    int fds[2] = {-1, -1};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    server_ = Socket(fds[0]);
    client_fd_ = fds[1];
    auto context = TlsContext::load(make_certificate(folder_.path(), "server"));
    EXPECT_TRUE(context.ok()) << context.error().message;
    context_ = std::move(*context);
  }
  ~Tls() override { close_client(); }
  void close_client() {
    if (client_fd_ >= 0) ::close(client_fd_);
    client_fd_ = -1;
  }
  Error load_error(const TlsFiles& files) {
    const auto context = TlsContext::load(files);
    EXPECT_FALSE(context.ok());
    return context.ok() ? Error{} : context.error();
  }

  TemporaryFolder folder_;
  std::shared_ptr<const TlsContext> context_;
  Socket server_;
  int client_fd_ = -1;
};

TEST_F(Tls, CarriesBothWaysAndEndsProperly) {
  std::string heard, version;
  bool ended = false;
  const std::string large(size_t{3} << 20, 'x');  // many records, and more than the socket's buffers hold
  std::thread peer([&] {
    TlsClient client(client_fd_);
    ASSERT_TRUE(client.shaken());
    version = client.version();
    client.say("hello");
    heard = client.hear_all();
    ended = client.ended_properly();
  });
  ASSERT_EQ(server_.start_tls(*context_, deadline_in(10s)), Socket::Status::kOk);
  char bytes[16];
  const Socket::Read read = server_.read(bytes, sizeof bytes, deadline_in(10s));
  EXPECT_EQ(std::string(bytes, read.bytes), "hello");
  EXPECT_EQ(server_.read(bytes, sizeof bytes, deadline_in(50ms)).status, Socket::Status::kTimeout);
  EXPECT_EQ(server_.write_all(large, deadline_in(20s)), Socket::Status::kOk);
  server_.shut_down_sending();
  peer.join();
  EXPECT_EQ(version, "TLSv1.3");
  EXPECT_EQ(heard, large);
  EXPECT_TRUE(ended);
}

TEST_F(Tls, OldVersionsAreRefused) {
  bool shaken = true;
  std::thread peer([&] { shaken = TlsClient(client_fd_, TLS1_1_VERSION).shaken(); });
  EXPECT_EQ(server_.start_tls(*context_, deadline_in(10s)), Socket::Status::kClosed);
  server_ = Socket();
  peer.join();
  EXPECT_FALSE(shaken);
}

TEST_F(Tls, AHandshakeHasADeadline) {
  EXPECT_EQ(server_.start_tls(*context_, deadline_in(60ms)), Socket::Status::kTimeout);
  ASSERT_EQ(::send(client_fd_, "\x16\x03\x01", 3, 0), 3);
  EXPECT_EQ(server_.start_tls(*context_, deadline_in(60ms)), Socket::Status::kTimeout) << "a handshake that stops half way";
}

TEST_F(Tls, PlainTextIsNoHandshake) {
  ASSERT_GT(::send(client_fd_, "GET / HTTP/1.1\r\n\r\n", 18, 0), 0);
  EXPECT_EQ(server_.start_tls(*context_, deadline_in(10s)), Socket::Status::kClosed);
  char byte;
  EXPECT_EQ(server_.read(&byte, 1, deadline_in(1s)).status, Socket::Status::kClosed);
  EXPECT_EQ(server_.write_all("x", deadline_in(1s)), Socket::Status::kClosed) << "nothing goes out in the clear";
}

TEST_F(Tls, WritesToAGonePeerFailWithoutASignal) {
  std::thread peer([&] { TlsClient client(client_fd_); });
  ASSERT_EQ(server_.start_tls(*context_, deadline_in(10s)), Socket::Status::kOk);
  peer.join();
  close_client();
  EXPECT_TRUE(server_.peer_gone());
  EXPECT_EQ(server_.write_all(std::string(1 << 20, 'x'), deadline_in(5s)), Socket::Status::kClosed);
}

TEST_F(Tls, WritesHaveADeadline) {
  std::thread peer([&] {
    TlsClient client(client_fd_);
    EXPECT_TRUE(client.shaken());
  });
  ASSERT_EQ(server_.start_tls(*context_, deadline_in(10s)), Socket::Status::kOk);
  peer.join();
  EXPECT_EQ(server_.write_all(std::string(size_t{64} << 20, 'x'), deadline_in(100ms)), Socket::Status::kTimeout);
}

TEST_F(Tls, ErrorsNameTheFileAndTheCause) {
  const TlsFiles good = make_certificate(folder_.path(), "good"), other = make_certificate(folder_.path(), "other");
  const TlsFiles locked = make_certificate(folder_.path(), "locked", "secret");
  EXPECT_EQ(load_error({.certificate = folder_ / "none.crt", .key = good.key}).code, ErrorCode::kNotFound);
  EXPECT_THAT(load_error({.certificate = good.certificate, .key = folder_ / "none.key"}).message, HasSubstr("none.key"));
  std::ofstream(folder_ / "words.pem") << "words\n";
  EXPECT_THAT(load_error({.certificate = folder_ / "words.pem", .key = good.key}).message, HasSubstr("words.pem"));
  EXPECT_THAT(load_error({.certificate = good.certificate, .key = folder_ / "words.pem"}).message, HasSubstr("words.pem"));
  const Error mismatch = load_error({.certificate = good.certificate, .key = other.key});
  EXPECT_EQ(mismatch.code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(mismatch.message, HasSubstr("other.key"));
  EXPECT_THAT(mismatch.message, HasSubstr("mismatch"));
  EXPECT_THAT(load_error(locked).message, HasSubstr("passphrase"));
}

}  // namespace
}  // namespace accelerate
