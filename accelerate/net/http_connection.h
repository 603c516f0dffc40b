// HttpConnection - the life of one accepted connection: requests in order, each answered before the next is read.
//
//   HttpConnection connection(socket, shared);
//   connection.serve();      // until the peer, a timeout, a refusal or shut_down() ends it
//
// Runs on one thread; only socket.shut_down() and busy() may be used from another. Throws nothing.
#pragma once

#include <atomic>
#include <cstddef>
#include <string>
#include <string_view>

#include "accelerate/net/http.h"
#include "accelerate/net/http_parser.h"
#include "accelerate/net/http_server.h"
#include "accelerate/net/socket.h"

namespace accelerate {

/// What all connections of one server share.
struct HttpShared {
  HttpServerOptions options;
  HttpHandler handler;
  std::atomic<bool> stopping{false};
  std::atomic<size_t> body_bytes_held{0};
};

class HttpConnection {
 public:
  HttpConnection(Socket& socket, HttpShared& shared) : socket_(socket), shared_(shared) {}

  void serve();
  /// Answers `status` without reading a request, and closes: for connections over the limit.
  void refuse(int status, std::string_view message);
  /// A handler is running.
  bool busy() const { return busy_.load(); }

 private:
  class Writer;
  enum class Next { kKeep, kClose };
  Next serve_one();
  Next read_request(HttpRequestParser& parser);
  Next answer(HttpRequestParser& parser);
  Socket::Status read_more(NetDeadline deadline);
  bool hold_body(size_t bytes);
  void release_body();
  void linger();

  Socket& socket_;
  HttpShared& shared_;
  std::string buffer_;         // read and not yet parsed
  size_t body_bytes_held_ = 0;
  std::atomic<bool> busy_{false};
};

}  // namespace accelerate
