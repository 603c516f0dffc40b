// HTTP's nouns, shared by the server and whoever answers.
//
//   if (const std::string* key = request.header("authorization")) check(*key);
//   writer.send(200, {{"content-type", "text/plain"}}, "hello");
//
// Plain data; a ResponseWriter belongs to the thread that runs the handler.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace accelerate {

struct HttpHeader {
  std::string name, value;
};
using HttpHeaders = std::vector<HttpHeader>;
/// First header of that name, ignoring case; null if there is none.
const std::string* find_header(const HttpHeaders& headers, std::string_view name);

struct HttpRequest {
  std::string method;   // "GET"; as sent, methods are case-sensitive
  std::string path;     // "/v1/models", still percent-encoded; always begins with '/' (or is "*")
  std::string query;    // after '?', without it
  HttpHeaders headers;  // in order, names as sent
  std::string body;
  std::string peer;     // "127.0.0.1:51234"

  /// First header of that name, ignoring case; null if there is none.
  const std::string* header(std::string_view name) const;
};

/// One answer. Either send() once, or begin_stream() and then write() as often as needed; the stream is ended when the
/// handler returns. A HEAD request gets the headers only.
class ResponseWriter {
 public:
  virtual ~ResponseWriter() = default;
  /// The whole answer. Content-Length, Date and Connection are added. False when the peer is gone.
  virtual bool send(int status, const HttpHeaders& headers, std::string_view body) = 0;
  /// Status and headers of an answer of unknown length (chunked; closed by the end for HTTP/1.0).
  virtual bool begin_stream(int status, const HttpHeaders& headers) = 0;
  /// Sends a piece now. False once the peer is gone or did not read for the write timeout: stop producing.
  virtual bool write(std::string_view piece) = 0;
  /// Whether the peer closed its side, or the server cut the connection off. Asks the kernel; does not block (about 1 us).
  virtual bool client_gone() = 0;
};

using HttpHandler = std::function<void(const HttpRequest& request, ResponseWriter& writer)>;

/// "Not Found" for 404; "Unknown" where RFC 9110 has no word.
std::string_view http_reason(int status);
bool equals_ignoring_case(std::string_view a, std::string_view b);

}  // namespace accelerate
