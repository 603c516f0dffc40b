// Socket - a TCP connection or listener with deadlines: POSIX underneath, no exceptions, no signals.
//
//   ACC_TRY(Listener listener, Listener::open({.host = "127.0.0.1", .port = 0}));
//   if (Socket peer = listener.accept()) peer.write_all("hello", deadline_in(std::chrono::seconds(1)));
//
// A Socket is used by one thread; shut_down() alone may be called from another, and wakes it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "accelerate/base/result.h"

namespace accelerate {

using NetDeadline = std::chrono::steady_clock::time_point;
inline NetDeadline deadline_in(std::chrono::milliseconds wait) { return std::chrono::steady_clock::now() + wait; }

class Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : fd_(fd) {}
  ~Socket();
  Socket(Socket&& other) noexcept;
  Socket& operator=(Socket&& other) noexcept;

  explicit operator bool() const { return fd_ >= 0; }
  int fd() const { return fd_; }

  enum class Status { kOk, kClosed, kTimeout };  // kClosed: by the peer, by shut_down(), or broken
  struct Read { Status status; size_t bytes; };
  /// Waits until something can be read, then reads at most `size` bytes.
  Read read(char* into, size_t size, NetDeadline deadline);
  /// Sends everything, in as many steps as the peer's window asks for.
  Status write_all(std::string_view bytes, NetDeadline deadline);
  /// Whether the peer has closed its sending side or the connection broke; does not block.
  bool peer_gone() const;
  /// Ends both directions; readers and writers return kClosed.
  void shut_down();
  /// Ends our sending side only.
  void shut_down_sending();
  /// "127.0.0.1:51234", "[::1]:51234".
  std::string peer() const;

 private:
  void close();
  int fd_ = -1;
};

class Listener {
 public:
  struct Options {
    std::string host = "127.0.0.1";  // numeric or a name; its first address that can be bound is
    uint16_t port = 0;
    int backlog = 512;
  };
  /// already_exists: taken; permission_denied; invalid_argument: host unknown or not of this machine. All name host:port.
  static Result<Listener> open(const Options& options);
  Listener() = default;

  uint16_t port() const { return port_; }
  enum class Outcome { kAccepted, kWoken, kAgain, kOutOfDescriptors };
  /// Waits for a connection or for a byte on `wake_fd`.
  Outcome accept(int wake_fd, Socket& into);
  void close() { socket_ = Socket(); }

 private:
  Socket socket_;
  uint16_t port_ = 0;
};

}  // namespace accelerate
