#include "accelerate/net/connect.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "accelerate/net/url.h"

namespace accelerate {
namespace {

constexpr std::chrono::milliseconds kStopCheck{50};
constexpr size_t kAddressesMax = 16;  // of one name: more would only split the time too finely

struct Address {
  sockaddr_storage bytes{};
  socklen_t size = 0;
};

/// One getaddrinfo, which may outlive its caller.
struct Lookup {
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  int problem = 0;
  std::vector<Address> addresses;
};

std::atomic<int>& lookups_running() {
  static std::atomic<int> count{0};
  return count;
}

bool stopped(const ConnectLimits& limits) { return limits.stop != nullptr && limits.stop->load(std::memory_order_relaxed); }

Error given_up(const std::string& where, std::string_view what, const ConnectLimits& limits) {
  if (stopped(limits)) return {ErrorCode::kCancelled, fmt::format("[net] stopped while {} {}", what, where)};
  return {ErrorCode::kDeadlineExceeded, fmt::format("[net] {} {} has a time limit; got no answer within it; try again, or a longer limit", what, where)};
}

int look_up(const std::string& host, uint16_t port, int flags, std::vector<Address>& into) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int problem = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (problem != 0) return problem;
  for (const addrinfo* entry = found; entry != nullptr && into.size() < kAddressesMax; entry = entry->ai_next) {
    Address address;
    std::memcpy(&address.bytes, entry->ai_addr, entry->ai_addrlen);
    address.size = entry->ai_addrlen;
    into.push_back(address);
  }
  ::freeaddrinfo(found);
  return 0;
}

Result<std::vector<Address>> resolve(const std::string& host, uint16_t port, const ConnectLimits& limits) {
  std::vector<Address> numeric;
  if (look_up(host, port, AI_NUMERICHOST, numeric) == 0) return numeric;
  const std::string where = host_and_port(host, port);
  if (lookups_running().fetch_add(1) >= kLookupsMax) {
    lookups_running().fetch_sub(1);
    return Error{ErrorCode::kResourceExhausted, fmt::format("[net] at most {} names are looked up at once; got more for {}; try later, or an address", kLookupsMax, where)};
  }
  auto lookup = std::make_shared<Lookup>();
  try {
    std::thread([lookup, host, port] {
      std::vector<Address> addresses;
      const int problem = look_up(host, port, AI_ADDRCONFIG, addresses);
      const std::lock_guard lock(lookup->mutex);
      lookup->problem = problem;
      lookup->addresses = std::move(addresses);
      lookup->done = true;
      lookups_running().fetch_sub(1);
      lookup->changed.notify_all();
    }).detach();
  } catch (const std::system_error& problem) {
    lookups_running().fetch_sub(1);
    return Error{ErrorCode::kResourceExhausted, fmt::format("[net] looking up {} takes a thread; got {}", where, problem.what())};
  }
  std::unique_lock lock(lookup->mutex);
  while (!lookup->done && !stopped(limits) && std::chrono::steady_clock::now() < limits.deadline) {
    lookup->changed.wait_until(lock, std::min(limits.deadline, deadline_in(kStopCheck)));
  }
  if (!lookup->done) return given_up(where, "looking up", limits);
  if (lookup->problem != 0 || lookup->addresses.empty()) {
    return Error{ErrorCode::kUnavailable, fmt::format("[net] a host has an address; got none for '{}' ({}); try the spelling, or the network", host,
                                                      lookup->problem != 0 ? ::gai_strerror(lookup->problem) : "no address")};
  }
  return lookup->addresses;
}

// Connects to one address; 0 or errno. ETIMEDOUT also when stopped.
int connect_one(const Address& address, NetDeadline deadline, const std::atomic<bool>* stop, Socket& into) {
  Socket socket(::socket(address.bytes.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return errno;
  if (::connect(socket.fd(), reinterpret_cast<const sockaddr*>(&address.bytes), address.size) != 0) {
    if (errno != EINPROGRESS && errno != EINTR) return errno;
    if (!wait_for_fd(socket.fd(), POLLOUT, deadline, stop)) return ETIMEDOUT;
    int problem = 0;
    socklen_t size = sizeof problem;
    if (::getsockopt(socket.fd(), SOL_SOCKET, SO_ERROR, &problem, &size) != 0) return errno;
    if (problem != 0) return problem;
  }
  const int on = 1;
  ::setsockopt(socket.fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  into = std::move(socket);
  return 0;
}

}  // namespace

Result<Socket> connect_tcp(const std::string& host, uint16_t port, const ConnectLimits& limits) {
  const std::string where = host_and_port(host, port);
  ACC_TRY(const std::vector<Address> addresses, resolve(host, port, limits));
  int problem = 0;
  for (size_t i = 0; i < addresses.size(); ++i) {
    const auto now = std::chrono::steady_clock::now();
    const auto share = (limits.deadline - now) / static_cast<int64_t>(addresses.size() - i);
    Socket socket;
    problem = connect_one(addresses[i], now + share, limits.stop, socket);
    if (problem == 0) {
      socket.obey(limits.stop);
      return socket;
    }
    if (stopped(limits) || std::chrono::steady_clock::now() >= limits.deadline) return given_up(where, "connecting to", limits);
  }
  return Error{ErrorCode::kUnavailable, fmt::format("[net] cannot connect to {}; got {}; try whether it runs, and the port", where, std::strerror(problem))};
}

}  // namespace accelerate
