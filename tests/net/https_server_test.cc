// The server behind TLS: what http_server_test.cc checks in the clear is not repeated here.
#include <atomic>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "accelerate/net/http_connection.h"
#include "accelerate/net/http_server.h"
#include "tests/net/raw_client.h"
#include "tests/net/throwaway_certificate.h"
#include "tests/temporary.h"

namespace accelerate {
namespace {

using namespace std::chrono_literals;
using testing::RawClient;
using ::testing::HasSubstr;

void echo(const HttpRequest& request, ResponseWriter& writer) { writer.send(200, {}, request.method + " " + request.path + "? " + request.body); }

bool within(std::chrono::milliseconds limit, const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

class HttpsServer : public ::testing::Test {
 protected:
  std::unique_ptr<HttpServer> start_secure(HttpHandler handler, HttpServerOptions options = {}) {
    auto context = TlsContext::load(testing::make_certificate(folder_.path(), "server"));
    EXPECT_TRUE(context.ok()) << context.error().message;
    options.tls = *context;
    auto server = HttpServer::start(options, std::move(handler));
    EXPECT_TRUE(server.ok()) << server.error().message;
    return std::move(*server);
  }
  TemporaryFolder folder_;
};

TEST_F(HttpsServer, KeepsConnectionsAndStreams) {
  const auto server = start_secure([](const HttpRequest& request, ResponseWriter& writer) {
    if (request.path != "/stream") return echo(request, writer);
    writer.begin_stream(200, {});
    for (const char* piece : {"one ", "two ", "three"}) writer.write(piece);
  });
  RawClient wire(server->port());
  testing::TlsClient client(wire.fd());
  ASSERT_TRUE(client.shaken());
  for (int i = 0; i < 2; ++i) {
    client.say("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    EXPECT_THAT(client.hear_some(), HasSubstr("GET /a? "));
    std::this_thread::sleep_for(2 * kStay);  // parked in between
  }
  client.say("GET /stream HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
  const std::string stream = client.hear_all();
  EXPECT_THAT(stream, HasSubstr("three"));
  EXPECT_THAT(stream, ::testing::EndsWith("0\r\n\r\n"));
  EXPECT_TRUE(client.ended_properly());
}

TEST_F(HttpsServer, SeesTheClientGoAndDrains) {
  std::atomic<bool> inside{false}, gone{false};
  const auto server = start_secure([&](const HttpRequest& request, ResponseWriter& writer) {
    inside = true;
    if (request.path == "/leave") gone = within(10s, [&] { return writer.client_gone(); });
    else std::this_thread::sleep_for(200ms);
    writer.send(200, {}, "done");
  });
  {
    RawClient wire(server->port());
    testing::TlsClient client(wire.fd());
    client.say("GET /leave HTTP/1.1\r\nhost: h\r\n\r\n");
    ASSERT_TRUE(within(5s, [&] { return inside.load(); }));
  }
  EXPECT_TRUE(within(5s, [&] { return gone.load(); }));
  inside = false;
  RawClient wire(server->port());
  testing::TlsClient client(wire.fd());
  client.say("GET /work HTTP/1.1\r\nhost: h\r\n\r\n");
  ASSERT_TRUE(within(5s, [&] { return inside.load(); }));
  server->stop(10s);
  EXPECT_THAT(client.hear_all(), ::testing::AllOf(HasSubstr("connection: close"), HasSubstr("done")));
}

TEST_F(HttpsServer, ASilentOrPlainClientIsNotWaitedFor) {
  HttpServerOptions options;
  options.timeouts.header = 100ms;
  const auto server = start_secure(echo, options);
  RawClient plain(server->port()), half(server->port());
  plain.say("GET / HTTP/1.1\r\nhost: h\r\n\r\n");
  half.say("\x16\x03\x01");
  EXPECT_EQ(plain.hear_response().status, 0);
  EXPECT_TRUE(half.at_end());
  EXPECT_TRUE(within(5s, [&] { return server->connections() == 0; }));
}

}  // namespace
}  // namespace accelerate
