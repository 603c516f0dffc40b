#include "accelerate/net/http_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "accelerate/net/http_server.h"
#include "tests/net/raw_server.h"
#include "tests/net/throwaway_certificate.h"
#include "tests/temporary.h"

namespace accelerate {
namespace {

using namespace std::chrono_literals;
using testing::RawServer;
using ::testing::HasSubstr;
using ::testing::Not;

const HttpClient& client() {
  static const HttpClient made({.trust = nullptr, .proxies = {}});
  return made;
}

// The error of a call that must fail.
Error error_of(const HttpCall& call, const HttpReceiver& receiver = {}, const HttpClient& with = client()) {
  const auto response = with.request(call, receiver);
  EXPECT_FALSE(response.ok()) << call.url << " answered " << response->status;
  return response.ok() ? Error{} : response.error();
}

Error error_of_answer(const std::string& bytes, HttpCall call = {}) {
  const RawServer server([&](Socket& peer, const std::string&) { RawServer::say(peer, bytes); });
  call.url = server.url("/x?key=secret");
  const Error error = error_of(call);
  EXPECT_THAT(error.message, HasSubstr("127.0.0.1:" + std::to_string(server.port()))) << "errors name the host";
  EXPECT_THAT(error.message, Not(HasSubstr("secret")));
  return error;
}

std::unique_ptr<HttpServer> serve(HttpHandler handler, HttpServerOptions options = {}) {
  auto server = HttpServer::start(options, std::move(handler));
  EXPECT_TRUE(server.ok()) << server.error().message;
  return std::move(*server);
}

std::string at(const HttpServer& server, const std::string& path, const std::string& host = "127.0.0.1", const std::string& scheme = "http") {
  return scheme + "://" + host + ":" + std::to_string(server.port()) + path;
}

TEST(HttpClient, AsksAndReads) {
  const auto server = serve([](const HttpRequest& request, ResponseWriter& writer) {
    const std::string* type = request.header("content-type");
    writer.send(request.path == "/none" ? 404 : 200, {{"x-answer", "yes"}},
                request.method + " " + request.path + "?" + request.query + " " + (type ? *type : "") + " " + request.body + " " + *request.header("host"));
  });
  const auto page = client().request({.url = at(*server, "/a?b=c")});
  ASSERT_TRUE(page.ok()) << page.error().message;
  EXPECT_EQ(page->status, 200);
  EXPECT_EQ(page->body, "GET /a?b=c   127.0.0.1:" + std::to_string(server->port()));
  EXPECT_EQ(*page->header("X-Answer"), "yes");
  EXPECT_EQ(page->url, at(*server, "/a?b=c"));
  const auto posted = client().request({.method = "POST", .url = at(*server, "/p"), .headers = {{"content-type", "text/plain"}}, .body = std::string(1 << 20, 'y')});
  ASSERT_TRUE(posted.ok()) << posted.error().message;
  EXPECT_THAT(posted->body, HasSubstr("POST /p? text/plain yyy"));
  EXPECT_GT(posted->body.size(), size_t{1} << 20);
  EXPECT_EQ(client().request({.url = at(*server, "/none")})->status, 404) << "a status is no error";
  const auto head = client().request({.method = "HEAD", .url = at(*server, "/a")});
  ASSERT_TRUE(head.ok()) << head.error().message;
  EXPECT_EQ(head->body, "");
}

TEST(HttpClient, HandsPiecesOnAsTheyCome) {
  std::atomic<int> heard{0};
  const auto server = serve([&](const HttpRequest&, ResponseWriter& writer) {
    writer.begin_stream(200, {{"content-type", "text/event-stream"}});
    for (int i = 0; i < 3; ++i) {
      writer.write("data: " + std::to_string(i) + "\n\n");
      const auto limit = deadline_in(10s);
      while (heard <= i && std::chrono::steady_clock::now() < limit) std::this_thread::sleep_for(1ms);  // the next comes only once this one is heard
    }
  });
  std::string all;
  int heads = 0;
  const auto end = client().request({.url = at(*server, "/")}, {.head = [&](const HttpResponse& head) -> Result<void> {
                                                                  heads += head.status;
                                                                  return {};
                                                                },
                                                                .body = [&](std::string_view piece) -> Result<void> {
                                                                  all += piece;
                                                                  heard = static_cast<int>(std::count(all.begin(), all.end(), ':'));
                                                                  return {};
                                                                }});
  ASSERT_TRUE(end.ok()) << end.error().message;
  EXPECT_EQ(heads, 200);
  EXPECT_EQ(all, "data: 0\n\ndata: 1\n\ndata: 2\n\n");
  EXPECT_EQ(end->body, "");
}

TEST(HttpClient, AReceiverMayRefuse) {
  const auto server = serve([](const HttpRequest&, ResponseWriter& writer) { writer.send(200, {}, "body"); });
  const Error refusal{ErrorCode::kAborted, "no"};
  EXPECT_EQ(error_of({.url = at(*server, "/")}, {.head = [&](const HttpResponse&) -> Result<void> { return refusal; }, .body = {}}).message, "no");
  EXPECT_EQ(error_of({.url = at(*server, "/")}, {.head = {}, .body = [&](std::string_view) -> Result<void> { return refusal; }}).code, ErrorCode::kAborted);
}

TEST(HttpClient, CutOffBodiesAreErrors) {
  EXPECT_EQ(error_of_answer("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").code, ErrorCode::kDataLoss);
  EXPECT_EQ(error_of_answer("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel").code, ErrorCode::kDataLoss);
  EXPECT_EQ(error_of_answer("HTTP/1.1 200 OK\r\nx: ").code, ErrorCode::kDataLoss);
  EXPECT_EQ(error_of_answer("").code, ErrorCode::kUnavailable);
  EXPECT_EQ(error_of_answer("SSH-2.0-OpenSSH\r\n\r\n").code, ErrorCode::kDataLoss);
  EXPECT_EQ(error_of_answer("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 1\r\n\r\nx").code, ErrorCode::kUnimplemented);
}

TEST(HttpClient, AResetInAnEndlessBodyIsNoEnd) {
  const auto ask = [](bool reset) {
    const RawServer server([&](Socket& peer, const std::string&) {
      RawServer::say(peer, "HTTP/1.0 200 OK\r\n\r\nall of it");
      std::this_thread::sleep_for(50ms);
      if (reset) RawServer::reset(peer);
    });
    return client().request({.url = server.url()});
  };
  const auto whole = ask(false);
  ASSERT_TRUE(whole.ok()) << whole.error().message;
  EXPECT_EQ(whole->body, "all of it");
  const auto cut = ask(true);
  ASSERT_FALSE(cut.ok());
  EXPECT_EQ(cut.error().code, ErrorCode::kDataLoss);
  EXPECT_THAT(cut.error().message, HasSubstr("reset"));
}

TEST(HttpClient, LimitsHold) {
  EXPECT_EQ(error_of_answer("HTTP/1.1 200 OK\r\nx: " + std::string(1 << 20, 'x')).code, ErrorCode::kResourceExhausted);
  std::string many = "HTTP/1.1 200 OK\r\n";
  for (int i = 0; i < 1000; ++i) many += "a: b\r\n";
  EXPECT_EQ(error_of_answer(many + "\r\n").code, ErrorCode::kResourceExhausted);
  EXPECT_EQ(error_of_answer("HTTP/1.1 200 OK\r\ncontent-length: 101\r\n\r\n", {.limits = {.body_bytes_max = 100}}).code, ErrorCode::kResourceExhausted) << "before a byte of it";
  EXPECT_EQ(error_of_answer("HTTP/1.0 200 OK\r\n\r\n" + std::string(101, 'x'), {.limits = {.body_bytes_max = 100}}).code, ErrorCode::kResourceExhausted);
  std::string interim;
  for (int i = 0; i < 20; ++i) interim += "HTTP/1.1 103 Early Hints\r\n\r\n";
  EXPECT_EQ(error_of_answer(interim).code, ErrorCode::kDataLoss);
}

TEST(HttpClient, InterimResponsesAreNotTheAnswer) {
  const RawServer server([](Socket& peer, const std::string&) {
    RawServer::say(peer, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
  });
  const auto page = client().request({.url = server.url()});
  ASSERT_TRUE(page.ok()) << page.error().message;
  EXPECT_EQ(page->body, "ok");
}

TEST(HttpClient, AnAnswerBeforeTheRequestIsReadIsHeard) {
  const RawServer server([](Socket& peer, const std::string&) {
    RawServer::say(peer, "HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nbig");
    peer.shut_down_sending();
    char bytes[65536];
    while (peer.read(bytes, sizeof bytes, deadline_in(5s)).status == Socket::Status::kOk) {
    }
  });
  const auto page = client().request({.method = "POST", .url = server.url(), .body = std::string(4 << 20, 'x')});
  ASSERT_TRUE(page.ok()) << page.error().message;
  EXPECT_EQ(page->status, 413);
}

TEST(HttpClient, TimesRunOut) {
  const RawServer server([](Socket& peer, const std::string& request) {
    if (request.starts_with("GET /slow")) {
      RawServer::say(peer, "HTTP/1.1 200 OK\r\n\r\n");
      for (int i = 0; i < 100 && !peer.peer_gone(); ++i) {
        RawServer::say(peer, "x");
        std::this_thread::sleep_for(10ms);
      }
    } else {
      char byte;
      (void)peer.read(&byte, 1, deadline_in(20s));
    }
  });
  const auto start = std::chrono::steady_clock::now();
  Error error = error_of({.url = server.url(), .timeouts = {.idle = 80ms, .total = {}}});
  EXPECT_EQ(error.code, ErrorCode::kDeadlineExceeded);
  EXPECT_THAT(error.message, HasSubstr("80 ms"));
  error = error_of({.url = server.url("/slow"), .timeouts = {.total = 150ms}});
  EXPECT_EQ(error.code, ErrorCode::kDeadlineExceeded) << "bytes that trickle do not keep it alive";
  error = error_of({.url = server.url(), .deadline = deadline_in(50ms)});
  EXPECT_EQ(error.code, ErrorCode::kDeadlineExceeded);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 8s);
}

TEST(HttpClient, AStopIsObeyedWhereverItComes) {
  const RawServer server([](Socket& peer, const std::string& request) {
    if (request.starts_with("GET /body")) RawServer::say(peer, "HTTP/1.1 200 OK\r\n\r\nx");
    char byte;
    (void)peer.read(&byte, 1, deadline_in(20s));
  });
  for (const char* path : {"/head", "/body"}) {
    std::atomic<bool> stop{false};
    std::chrono::steady_clock::time_point when;
    std::thread stopper([&] {
      std::this_thread::sleep_for(60ms);
      when = std::chrono::steady_clock::now();
      stop = true;
    });
    const Error error = error_of({.url = server.url(path), .stop = &stop});
    stopper.join();
    EXPECT_EQ(error.code, ErrorCode::kCancelled) << error.message;
    EXPECT_LT(std::chrono::steady_clock::now() - when, 2s);
  }
}

TEST(HttpClient, FollowsRedirects) {
  std::string secrets;
  const auto other = serve([&](const HttpRequest& request, ResponseWriter& writer) {
    secrets = (request.header("authorization") ? "authorization " : "") + std::string(request.header("x-api-key") ? "key " : "") + (request.header("range") ? "range" : "");
    writer.send(200, {}, "arrived");
  });
  const auto server = serve([&](const HttpRequest& request, ResponseWriter& writer) {
    if (request.path == "/loop") return void(writer.send(302, {{"location", "/loop"}}, ""));
    if (request.path == "/away") return void(writer.send(307, {{"location", at(*other, "/there")}, {"etag", "e"}}, ""));
    if (request.path == "/near") return void(writer.send(301, {{"location", "here?x=1"}}, ""));
    if (request.path == "/bad") return void(writer.send(302, {{"location", "ftp://x/"}}, ""));
    if (request.path == "/bare") return void(writer.send(302, {}, "no location"));
    writer.send(200, {}, request.path + request.query + (request.header("authorization") ? " known" : ""));
  });
  const HttpHeaders headers{{"Authorization", "Bearer secret"}, {"X-Api-Key", "secret"}, {"Range", "bytes=0-"}};
  auto page = client().request({.url = at(*server, "/near"), .headers = headers});
  ASSERT_TRUE(page.ok()) << page.error().message;
  EXPECT_EQ(page->body, "/herex=1 known");
  EXPECT_EQ(page->url, at(*server, "/here?x=1"));
  page = client().request({.url = at(*server, "/away"), .headers = headers});
  ASSERT_TRUE(page.ok()) << page.error().message;
  EXPECT_EQ(page->body, "arrived");
  EXPECT_EQ(secrets, "range");
  page = client().request({.url = at(*server, "/away"), .redirects = HttpCall::Redirects::kSameOrigin});
  ASSERT_TRUE(page.ok()) << page.error().message;
  EXPECT_EQ(page->status, 307);
  EXPECT_EQ(*page->header("etag"), "e");
  page = client().request({.url = at(*server, "/near"), .redirects = HttpCall::Redirects::kSameOrigin});
  EXPECT_EQ(page->status, 200);
  page = client().request({.url = at(*server, "/near"), .redirects = HttpCall::Redirects::kReturn});
  EXPECT_EQ(page->status, 301);
  EXPECT_EQ(client().request({.url = at(*server, "/bare")})->status, 302);
  EXPECT_EQ(error_of({.url = at(*server, "/loop")}).code, ErrorCode::kFailedPrecondition);
  EXPECT_EQ(error_of({.url = at(*server, "/bad")}).code, ErrorCode::kDataLoss);
  const Error posted = error_of({.method = "POST", .url = at(*server, "/away"), .body = "x"});
  EXPECT_EQ(posted.code, ErrorCode::kFailedPrecondition);
  EXPECT_THAT(posted.message, HasSubstr("/there"));
}

TEST(HttpClient, RefusesCallsThatWouldForgeOthers) {
  const auto code = [](const HttpCall& call) { return error_of(call).code; };
  for (const HttpCall& call : {HttpCall{.method = "GET /x HTTP/1.1\r\n", .url = "http://127.0.0.1:1/"}, HttpCall{.method = "", .url = "http://127.0.0.1:1/"},
                               HttpCall{.url = "http://127.0.0.1:1/", .headers = {{"a", "b\r\nc: d"}}}, HttpCall{.url = "http://127.0.0.1:1/", .headers = {{"a b", "c"}}},
                               HttpCall{.url = "http://127.0.0.1:1/", .headers = {{"Host", "c"}}}, HttpCall{.url = "http://a b/"}}) {
    EXPECT_EQ(code(call), ErrorCode::kInvalidArgument);
  }
}

class HttpsClient : public ::testing::Test {
 protected:
  std::unique_ptr<HttpServer> start(const char* hosts) {
    files_ = testing::make_certificate(folder_.path(), "127.0.0.1", nullptr, hosts);
    auto context = TlsContext::load(files_);
    EXPECT_TRUE(context.ok());
    HttpServerOptions options;
    options.tls = *context;
    return serve([](const HttpRequest& request, ResponseWriter& writer) { writer.send(200, {}, "secret of " + request.path); }, options);
  }
  HttpClient believing() {
    auto trust = TlsContext::client({.authorities = files_.certificate});
    EXPECT_TRUE(trust.ok()) << trust.error().message;
    return HttpClient({.trust = *trust, .proxies = {}});
  }
  TemporaryFolder folder_;
  TlsFiles files_;
};

TEST_F(HttpsClient, SpeaksToWhoProvesItsName) {
  const auto server = start("DNS:localhost,IP:127.0.0.1");
  for (const char* host : {"127.0.0.1", "localhost"}) {
    const auto page = believing().request({.url = at(*server, "/a", host, "https")});
    ASSERT_TRUE(page.ok()) << page.error().message;
    EXPECT_EQ(page->body, "secret of /a");
  }
}

TEST_F(HttpsClient, RefusesStrangersAndOtherHosts) {
  auto server = start("DNS:localhost");
  Error error = error_of({.url = at(*server, "/", "localhost", "https")});  // the system's authorities know nothing of it
  EXPECT_EQ(error.code, ErrorCode::kFailedPrecondition);
  EXPECT_THAT(error.message, HasSubstr("self-signed"));
  EXPECT_THAT(error.message, HasSubstr("localhost:"));
  error = error_of({.url = at(*server, "/", "127.0.0.1", "https")}, {}, believing());
  EXPECT_THAT(error.message, HasSubstr("IP address mismatch"));
  server = start("DNS:other.test");
  error = error_of({.url = at(*server, "/", "localhost", "https")}, {}, believing());
  EXPECT_THAT(error.message, HasSubstr("hostname mismatch"));
  server = start(nullptr);
  error = error_of({.url = at(*server, "/", "127.0.0.1", "https")}, {}, believing());
  EXPECT_THAT(error.message, HasSubstr("mismatch")) << "the common name proves nothing";
}

TEST_F(HttpsClient, RefusesPlainAnswersAndSilence) {
  const RawServer plain([](Socket& peer, const std::string&) { RawServer::say(peer, "HTTP/1.1 200 OK\r\n\r\n"); });
  const std::string url = "https://127.0.0.1:" + std::to_string(plain.port()) + "/";
  const Error error = error_of({.url = url, .timeouts = {.connect = 300ms, .total = {}}});
  EXPECT_TRUE(error.code == ErrorCode::kFailedPrecondition || error.code == ErrorCode::kDeadlineExceeded) << error.message;
}

TEST_F(HttpsClient, NeverGoesBackToTheClear) {
  const auto clear = serve([](const HttpRequest&, ResponseWriter& writer) { writer.send(200, {}, "clear"); });
  files_ = testing::make_certificate(folder_.path(), "x", nullptr, "IP:127.0.0.1");
  HttpServerOptions options;
  options.tls = *TlsContext::load(files_);
  const auto server = serve([&](const HttpRequest&, ResponseWriter& writer) { writer.send(302, {{"location", at(*clear, "/")}}, ""); }, options);
  const Error error = error_of({.url = at(*server, "/", "127.0.0.1", "https")}, {}, believing());
  EXPECT_EQ(error.code, ErrorCode::kFailedPrecondition);
  EXPECT_THAT(error.message, HasSubstr("https to http"));
}

TEST(HttpClientProxy, AsksTheProxyForTheWholeUrl) {
  std::string heard;
  const RawServer proxy([&](Socket& peer, const std::string& request) {
    heard = request;
    RawServer::say(peer, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nproxy");
  });
  const HttpClient through({.trust = nullptr, .proxies = {.http = "http://u:p@127.0.0.1:" + std::to_string(proxy.port())}});
  const auto page = through.request({.url = "http://model.test:81/a?b"});
  ASSERT_TRUE(page.ok()) << page.error().message;
  EXPECT_EQ(page->body, "proxy");
  EXPECT_THAT(heard, HasSubstr("GET http://model.test:81/a?b HTTP/1.1\r\nHost: model.test:81\r\n"));
  EXPECT_THAT(heard, HasSubstr("Proxy-Authorization: Basic dTpw\r\n"));
}

TEST_F(HttpsClient, TunnelsThroughAProxy) {
  const auto server = start("DNS:model.test");
  std::string heard;
  const RawServer proxy([&](Socket& peer, const std::string& request) {
    heard += request.substr(0, request.find("\r\n"));
    if (request.starts_with("CONNECT refused.test")) return RawServer::say(peer, "HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n");
    if (request.starts_with("CONNECT silent.test")) return;
    auto far = Socket();
    if (auto made = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); made >= 0) far = Socket(made);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(server->port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(::connect(far.fd(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    RawServer::say(peer, "HTTP/1.1 200 Connection established\r\n\r\n");
    std::thread up([&] {
      char bytes[4096];
      for (Socket::Read read; (read = peer.read(bytes, sizeof bytes, deadline_in(5s))).status == Socket::Status::kOk;) RawServer::say(far, {bytes, read.bytes});
      far.shut_down();
    });
    char bytes[4096];
    for (Socket::Read read; (read = far.read(bytes, sizeof bytes, deadline_in(5s))).status == Socket::Status::kOk;) RawServer::say(peer, {bytes, read.bytes});
    peer.shut_down();
    up.join();
  });
  const HttpClient through({.trust = *TlsContext::client({.authorities = files_.certificate}), .proxies = {.https = "127.0.0.1:" + std::to_string(proxy.port())}});
  const auto page = through.request({.url = "https://model.test/a"});
  ASSERT_TRUE(page.ok()) << page.error().message;
  EXPECT_EQ(page->body, "secret of /a");
  EXPECT_EQ(heard, "CONNECT model.test:443 HTTP/1.1");
  const Error refused = error_of({.url = "https://refused.test/"}, {}, through);
  EXPECT_EQ(refused.code, ErrorCode::kUnavailable);
  EXPECT_THAT(refused.message, HasSubstr("407"));
  EXPECT_EQ(error_of({.url = "https://silent.test/"}, {}, through).code, ErrorCode::kUnavailable);
}

}  // namespace
}  // namespace accelerate
