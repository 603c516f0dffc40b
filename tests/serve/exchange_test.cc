#include "accelerate/serve/exchange.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace accelerate {
namespace {

using ::testing::StartsWith;

class NotedWriter final : public ResponseWriter {
 public:
  bool send(int, const HttpHeaders& given, std::string_view) override {
    headers = given;
    return works;
  }
  bool begin_stream(int, const HttpHeaders& given) override {
    headers = given;
    return works;
  }
  bool write(std::string_view) override { return works; }
  bool client_gone() override { return gone; }

  HttpHeaders headers;
  bool works = true;
  bool gone = false;
};

HttpRequest with_id(const std::string& id) { return {.method = "GET", .path = "/", .headers = {{"X-Request-ID", id}}}; }

TEST(RequestId, IsTheCallersWhereItIsSafe) {
  for (const std::string& id : {std::string("a"), std::string("550e8400-e29b-41d4-a716-446655440000"), std::string("Root=1-67891233-abcdef"),
                                std::string(kRequestIdBytesMax, 'x')}) {
    EXPECT_EQ(request_id_of(with_id(id)), id);
  }
  for (const std::string& id : {std::string(), std::string("two words"), std::string("a\"b"), std::string("a\nb"), std::string("\xc3\xa9"),
                                std::string("{}"), std::string(kRequestIdBytesMax + 1, 'x')}) {
    EXPECT_THAT(request_id_of(with_id(id)), StartsWith("req_")) << id;
  }
  EXPECT_NE(request_id_of({}), request_id_of({}));
}

TEST(Exchange, AddsHeadersAndCounts) {
  NotedWriter writer;
  const HttpRequest request{.method = "POST", .path = "/x", .body = "12345", .peer = "127.0.0.1:9"};
  Exchange exchange(request, writer, {{"vary", "Origin"}});
  EXPECT_FALSE(exchange.begun());
  exchange.send(404, {{"a", "b"}}, "1234567");
  ASSERT_EQ(writer.headers.size(), 2u);
  EXPECT_EQ(writer.headers[1].name, "vary");
  const AccessRecord& record = exchange.finish();
  EXPECT_EQ(record.status, 404);
  EXPECT_TRUE(record.whole);
  EXPECT_EQ(record.bytes_in, 5u);
  EXPECT_EQ(record.bytes_out, 7u);
  EXPECT_FALSE(record.ttft_ms.has_value());
  EXPECT_GE(record.duration_ms, 0);
  EXPECT_EQ(record.peer, "127.0.0.1:9");
}

TEST(Exchange, AHeadAnswerHasNoBody) {
  NotedWriter writer;
  const HttpRequest request{.method = "HEAD", .path = "/x"};
  Exchange exchange(request, writer, {});
  exchange.send(200, {}, "1234567");
  EXPECT_EQ(exchange.finish().bytes_out, 0u);
}

TEST(Exchange, StreamsHaveATimeToTheFirstEvent) {
  NotedWriter writer;
  Exchange exchange({.method = "POST", .path = "/x"}, writer, {});
  exchange.begin_stream(200, {});
  exchange.write("one");
  exchange.write("two");
  const AccessRecord& record = exchange.finish();
  EXPECT_EQ(record.bytes_out, 6u);
  ASSERT_TRUE(record.ttft_ms.has_value());
  EXPECT_LE(*record.ttft_ms, record.duration_ms);
  EXPECT_TRUE(record.whole);
}

TEST(Exchange, ACutAnswerIsNotWhole) {
  NotedWriter writer;
  Exchange cut({.method = "POST", .path = "/x"}, writer, {});
  cut.begin_stream(200, {});
  cut.write("one");
  writer.works = false;
  EXPECT_FALSE(cut.write("two"));
  EXPECT_FALSE(cut.finish().whole);
  EXPECT_EQ(cut.record().bytes_out, 3u);
  writer.works = true;
  Exchange left({.method = "POST", .path = "/x"}, writer, {});
  left.begin_stream(200, {});
  writer.gone = true;
  EXPECT_TRUE(left.client_gone());
  EXPECT_FALSE(left.finish().whole);
  Exchange silent({.method = "POST", .path = "/x"}, writer, {});
  EXPECT_EQ(silent.finish().status, 499);
  EXPECT_FALSE(silent.record().whole);
}

}  // namespace
}  // namespace accelerate
