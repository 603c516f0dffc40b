// Socket - a TCP connection or listener with deadlines, plain or behind TLS: POSIX underneath, no exceptions, no signals.
//
//   ACC_TRY(Listener listener, Listener::open({.host = "127.0.0.1", .port = 0}));
//   Socket peer;
//   if (listener.accept(peer) == Listener::Outcome::kAccepted) peer.write_all("hello", deadline_in(std::chrono::seconds(1)));
//
// A Socket is used by one thread; shut_down() and shut_down_receiving() alone may be called from another, and wake it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "accelerate/base/result.h"

namespace accelerate {

using NetDeadline = std::chrono::steady_clock::time_point;
inline NetDeadline deadline_in(std::chrono::milliseconds wait) { return std::chrono::steady_clock::now() + wait; }
/// Waits for poll()'s `events` on `fd`; false at the deadline, or within 50 ms of `*stop` (may be null) becoming true.
bool wait_for_fd(int fd, short events, NetDeadline deadline, const std::atomic<bool>* stop = nullptr);

class TlsContext;
class TlsSession;

class Socket {
 public:
  Socket();
  explicit Socket(int fd);
  ~Socket();
  Socket(Socket&& other) noexcept;
  Socket& operator=(Socket&& other) noexcept;

  explicit operator bool() const { return fd_ >= 0; }
  int fd() const { return fd_; }

  enum class Status { kOk, kClosed, kTimeout };  // kClosed: by the peer, by shut_down(), or broken
  struct Read { Status status; size_t bytes; };
  /// The server's side of a TLS handshake; read() and write_all() are encrypted from then on.
  Status start_tls(const TlsContext& context, NetDeadline deadline);
  /// The client's side: the peer has to prove that it is `host`, a name or an address; why_closed() says what it failed at.
  Status start_tls(const TlsContext& context, const std::string& host, NetDeadline deadline);
  /// From now on every wait ends with kTimeout within 50 ms of `*stop` becoming true. Not owned; null = none.
  void obey(const std::atomic<bool>* stop) { stop_ = stop; }
  /// After kClosed from read(), write_all() or start_tls(): the cause; empty when the peer ended properly (TLS: said so).
  const std::string& why_closed() const { return why_closed_; }
  /// Waits until something can be read, then reads at most `size` bytes.
  Read read(char* into, size_t size, NetDeadline deadline);
  /// Sends everything, in as many steps as the peer's window asks for.
  Status write_all(std::string_view bytes, NetDeadline deadline);
  /// Whether the peer has closed its sending side or the connection broke; does not block.
  bool peer_gone() const;
  /// Whether the peer's bytes are at their end with none left to read; does not block.
  bool at_end() const;
  /// Ends both directions; readers and writers return kClosed.
  void shut_down();
  /// Ends our sending side only; TLS says so first.
  void shut_down_sending();
  /// Readers return kClosed once what has arrived is read; writers go on.
  void shut_down_receiving();
  /// "127.0.0.1:51234", "[::1]:51234".
  std::string peer() const;

 private:
  void close();
  Status shake_hands(NetDeadline deadline);
  Status closed_by(int cause);
  int fd_ = -1;
  std::unique_ptr<TlsSession> tls_;  // none = plain
  const std::atomic<bool>* stop_ = nullptr;
  std::string why_closed_;
};

class Listener {
 public:
  struct Options {
    std::string host = "127.0.0.1";  // numeric or a name; its first address that can be bound is
    uint16_t port = 0;
    int backlog = 4096;  // the kernel caps it at net.core.somaxconn, 4096 by default
  };
  /// already_exists: taken; permission_denied; invalid_argument: host unknown or not of this machine. All name host:port.
  static Result<Listener> open(const Options& options);
  Listener() = default;

  uint16_t port() const { return port_; }
  int fd() const { return socket_.fd(); }
  enum class Outcome { kAccepted, kNone, kOutOfDescriptors };
  /// Takes a connection that waits; does not block.
  Outcome accept(Socket& into);
  void close() { socket_ = Socket(); }

 private:
  Socket socket_;
  uint16_t port_ = 0;
};

/// Whether `host`, an address or a name, reaches this machine alone. False also for what does not resolve.
bool is_loopback(const std::string& host);

}  // namespace accelerate
