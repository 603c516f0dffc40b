#include "accelerate/net/http_parser.h"

#include <optional>
#include <string>

#include <gtest/gtest.h>

namespace accelerate {
namespace {

constexpr HttpParserLimits kLimits = {.header_bytes_max = 1024, .header_fields_max = 10, .body_bytes_max = 64};

// Feeds one byte at a time, keeping what is left over as the connection does.
size_t feed_slowly(HttpRequestParser& parser, std::string_view bytes) {
  std::string held;
  for (size_t i = 0; i < bytes.size(); ++i) {
    held += bytes[i];
    held.erase(0, parser.feed(held));
    if (parser.done() || parser.fault()) return i + 1 - held.size();
  }
  return bytes.size() - held.size();
}

int fault_of(std::string_view bytes) {
  HttpRequestParser parser(kLimits);
  parser.feed(bytes);
  return parser.fault() ? parser.fault()->status : 0;
}

TEST(HttpParser, ReadsARequestByteByByte) {
  const std::string text =
      "POST /v1/embeddings?x=1 HTTP/1.1\r\nHost: here\r\nX-Two:  b \r\nContent-Length: 5\r\n\r\nhello";
  HttpRequestParser parser(kLimits);
  EXPECT_EQ(feed_slowly(parser, text + "GET /next"), text.size()) << "the next request's bytes stay where they are";
  ASSERT_TRUE(parser.done());
  EXPECT_TRUE(parser.keep_alive());
  const HttpRequest request = parser.take();
  EXPECT_EQ(request.method, "POST");
  EXPECT_EQ(request.path, "/v1/embeddings");
  EXPECT_EQ(request.query, "x=1");
  ASSERT_NE(request.header("x-two"), nullptr);
  EXPECT_EQ(*request.header("x-two"), "b");
  EXPECT_EQ(request.body, "hello");
}

TEST(HttpParser, ReadsChunkedBodies) {
  HttpRequestParser parser(kLimits);
  feed_slowly(parser, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n");
  ASSERT_TRUE(parser.done());
  EXPECT_EQ(parser.take().body, "abcde");
}

TEST(HttpParser, KeepAliveByVersionAndHeader) {
  const auto keeps = [](std::string_view text) {
    HttpRequestParser parser(kLimits);
    parser.feed(text);
    EXPECT_TRUE(parser.done());
    return parser.keep_alive();
  };
  EXPECT_TRUE(keeps("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
  EXPECT_FALSE(keeps("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
  EXPECT_FALSE(keeps("GET / HTTP/1.0\r\n\r\n"));
  EXPECT_TRUE(keeps("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
}

TEST(HttpParser, ExpectContinue) {
  HttpRequestParser parser(kLimits);
  parser.feed("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n");
  ASSERT_TRUE(parser.header_done());
  EXPECT_FALSE(parser.done());
  EXPECT_TRUE(parser.expects_continue());
  EXPECT_EQ(parser.body_bytes_left(), 3u);
}

TEST(HttpParser, MalformedIs400) {
  EXPECT_EQ(fault_of("\x16\x03\x01\x02garbage that is TLS\r\n\r\n"), 400);
  EXPECT_EQ(fault_of("GET\r\n\r\n"), 400);
  EXPECT_EQ(fault_of("not http at all\r\n\r\n"), 400);
  EXPECT_EQ(fault_of("GET / HTTP/1.1\r\nno colon here\r\n\r\n"), 400);
  EXPECT_EQ(fault_of("GET nowhere HTTP/1.1\r\nHost: h\r\n\r\n"), 400);
  EXPECT_EQ(fault_of("GET / HTTP/1.1\r\n\r\n"), 400) << "no Host";
  EXPECT_EQ(fault_of("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), 400);
  EXPECT_EQ(fault_of("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n"), 400);
  EXPECT_EQ(fault_of("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n"), 400);
}

TEST(HttpParser, AmbiguousLengthsAreRefused) {  // what request smuggling is made of
  EXPECT_EQ(fault_of("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"), 400);
  EXPECT_EQ(fault_of("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400);
  EXPECT_EQ(fault_of("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), 400);
  const int unknown_encoding = fault_of("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n");
  EXPECT_TRUE(unknown_encoding == 501 || unknown_encoding == 400) << unknown_encoding;
}

TEST(HttpParser, WhatProxiesMayReadOtherwiseIsRefused) {
  const std::string post = "POST / HTTP/1.1\r\nHost: h\r\n";
  EXPECT_EQ(fault_of(post + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"), 400);
  EXPECT_EQ(fault_of(post + "Content-Length: 3, 3\r\n\r\nabc"), 400);
  EXPECT_EQ(fault_of(post + "Content-Length: +3\r\n\r\nabc"), 400);
  EXPECT_EQ(fault_of(post + "Content-Length: 0x3\r\n\r\nabc"), 400);
  EXPECT_EQ(fault_of(post + "Content-Length : 3\r\n\r\nabc"), 400) << "a blank before the colon";
  EXPECT_EQ(fault_of(post + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"), 400);
  EXPECT_EQ(fault_of(post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400);
  EXPECT_EQ(fault_of(post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n"), 400);
  EXPECT_EQ(fault_of(post + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"), 400);
  EXPECT_EQ(fault_of(post + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), 501);
  EXPECT_EQ(fault_of(post + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"), 501);
  EXPECT_NE(fault_of(post + "Transfer-Encoding: \x0b" "chunked\r\n\r\n0\r\n\r\n"), 0) << "a vertical tab";
  EXPECT_EQ(fault_of("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400);
  EXPECT_EQ(fault_of(post + "X: a\r\n b\r\n\r\n"), 400) << "a folded line";
  EXPECT_EQ(fault_of(post + "X: a\r\n\tTransfer-Encoding: chunked\r\n\r\n"), 400);
  EXPECT_EQ(fault_of("GET / HTTP/1.1\r\n Host: h\r\n\r\n"), 400);
  EXPECT_EQ(fault_of("GET / HTTP/1.1\nHost: h\n\n"), 400) << "bare line feeds";
  EXPECT_EQ(fault_of(post + "X: a\nY: b\r\n\r\n"), 400);
  EXPECT_EQ(fault_of(post + "X: a\rY: b\r\n\r\n"), 400);
  EXPECT_EQ(fault_of(post + std::string("X: a\0b\r\n\r\n", 10)), 400);
}

TEST(HttpParser, ChunkLinesAreStrictAndBounded) {
  const std::string post = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(fault_of(post + "FFFFFFFFFFFFFFFFF\r\nabc") / 100, 4) << "a size of 68 bits";
  EXPECT_EQ(fault_of(post + "ffffffffffffffff\r\nabc") / 100, 4);
  EXPECT_EQ(fault_of(post + "-1\r\nabc"), 400);
  EXPECT_EQ(fault_of(post + "0x3\r\nabc\r\n0\r\n\r\n"), 400);
  EXPECT_EQ(fault_of(post + "3\nabc\n0\n\n\r\n\r\n"), 400);
  EXPECT_EQ(fault_of(post + "3\r\nabcd\r\n0\r\n\r\n"), 400) << "more bytes than the size says";
  EXPECT_EQ(fault_of(post + "3;" + std::string(5000, 'x')) / 100, 4) << "an extension without an end";
  EXPECT_EQ(fault_of(post + "0\r\nX: " + std::string(5000, 'x')) / 100, 4) << "a trailer without an end";
  EXPECT_EQ(fault_of(post + "3;x=y\r\nabc\r\n0\r\nX: y\r\n\r\n"), 0);
}

TEST(HttpParser, HeaderFieldsAreCounted) {
  std::string nine;
  for (int i = 0; i < 9; ++i) nine += "X: y\r\n";
  EXPECT_EQ(fault_of("GET / HTTP/1.1\r\nHost: h\r\n" + nine + "\r\n"), 0);
  EXPECT_EQ(fault_of("GET / HTTP/1.1\r\nHost: h\r\n" + nine + "X: y\r\n\r\n"), 431);
}

TEST(HttpParser, LimitsHaveTheirOwnStatus) {
  EXPECT_EQ(fault_of("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 65\r\n\r\n"), 413) << "before any byte of the body";
  EXPECT_EQ(fault_of("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 64\r\n\r\n"), 0);
  EXPECT_EQ(fault_of("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n") / 100, 4);
  EXPECT_EQ(fault_of("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n41\r\n" + std::string(65, 'x')), 413);
  EXPECT_EQ(fault_of("GET / HTTP/1.1\r\nHost: h\r\nX: " + std::string(2000, 'x') + "\r\n\r\n"), 431);
  EXPECT_EQ(fault_of("GET /" + std::string(4000, 'x')), 431) << "a request line without an end";
  EXPECT_EQ(fault_of("GET / HTTP/3.0\r\nHost: h\r\n\r\n"), 505);
}

TEST(HttpParser, AFaultEndsIt) {
  HttpRequestParser parser(kLimits);
  parser.feed("GET\r\n\r\n");
  ASSERT_TRUE(parser.fault());
  EXPECT_EQ(parser.feed("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), 0u);
  EXPECT_FALSE(parser.done());
}

// What a client sees of `bytes` when it gets `step` of them at a time and then the end.
struct Answer {
  int status = 0;
  std::string body;
  std::optional<Error> fault;
  bool done_before_end = false;
};
Answer answer_of(std::string_view bytes, size_t step = 1, bool of_head = false) {
  HttpResponseParser parser(kLimits, {.of_head = of_head});
  Answer answer;
  std::string held;
  for (size_t at = 0; at < bytes.size() && !parser.done() && !parser.fault(); at += step) {
    held += bytes.substr(at, step);
    held.erase(0, parser.feed(held));
    if (parser.header_done()) answer.body += parser.take_body();
  }
  answer.done_before_end = parser.done();
  parser.end();
  answer.fault = parser.fault();
  if (parser.header_done()) answer.status = parser.status();
  return answer;
}

TEST(HttpResponseParser, HandsOutBodiesOfAllThreeKinds) {
  const std::string large(size_t{200} << 10, 'x');
  for (const size_t step : {size_t{1}, size_t{7}, size_t{1} << 20}) {
    Answer a = answer_of("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: y\r\n\r\nhello", step);
    EXPECT_EQ(a.status, 200);
    EXPECT_EQ(a.body, "hello");
    EXPECT_TRUE(a.done_before_end && !a.fault);
    a = answer_of("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: z\r\n\r\n", step);
    EXPECT_EQ(a.body, "abcde");
    EXPECT_TRUE(a.done_before_end && !a.fault);
    a = answer_of("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", step);  // Beast asserts 5 bytes of it, where asserts are on
    EXPECT_EQ(a.body, "");
    EXPECT_TRUE(a.done_before_end && !a.fault);
    a = answer_of("HTTP/1.0 200 OK\r\n\r\n" + large, step);
    EXPECT_EQ(a.body, large);
    EXPECT_TRUE(!a.done_before_end && !a.fault);
  }
}

TEST(HttpResponseParser, AnswersWithoutABody) {
  EXPECT_TRUE(answer_of("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 1, true).done_before_end);
  EXPECT_TRUE(answer_of("HTTP/1.1 204 No Content\r\n\r\n").done_before_end);
  EXPECT_TRUE(answer_of("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n").done_before_end);
  EXPECT_TRUE(answer_of("HTTP/1.1 100 Continue\r\n\r\n").done_before_end);
}

TEST(HttpResponseParser, WhatIsCutOffIsAFault) {
  for (const char* text : {"", "HTTP/1.1 2", "HTTP/1.1 200 OK\r\nX: y\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
                           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
                           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"}) {
    const Answer a = answer_of(text);
    ASSERT_TRUE(a.fault.has_value()) << text;
    EXPECT_EQ(a.fault->code, ErrorCode::kDataLoss) << text;
  }
}

TEST(HttpResponseParser, RefusesTheMalformedAndTheEndless) {
  const auto code = [](const std::string& text) {
    const Answer a = answer_of(text, 64);
    return a.fault ? a.fault->code : ErrorCode::kUnknown;
  };
  for (const char* text : {"hello\r\n\r\n", "HTTP/2 200\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
                           "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello", "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
                           "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
                           "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"}) {
    EXPECT_EQ(code(text), ErrorCode::kDataLoss) << text;
  }
  EXPECT_EQ(code("HTTP/1.1 200 OK\r\nX: " + std::string(5000, 'x')), ErrorCode::kResourceExhausted);
  std::string many = "HTTP/1.1 200 OK\r\n";
  for (int i = 0; i < 20; ++i) many += "A: b\r\n";
  EXPECT_EQ(code(many + "\r\n"), ErrorCode::kResourceExhausted);
  EXPECT_EQ(code("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + std::string(5000, 'x')), ErrorCode::kResourceExhausted);
}

}  // namespace
}  // namespace accelerate
