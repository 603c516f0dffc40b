#include "accelerate/net/http_server.h"

#include <atomic>
#include <filesystem>
#include <stdexcept>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/net/raw_client.h"

namespace accelerate {
namespace {

using namespace std::chrono_literals;
using testing::RawClient;
using testing::RawResponse;
using ::testing::HasSubstr;
using ::testing::StartsWith;

void echo(const HttpRequest& request, ResponseWriter& writer) {
  writer.send(200, {{"content-type", "text/plain"}}, request.method + " " + request.path + "?" + request.query + " " + request.body);
}

std::unique_ptr<HttpServer> start(HttpHandler handler = echo, HttpServerOptions options = {}) {
  auto server = HttpServer::start(options, std::move(handler));
  EXPECT_TRUE(server.ok()) << server.error().message;
  return std::move(*server);
}

bool within(std::chrono::milliseconds limit, const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

TEST(HttpServer, AnswersSeveralRequestsOnOneConnection) {
  const auto server = start();
  RawClient client(server->port());
  for (int i = 0; i < 3; ++i) {
    const RawResponse response = client.ask("POST", fmt::format("/a?b={}", i), "body");
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.body, fmt::format("POST /a?b={} body", i));
    EXPECT_EQ(response.headers.at("connection"), "keep-alive");
    EXPECT_THAT(response.headers.at("date"), HasSubstr(" GMT"));
  }
}

TEST(HttpServer, AnswersPipelinedRequestsInOrder) {
  const auto server = start();
  RawClient client(server->port());
  client.say("GET /1 HTTP/1.1\r\nhost: h\r\n\r\nGET /2 HTTP/1.1\r\nhost: h\r\n\r\nGET /3 HTTP/1.1\r\nhost: h\r\n\r\n");
  for (const char* path : {"/1", "/2", "/3"}) EXPECT_THAT(client.hear_response().body, HasSubstr(path));
}

TEST(HttpServer, ClosesWhenAsked) {
  const auto server = start();
  RawClient client(server->port());
  const RawResponse response = client.ask("GET", "/", "", "connection: close\r\n");
  EXPECT_EQ(response.headers.at("connection"), "close");
  EXPECT_TRUE(client.at_end());
  RawClient old(server->port());
  old.say("GET / HTTP/1.0\r\n\r\n");
  EXPECT_EQ(old.hear_response().status, 200);
  EXPECT_TRUE(old.at_end());
}

TEST(HttpServer, HeadHasHeadersOnly) {
  const auto server = start();
  RawClient client(server->port());
  const RawResponse head = client.ask("HEAD", "/");
  EXPECT_EQ(head.status, 200);
  EXPECT_GT(std::stoi(head.headers.at("content-length")), 0);
  EXPECT_EQ(client.ask("GET", "/next").body, "GET /next? ") << "no body byte may lie between two answers";
}

TEST(HttpServer, StreamsInChunks) {
  const auto server = start([](const HttpRequest&, ResponseWriter& writer) {
    writer.begin_stream(200, {{"content-type", "text/event-stream"}});
    writer.write("one");
    writer.write("");
    writer.write("two");
  });
  RawClient client(server->port());
  const RawResponse response = client.ask("GET", "/");
  EXPECT_EQ(response.headers.at("transfer-encoding"), "chunked");
  EXPECT_EQ(response.body, "onetwo");
  EXPECT_TRUE(response.whole);
  EXPECT_EQ(client.ask("GET", "/").body, "onetwo") << "the connection is kept after a stream";
  RawClient old(server->port());
  old.say("GET / HTTP/1.0\r\n\r\n");
  const RawResponse unchunked = old.hear_response();
  EXPECT_EQ(unchunked.headers.count("transfer-encoding"), 0u);
  EXPECT_EQ(unchunked.body, "onetwo");
}

TEST(HttpServer, PiecesArriveWhileTheHandlerRuns) {
  std::atomic<bool> heard{false};
  const auto server = start([&](const HttpRequest&, ResponseWriter& writer) {
    writer.begin_stream(200, {});
    writer.write("first");
    EXPECT_TRUE(within(5s, [&] { return heard.load(); }));
  });
  RawClient client(server->port());
  client.say("GET / HTTP/1.1\r\nhost: h\r\n\r\n");
  EXPECT_THAT(client.hear_until("first"), HasSubstr("first"));
  heard = true;
}

TEST(HttpServer, HeaderValuesCannotSmuggleLines) {
  const auto server = start([](const HttpRequest&, ResponseWriter& writer) { writer.send(200, {{"x-name", "a\r\nevil: 1"}}, ""); });
  RawClient client(server->port());
  const RawResponse response = client.ask("GET", "/");
  EXPECT_EQ(response.headers.count("evil"), 0u);
  EXPECT_EQ(response.headers.at("x-name"), "a  evil: 1");
}

TEST(HttpServer, SeesTheClientGo) {
  std::atomic<bool> running{false}, gone{false};
  const auto server = start([&](const HttpRequest&, ResponseWriter& writer) {
    EXPECT_FALSE(writer.client_gone());
    running = true;
    gone = within(5s, [&] { return writer.client_gone(); });
  });
  RawClient client(server->port());
  client.say("GET / HTTP/1.1\r\nhost: h\r\n\r\n");
  ASSERT_TRUE(within(5s, [&] { return running.load(); }));
  client.close();
  EXPECT_TRUE(within(5s, [&] { return gone.load(); }));
}

TEST(HttpServer, WriteFailsOnceTheClientIsGone) {
  std::atomic<bool> failed{false};
  const auto server = start([&](const HttpRequest&, ResponseWriter& writer) {
    writer.begin_stream(200, {});
    failed = within(5s, [&] { return !writer.write("token"); });
  });
  {
    RawClient client(server->port());
    client.say("GET / HTTP/1.1\r\nhost: h\r\n\r\n");
    client.hear_until("token");
  }
  EXPECT_TRUE(within(5s, [&] { return failed.load(); }));
}

TEST(HttpServer, APeerThatDoesNotReadIsGivenUp) {
  std::atomic<bool> failed{false};
  HttpServerOptions options;
  options.timeouts.write = 100ms;
  const auto server = start([&](const HttpRequest&, ResponseWriter& writer) {
    writer.begin_stream(200, {});
    failed = within(10s, [&] { return !writer.write(std::string(1 << 20, 'x')); });
  }, options);
  RawClient client(server->port(), 4096);
  client.say("GET / HTTP/1.1\r\nhost: h\r\n\r\n");
  EXPECT_TRUE(within(10s, [&] { return failed.load(); }));
}

TEST(HttpServer, LargeBodyIsRefusedBeforeItIsRead) {
  HttpServerOptions options;
  options.body_bytes_max = 1000;
  const auto server = start(echo, options);
  RawClient client(server->port());
  EXPECT_EQ(client.ask("POST", "/", std::string(1000, 'x')).status, 200);
  client.say("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 100000000\r\n\r\n");
  EXPECT_EQ(client.hear_response().status, 413) << "no byte of the body was sent";
}

TEST(HttpServer, AClientThatSendsItsLargeBodyReadsTheRefusal) {
  const auto server = start();
  RawClient client(server->port());
  const RawResponse response = client.ask("POST", "/", std::string(size_t{100} << 20, 'x'));
  EXPECT_EQ(response.status, 413);
  EXPECT_THAT(response.body, HasSubstr("at most"));
}

TEST(HttpServer, MalformedIs400AndLargeHeadersAre431) {
  HttpServerOptions options;
  options.refusal = [](const HttpRefusal& refusal) {
    EXPECT_THAT(refusal.peer, StartsWith("127.0.0.1:"));
    return HttpRefusalAnswer{.headers = {{"content-type", "application/json"}}, .body = fmt::format("{{\"status\":{}}}", refusal.status)};
  };
  const auto server = start(echo, options);
  RawClient garbage(server->port());
  garbage.say("\x16\x03\x01 this is not HTTP\r\n\r\n");
  const RawResponse refusal = garbage.hear_response();
  EXPECT_EQ(refusal.status, 400);
  EXPECT_EQ(refusal.body, "{\"status\":400}");
  EXPECT_EQ(refusal.headers.at("content-type"), "application/json");
  RawClient wide(server->port());
  EXPECT_EQ(wide.ask("GET", "/", "", "x: " + std::string(40000, 'x') + "\r\n").status, 431);
}

TEST(HttpServer, SlowRequestsTimeOut) {
  HttpServerOptions options;
  options.timeouts.header = 80ms;
  options.timeouts.body = 80ms;
  options.timeouts.idle = 150ms;
  const auto server = start(echo, options);
  RawClient slow_header(server->port());
  slow_header.say("GET / HT");
  EXPECT_EQ(slow_header.hear_response().status, 408);
  RawClient slow_body(server->port());
  slow_body.say("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\na");
  EXPECT_EQ(slow_body.hear_response().status, 408);
  RawClient silent(server->port());
  EXPECT_TRUE(silent.at_end()) << "an idle connection is closed without a word";
}

TEST(HttpServer, ContinuesWhenExpected) {
  const auto server = start();
  RawClient client(server->port());
  client.say("POST / HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n");
  EXPECT_THAT(client.hear_until("\r\n\r\n"), StartsWith("HTTP/1.1 100 "));
  client.say("abc");
  EXPECT_THAT(client.hear_response().body, HasSubstr("abc"));
}

TEST(HttpServer, ConnectionsBeyondTheLimitGet503) {
  HttpServerOptions options;
  options.connections_max = 2;
  const auto server = start(echo, options);
  RawClient first(server->port()), second(server->port());
  EXPECT_EQ(first.ask("GET", "/").status, 200);
  EXPECT_EQ(second.ask("GET", "/").status, 200);
  RawClient third(server->port());
  const RawResponse refusal = third.ask("GET", "/");
  EXPECT_EQ(refusal.status, 503);
  EXPECT_EQ(refusal.headers.at("retry-after"), "1");
  third.close();
  first.close();
  EXPECT_TRUE(within(5s, [&] { return server->connections() == 1; }));
  RawClient fourth(server->port());
  EXPECT_EQ(fourth.ask("GET", "/").status, 200) << "a freed place is given again";
}

TEST(HttpServer, BodiesTogetherHaveALimit) {
  HttpServerOptions options;
  options.body_bytes_max = 1000;
  options.body_bytes_total_max = 1500;
  std::atomic<bool> inside{false}, leave{false};
  const auto server = start([&](const HttpRequest& request, ResponseWriter& writer) {
    if (request.path == "/hold") {
      inside = true;
      within(10s, [&] { return leave.load(); });
    }
    echo(request, writer);
  }, options);
  std::thread holder([&] { EXPECT_EQ(RawClient(server->port()).ask("POST", "/hold", std::string(1000, 'x')).status, 200); });
  ASSERT_TRUE(within(5s, [&] { return inside.load(); }));
  EXPECT_EQ(RawClient(server->port()).ask("POST", "/", std::string(1000, 'x')).status, 503);
  leave = true;
  holder.join();
  EXPECT_TRUE(within(5s, [&] { return RawClient(server->port()).ask("POST", "/", std::string(1000, 'x')).status == 200; }));
}

TEST(HttpServer, ABodyNobodyWantsIsNotRead) {
  HttpServerOptions options;
  options.wants_body = [](const HttpRequest& head) { return head.path == "/wanted" && head.header("host") != nullptr; };
  const auto server = start(echo, options);
  RawClient client(server->port());
  client.say("POST /other HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 1000\r\n\r\nhalf");
  const RawResponse response = client.hear_response();
  EXPECT_EQ(response.status, 200) << "the handler's answer, before the body";
  EXPECT_EQ(response.body, "POST /other? ");
  EXPECT_EQ(response.headers.at("connection"), "close");
  EXPECT_TRUE(client.at_end());
  RawClient wanted(server->port());
  wanted.say("POST /wanted HTTP/1.1\r\nhost: h\r\ncontent-length: 8\r\n\r\nhalf");
  std::this_thread::sleep_for(30ms);
  wanted.say("half");
  EXPECT_EQ(wanted.hear_response().body, "POST /wanted? halfhalf");
}

TEST(HttpServer, HandlerFailuresStayInside) {
  const auto server = start([](const HttpRequest& request, ResponseWriter& writer) {
    if (request.path == "/throw") throw std::runtime_error("broken");
    if (request.path == "/odd") throw 7;
    if (request.path == "/late") {
      writer.begin_stream(200, {});
      writer.write("half");
      throw std::runtime_error("broken later");
    }
    if (request.path == "/fine") echo(request, writer);
  });
  EXPECT_EQ(RawClient(server->port()).ask("GET", "/throw").status, 500);
  EXPECT_EQ(RawClient(server->port()).ask("GET", "/odd").status, 500);
  EXPECT_EQ(RawClient(server->port()).ask("GET", "/silent").status, 500) << "a handler that says nothing";
  const RawResponse late = RawClient(server->port()).ask("GET", "/late");
  EXPECT_EQ(late.body, "half");
  EXPECT_FALSE(late.whole) << "a broken stream must not end like a whole one";
  EXPECT_EQ(RawClient(server->port()).ask("GET", "/fine").status, 200);
}

TEST(HttpServer, ManyClientsAtOnce) {
  const auto server = start();
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (int t = 0; t < 32; ++t) {
    threads.emplace_back([&, t] {
      RawClient client(server->port());
      for (int i = 0; i < 20; ++i) {
        const std::string path = fmt::format("/{}/{}", t, i);
        right += client.ask("GET", path).body == fmt::format("GET {}? ", path);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(right, 32 * 20);
}

TEST(HttpServer, StopLetsHandlersFinish) {
  std::atomic<bool> inside{false};
  const auto server = start([&](const HttpRequest& request, ResponseWriter& writer) {
    inside = true;
    std::this_thread::sleep_for(150ms);
    echo(request, writer);
  });
  RawClient idle(server->port()), working(server->port());
  working.say("GET /work HTTP/1.1\r\nhost: h\r\n\r\n");
  ASSERT_TRUE(within(5s, [&] { return inside.load(); }));
  server->stop(10s);
  const RawResponse response = working.hear_response();
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.headers.at("connection"), "close");
  EXPECT_TRUE(idle.at_end());
  EXPECT_FALSE(RawClient(server->port()).connected());
  server->stop(1s);
}

TEST(HttpServer, StopCutsOffWhoTakesTooLong) {
  std::atomic<bool> inside{false}, told{false};
  const auto server = start([&](const HttpRequest&, ResponseWriter& writer) {
    inside = true;
    told = within(20s, [&] { return writer.client_gone(); });
  });
  RawClient client(server->port());
  client.say("GET / HTTP/1.1\r\nhost: h\r\n\r\n");
  ASSERT_TRUE(within(5s, [&] { return inside.load(); }));
  const auto start_time = std::chrono::steady_clock::now();
  server->stop(50ms);
  EXPECT_LT(std::chrono::steady_clock::now() - start_time, 5s);
  EXPECT_TRUE(told);
}

TEST(HttpServer, StopIsHurried) {
  std::atomic<bool> inside{false}, told{false}, hurry{false};
  const auto server = start([&](const HttpRequest&, ResponseWriter& writer) {
    inside = true;
    told = within(20s, [&] { return writer.client_gone(); });
  });
  RawClient client(server->port());
  client.say("GET / HTTP/1.1\r\nhost: h\r\n\r\n");
  ASSERT_TRUE(within(5s, [&] { return inside.load(); }));
  std::thread impatient([&] {
    std::this_thread::sleep_for(100ms);
    hurry = true;
  });
  const auto start_time = std::chrono::steady_clock::now();
  server->stop(1h, [&] { return hurry.load(); });
  EXPECT_LT(std::chrono::steady_clock::now() - start_time, 10s);
  EXPECT_TRUE(hurry && told);
  impatient.join();
}

TEST(HttpServer, StopAnswersHalfARequestWith503) {
  std::atomic<bool> inside{false};
  const auto server = start([&](const HttpRequest&, ResponseWriter& writer) {
    inside = true;
    writer.begin_stream(200, {});
    writer.write("first ");
    std::this_thread::sleep_for(300ms);
    writer.write("last");
  });
  RawClient streaming(server->port()), half(server->port());
  streaming.say("GET / HTTP/1.1\r\nhost: h\r\n\r\n");
  half.say("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\nhe");
  ASSERT_TRUE(within(5s, [&] { return inside.load(); }));
  std::this_thread::sleep_for(50ms);
  std::thread stopper([&] { server->stop(10s); });
  const RawResponse refusal = half.hear_response();
  EXPECT_EQ(refusal.status, 503);
  EXPECT_EQ(refusal.headers.at("connection"), "close");
  EXPECT_EQ(refusal.headers.at("retry-after"), "1");
  const RawResponse whole = streaming.hear_response();
  EXPECT_EQ(whole.body, "first last");
  EXPECT_TRUE(whole.whole);
  EXPECT_TRUE(streaming.at_end());
  stopper.join();
}

size_t threads_now() {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) ++count;
  return count;
}

TEST(HttpServer, IdleConnectionsHaveNoThread) {
  const auto server = start();
  const size_t before = threads_now();
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 200; ++i) {
    clients.push_back(std::make_unique<RawClient>(server->port()));
    EXPECT_EQ(clients.back()->ask("GET", "/").status, 200);
  }
  EXPECT_TRUE(within(10s, [&] { return threads_now() <= before; })) << threads_now() << " threads, " << before << " before";
  EXPECT_EQ(server->connections(), 200u);
  for (const auto& client : clients) EXPECT_EQ(client->ask("GET", "/again").body, "GET /again? ");
  clients.clear();
  EXPECT_TRUE(within(10s, [&] { return server->connections() == 0; }));
}

TEST(HttpServer, IdleConnectionsLeaveInTime) {
  HttpServerOptions options;
  options.timeouts.idle = 300ms;
  const auto server = start(echo, options);
  RawClient asked(server->port()), silent(server->port());
  EXPECT_EQ(asked.ask("GET", "/").status, 200);
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_TRUE(silent.at_end());
  EXPECT_TRUE(asked.at_end());
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 5s);
  EXPECT_TRUE(within(5s, [&] { return server->connections() == 0; }));
}

TEST(HttpServer, TakenPortIsAnError) {
  const auto server = start();
  HttpServerOptions options;
  options.port = server->port();
  const auto second = HttpServer::start(options, echo);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, ErrorCode::kAlreadyExists);
}

}  // namespace
}  // namespace accelerate
