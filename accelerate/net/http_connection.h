// HttpConnection - the life of one accepted connection: requests in order, each answered before the next is read.
//
//   HttpConnection connection(socket, shared);
//   while (connection.serve() == HttpConnection::End::kIdle) wait_until_readable(socket);
//
// Runs on one thread at a time; only socket.shut_down*() and busy() may be used from another. Throws nothing.
#pragma once

#include <atomic>
#include <chrono>
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

/// A client that asks one thing after another keeps its thread; starting one costs about 50 us, more on a busy machine.
inline constexpr std::chrono::milliseconds kStay{100};

class HttpConnection {
 public:
  HttpConnection(Socket& socket, HttpShared& shared) : socket_(socket), shared_(shared) {}

  enum class End { kClosed, kIdle };
  /// Serves requests until the peer, a timeout, a refusal or shut_down() ends it, or until none has come for kStay: then the
  /// connection holds no buffers, and serve() may be called again once there is something to read.
  End serve();
  /// Answers `status` without reading a request, and closes: for connections over the limit.
  void refuse(int status, std::string_view message);
  /// A handler is running.
  bool busy() const { return busy_.load(); }

 private:
  class Writer;
  enum class Next { kKeep, kClose, kIdle };
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
