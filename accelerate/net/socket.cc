#include "accelerate/net/socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "accelerate/net/tls.h"
#include "accelerate/net/url.h"

namespace accelerate {
namespace {

constexpr std::chrono::milliseconds kSayEndMax{1000};  // for TLS's last word to get behind what the peer has not yet taken

// What the kernel takes for a peer that does not read. Left alone it takes 4 MiB: minutes of streamed answer, in which nobody
// notices. Bytes on their way are not counted, so that throughput stays.
constexpr int kUnsentBytesMax = 64 << 10;

constexpr int64_t kStopCheckMs = 50;  // half of what users of a stop flag are promised

std::string address_text(const sockaddr_storage& address) {
  char text[INET6_ADDRSTRLEN] = {};
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    ::inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
    return host_and_port(text, ntohs(v4.sin_port));
  }
  if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    ::inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
    return host_and_port(text, ntohs(v6.sin6_port));
  }
  return "unknown";
}

uint16_t bound_port(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(address).sin6_port
                                             : reinterpret_cast<sockaddr_in&>(address).sin_port);
}

// Makes a listening socket on one address; errno says why not.
Socket listen_on(const addrinfo& address, int backlog) {
  Socket socket(::socket(address.ai_family, address.ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address.ai_protocol));
  if (!socket) return {};
  const int on = 1;
  ::setsockopt(socket.fd(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);  // rebind while old connections are in TIME_WAIT
  if (::bind(socket.fd(), address.ai_addr, address.ai_addrlen) != 0 || ::listen(socket.fd(), backlog) != 0) {
    const int cause = errno;
    socket = Socket();
    errno = cause;
    return {};
  }
  return socket;
}

Error listen_error(const std::string& where, int cause) {
  if (cause == EADDRINUSE) {
    return {ErrorCode::kAlreadyExists,
            fmt::format("[net] a port serves one process; got {}, which is taken; try another --port, or 0 for any free one", where)};
  }
  if (cause == EACCES || cause == EPERM) {
    return {ErrorCode::kPermissionDenied,
            fmt::format("[net] ports below 1024 need privileges; got {}; try a port from 1024 up", where)};
  }
  if (cause == EADDRNOTAVAIL || cause == EAFNOSUPPORT) {
    return {ErrorCode::kInvalidArgument,
            fmt::format("[net] the host to listen on is an address of this machine; got {}; try 127.0.0.1", where)};
  }
  return {ErrorCode::kUnavailable, fmt::format("[net] cannot listen on {}; got {}", where, std::strerror(cause))};
}

// What a TLS step waits for; kOk once it did something.
Socket::Status wait_for_tls(int fd, TlsSession::Want want, NetDeadline deadline, const std::atomic<bool>* stop) {
  if (want == TlsSession::Want::kNothing) return Socket::Status::kOk;
  if (want == TlsSession::Want::kEnd) return Socket::Status::kClosed;
  const short events = want == TlsSession::Want::kRead ? POLLIN : POLLOUT;
  return wait_for_fd(fd, events, deadline, stop) ? Socket::Status::kOk : Socket::Status::kTimeout;
}

}  // namespace

bool wait_for_fd(int fd, short events, NetDeadline deadline, const std::atomic<bool>* stop) {
  for (;;) {
    if (stop != nullptr && stop->load(std::memory_order_relaxed)) return false;
    // Rounded up so that a wait never ends early and spins.
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    pollfd entry{fd, events, 0};
    const int ready = ::poll(&entry, 1, static_cast<int>(std::clamp<int64_t>(left, 0, stop != nullptr ? kStopCheckMs : 1 << 30)));
    if (ready > 0) return true;
    if (ready == 0 && left <= 0) return false;
    if (ready < 0 && errno != EINTR && errno != EAGAIN) return true;  // the read or write that follows says what is wrong
  }
}

Socket::Socket() = default;
Socket::Socket(int fd) : fd_(fd) {}
Socket::~Socket() { close(); }
Socket::Socket(Socket&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), tls_(std::move(other.tls_)), stop_(other.stop_), why_closed_(std::move(other.why_closed_)) {}
Socket& Socket::operator=(Socket&& other) noexcept {
  if (this != &other) {
    close();
    fd_ = std::exchange(other.fd_, -1);
    tls_ = std::move(other.tls_);
    stop_ = other.stop_;
    why_closed_ = std::move(other.why_closed_);
  }
  return *this;
}

void Socket::close() {
  tls_.reset();
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

Socket::Status Socket::closed_by(int cause) {
  why_closed_ = std::strerror(cause);
  return Status::kClosed;
}

Socket::Status Socket::shake_hands(NetDeadline deadline) {
  if (tls_ == nullptr) return closed_by(ENOMEM);
  for (;;) {
    const TlsSession::Want want = tls_->handshake();
    const Status status = wait_for_tls(fd_, want, deadline, stop_);
    if (status == Status::kClosed) why_closed_ = tls_->why_ended();
    if (status != Status::kOk || want == TlsSession::Want::kNothing) return status;
  }
}

Socket::Status Socket::start_tls(const TlsContext& context, NetDeadline deadline) {
  tls_ = TlsSession::accept(context, fd_);
  return shake_hands(deadline);
}

Socket::Status Socket::start_tls(const TlsContext& context, const std::string& host, NetDeadline deadline) {
  tls_ = TlsSession::connect(context, fd_, host);
  return shake_hands(deadline);
}

Socket::Read Socket::read(char* into, size_t size, NetDeadline deadline) {
  while (tls_ != nullptr) {
    const TlsSession::Step step = tls_->read(into, size);
    const Status status = wait_for_tls(fd_, step.want, deadline, stop_);
    if (status == Status::kClosed) why_closed_ = tls_->why_ended();
    if (status != Status::kOk || step.bytes > 0) return {status, step.bytes};
  }
  for (;;) {
    const ssize_t got = ::recv(fd_, into, size, MSG_DONTWAIT);
    if (got > 0) return {Status::kOk, static_cast<size_t>(got)};
    if (got == 0) return {Status::kClosed, 0};
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) return {closed_by(errno), 0};
    if (!wait_for_fd(fd_, POLLIN, deadline, stop_)) return {Status::kTimeout, 0};
  }
}

Socket::Status Socket::write_all(std::string_view bytes, NetDeadline deadline) {
  while (tls_ != nullptr && !bytes.empty()) {
    const TlsSession::Step step = tls_->write(bytes);
    bytes.remove_prefix(step.bytes);
    const Status status = wait_for_tls(fd_, step.want, deadline, stop_);
    if (status == Status::kClosed) why_closed_ = tls_->why_ended();
    if (status != Status::kOk) return status;
  }
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      bytes.remove_prefix(static_cast<size_t>(sent));
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) return closed_by(errno);
    if (!wait_for_fd(fd_, POLLOUT, deadline, stop_)) return Status::kTimeout;
  }
  return Status::kOk;
}

bool Socket::peer_gone() const {
  pollfd entry{fd_, POLLRDHUP, 0};  // seen even behind bytes that nobody has read yet, unlike a peek
  return ::poll(&entry, 1, 0) > 0 && (entry.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) != 0;
}

bool Socket::at_end() const {
  char byte;
  const ssize_t got = ::recv(fd_, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

void Socket::shut_down() {
  if (fd_ >= 0) ::shutdown(fd_, SHUT_RDWR);
}

void Socket::shut_down_sending() {
  const NetDeadline deadline = deadline_in(kSayEndMax);
  while (tls_ != nullptr && tls_->say_end() == TlsSession::Want::kWrite && wait_for_fd(fd_, POLLOUT, deadline)) {
  }
  if (fd_ >= 0) ::shutdown(fd_, SHUT_WR);
}

void Socket::shut_down_receiving() {
  if (fd_ >= 0) ::shutdown(fd_, SHUT_RD);
}

std::string Socket::peer() const {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getpeername(fd_, reinterpret_cast<sockaddr*>(&address), &size) != 0) return "unknown";
  return address_text(address);
}

Result<Listener> Listener::open(const Options& options) {
  const std::string where = host_and_port(options.host, options.port);
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (const int problem = ::getaddrinfo(options.host.c_str(), std::to_string(options.port).c_str(), &hints, &found); problem != 0) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("[net] the host to listen on is an address or a name; got '{}' ({}); try 127.0.0.1", options.host,
                             ::gai_strerror(problem))};
  }
  Listener listener;
  int cause = EADDRNOTAVAIL;
  // The first address alone decides "taken": a name such as localhost must not slide to its other address silently.
  for (const addrinfo* address = found; address != nullptr && !listener.socket_; address = address->ai_next) {
    listener.socket_ = listen_on(*address, options.backlog);
    if (!listener.socket_) cause = errno;
    if (!listener.socket_ && cause != EADDRNOTAVAIL && cause != EAFNOSUPPORT) break;
  }
  ::freeaddrinfo(found);
  if (!listener.socket_) return listen_error(where, cause);
  listener.port_ = bound_port(listener.socket_.fd());
  return listener;
}

Listener::Outcome Listener::accept(Socket& into) {
  const int fd = ::accept4(socket_.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) {
    const bool exhausted = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
    return exhausted ? Outcome::kOutOfDescriptors : Outcome::kNone;
  }
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // a token is one small write; Nagle would hold it back 40 ms
  ::setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &kUnsentBytesMax, sizeof kUnsentBytesMax);
  into = Socket(fd);
  return Outcome::kAccepted;
}

bool is_loopback(const std::string& host) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;  // as Listener::open asks: an empty host is every address
  addrinfo* found = nullptr;
  if (::getaddrinfo(host.c_str(), "0", &hints, &found) != 0) return false;
  bool all = true;
  for (const addrinfo* address = found; address != nullptr; address = address->ai_next) {
    if (address->ai_family == AF_INET) {
      all = all && ntohl(reinterpret_cast<const sockaddr_in*>(address->ai_addr)->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    } else {
      all = all && address->ai_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&reinterpret_cast<const sockaddr_in6*>(address->ai_addr)->sin6_addr);
    }
  }
  ::freeaddrinfo(found);
  return all;
}

}  // namespace accelerate
