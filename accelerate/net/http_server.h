// HttpServer - HTTP/1.1, plain or behind TLS, with a thread per request under way and none for idle connections.
//
//   ACC_TRY(std::unique_ptr<HttpServer> server, HttpServer::start({.port = 8080},
//       [](const HttpRequest& request, ResponseWriter& writer) { writer.send(200, {}, "hello " + request.path); }));
//   server->stop(std::chrono::seconds(5));
//
// Keep-alive, chunked bodies both ways, "Expect: 100-continue", HEAD. What it refuses itself: malformed requests 400,
// slow ones 408, bodies over the limit 413 (their bytes are discarded, not kept), headers over the limits 431, more
// connections or body bytes than the limits 503, requests to a server that stops 503. The handler runs on the connection's
// thread, many at once; an exception from it is logged and answered with 500. An idle connection costs a descriptor and
// 13 KiB (measured over 2,000): one thread waits for all of them. Thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "accelerate/base/limits.h"
#include "accelerate/base/result.h"
#include "accelerate/net/http.h"
#include "accelerate/net/tls.h"

namespace accelerate {

struct HttpTimeouts {
  std::chrono::milliseconds idle{75'000};    // until a new or kept connection's next request begins
  std::chrono::milliseconds header{10'000};  // from a request's first byte to the end of its headers; as long for a TLS handshake
  std::chrono::milliseconds body{60'000};    // from there to the end of its body
  std::chrono::milliseconds write{30'000};   // one write() whose peer does not read
  std::chrono::milliseconds linger{2'000};   // discarding what a refused peer still sends, so that it reads why
};

/// A refusal of the server's own, before any handler, and what it says.
struct HttpRefusal {
  int status;
  std::string_view message;
  std::string peer;
};
struct HttpRefusalAnswer {
  HttpHeaders headers;
  std::string body;
};

struct HttpServerOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 0;  // 0 = any
  uint32_t connections_max = limits::kConnectionsMax;
  uint32_t header_bytes_max = 32 << 10;
  uint32_t header_fields_max = 128;  // the official clients send about 20
  size_t body_bytes_max = limits::kRequestBytesMax;
  size_t body_bytes_total_max = limits::kRequestBytesMax * 8;  // held for all connections together
  HttpTimeouts timeouts;
  std::shared_ptr<const TlsContext> tls;  // null = plain HTTP
  /// Asked with the head of a request whose body is still to come. False: the handler answers without it, and the connection
  /// ends; so that strangers can not fill the memory for bodies. Empty = every body is read.
  std::function<bool(const HttpRequest& head)> wants_body;
  /// Asked for each refusal; empty = the message as plain text. Called on the connection's thread.
  std::function<HttpRefusalAnswer(const HttpRefusal&)> refusal;
};

class HttpServer {
 public:
  /// already_exists: the port is taken; permission_denied; invalid_argument: no such host.
  static Result<std::unique_ptr<HttpServer>> start(const HttpServerOptions& options, HttpHandler handler);
  /// stop() without grace.
  ~HttpServer();

  uint16_t port() const;
  uint32_t connections() const;
  /// Stops accepting and closes idle connections, answers what arrives still with 503, lets running handlers end for `grace`
  /// or until `hurry` (asked every 50 ms; may be empty) says true, then cuts theirs off and waits for the handlers, which
  /// see client_gone(). Idempotent; not from a handler.
  void stop(std::chrono::milliseconds grace, const std::function<bool()>& hurry = {});

 private:
  HttpServer();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace accelerate
