// HttpRequestParser - bytes in, one HTTP/1.x request out. Does no input or output of its own.
//
//   HttpRequestParser parser({.header_bytes_max = 32768, .body_bytes_max = 1 << 20});
//   size_t used = parser.feed(bytes);            // may be less than given: the rest is the next request's
//   if (auto& fault = parser.fault()) refuse(fault->status, fault->message);
//   if (parser.done()) answer(parser.take());
//
// HttpResponseParser - the other direction, for a client: the body is handed out in pieces as it comes, however long it is.
//
//   HttpResponseParser parser({.header_bytes_max = 65536}, {.of_head = false});
//   held.erase(0, parser.feed(held));
//   if (parser.header_done()) use(parser.status(), parser.headers());
//   use(parser.take_body());                     // what has come since the last call
//   if (peer_closed) parser.end();               // a body that is cut off is a fault
//
// Grammar by Boost.Beast; this file's .cc is where Beast lives. One message per parser. Not thread-safe; throws nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "accelerate/base/result.h"
#include "accelerate/net/http.h"

namespace accelerate {

struct HttpParserLimits {
  uint32_t header_bytes_max = 32 << 10;
  uint32_t header_fields_max = 128;  // of trailers too
  size_t body_bytes_max = size_t{1} << 20;  // of a request
};

class HttpRequestParser {
 public:
  explicit HttpRequestParser(const HttpParserLimits& limits);
  ~HttpRequestParser();

  /// Consumes a prefix of `bytes` and returns its length; less than all of it once done() or after a fault. Call again
  /// with what was left over and more behind it.
  size_t feed(std::string_view bytes);

  struct Fault {
    int status;           // 400, 413, 431, 501 or 505
    std::string message;
  };
  const std::optional<Fault>& fault() const;
  bool header_done() const;
  bool done() const;
  // After header_done():
  bool keep_alive() const;
  bool expects_continue() const;
  bool is_http_1_0() const;
  /// Bytes of body still to come where the request says so up front; 0 for chunked bodies.
  uint64_t body_bytes_left() const;
  /// Bytes of body held so far.
  size_t body_bytes() const;
  /// The request without its body and its peer.
  HttpRequest head() const;
  /// The request, without its peer. Once, after header_done() (done() for a whole body).
  HttpRequest take();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class HttpResponseParser {
 public:
  struct Question {
    bool of_head = false;  // the answer to a HEAD or CONNECT has no body, whatever its headers say
  };
  HttpResponseParser(const HttpParserLimits& limits, Question question);
  ~HttpResponseParser();

  /// As HttpRequestParser::feed().
  size_t feed(std::string_view bytes);
  /// The peer has closed: fine for a body without a length, a fault for everything else that is not done().
  void end();

  const std::optional<Error>& fault() const;  // data_loss: malformed or cut off; resource_exhausted: a limit
  bool header_done() const;
  bool done() const;
  // After header_done():
  int status() const;
  HttpHeaders headers() const;
  /// The body ends where the connection does.
  bool ends_with_connection() const;
  /// The length the headers announce; nothing for chunked bodies and those that end with the connection.
  std::optional<uint64_t> body_bytes_announced() const;
  std::string take_body();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace accelerate
