#include "accelerate/net/http_server.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <iterator>
#include <list>
#include <mutex>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "accelerate/base/log.h"
#include "accelerate/net/http_connection.h"
#include "accelerate/net/socket.h"

namespace accelerate {
namespace {

// Threads beyond connections_max that do nothing but say 503 politely; past these, connections are closed without a word.
constexpr uint32_t kRefusalsMax = 32;
// With no descriptor left accept() fails at once and again: this pause keeps the loop from spinning.
constexpr std::chrono::milliseconds kDescriptorPause{50};
constexpr std::chrono::milliseconds kHurryPoll{50};
constexpr int kAcceptsAtOnce = 64;  // then kept connections get their turn

// One accepted connection: parked while idle, on a thread of its own while something comes or goes.
struct Guest {
  Guest(Socket accepted, HttpShared& shared) : socket(std::move(accepted)), connection(socket, shared) {}
  Socket socket;  // closed by whoever joins the thread, so that nobody shuts down a descriptor reused meanwhile
  HttpConnection connection;
  std::string refusal;  // says 503 and this, and nothing else
  bool met = false;     // its TLS handshake, where there is one, is done
  bool watched = false;  // epoll knows it
  bool idle = false;    // how its thread ended
  std::atomic<bool> through{true};  // no thread, or one that only has to be joined
  std::thread thread;
  std::chrono::steady_clock::time_point leaves_at;  // while parked
  std::list<Guest*>::iterator place;                // among the parked
  std::list<std::unique_ptr<Guest>>::iterator self;
};

class WakePipe {
 public:
  WakePipe() {
    if (::pipe2(fds_, O_CLOEXEC | O_NONBLOCK) != 0) fds_[0] = fds_[1] = -1;
  }
  ~WakePipe() {
    for (const int fd : fds_) {
      if (fd >= 0) ::close(fd);
    }
  }
  WakePipe(const WakePipe&) = delete;
  WakePipe& operator=(const WakePipe&) = delete;
  bool ok() const { return fds_[0] >= 0; }
  int read_fd() const { return fds_[0]; }
  void wake() const {
    const char byte = 1;
    [[maybe_unused]] const ssize_t written = ::write(fds_[1], &byte, 1);  // full = it is awake already
  }
  void drain() const {
    char bytes[256];
    while (::read(fds_[0], bytes, sizeof bytes) > 0) {
    }
  }

 private:
  int fds_[2] = {-1, -1};
};

class Epoll {
 public:
  Epoll() : fd_(::epoll_create1(EPOLL_CLOEXEC)) {}
  ~Epoll() {
    if (fd_ >= 0) ::close(fd_);
  }
  Epoll(const Epoll&) = delete;
  Epoll& operator=(const Epoll&) = delete;
  bool ok() const { return fd_ >= 0; }
  bool watch(int fd, void* as) const { return control(EPOLL_CTL_ADD, fd, EPOLLIN, as); }
  /// Tells of `fd` once; `again` for one that was watched before.
  bool watch_once(int fd, void* as, bool again) const {
    return control(again ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLRDHUP | EPOLLONESHOT, as);
  }
  std::span<epoll_event> wait(std::span<epoll_event> into, std::chrono::milliseconds timeout) const {
    const int found = ::epoll_wait(fd_, into.data(), static_cast<int>(into.size()), static_cast<int>(timeout.count()));
    return into.first(static_cast<size_t>(std::max(found, 0)));
  }

 private:
  bool control(int action, int fd, uint32_t events, void* as) const {
    epoll_event event{};
    event.events = events;
    event.data.ptr = as;
    return ::epoll_ctl(fd_, action, fd, &event) == 0;
  }
  int fd_;
};

}  // namespace

struct HttpServer::State {
  HttpShared shared;
  Listener listener;
  WakePipe wake;
  Epoll epoll;
  uint16_t port = 0;
  std::thread reception;  // accepts, watches the parked, starts and joins the guests' threads
  mutable std::mutex mutex;  // guards guests and through
  std::condition_variable guest_through;
  std::list<std::unique_ptr<Guest>> guests;
  std::vector<Guest*> through;  // threads to join
  std::list<Guest*> parked;     // the reception's alone; the first leaves first
  std::string too_many;
  bool told_of_descriptors = false;
  std::mutex stop_mutex;

  void receive();
  void accept_some();
  void admit(Socket socket);
  void start(Guest& guest);
  void attend(Guest& guest);
  void park(Guest& guest);
  void drop(Guest& guest);
  void drop_overdue();
  void settle();
  std::chrono::milliseconds wait_time() const;
};

void HttpServer::State::receive() {
  std::array<epoll_event, 256> room;
  while (!shared.stopping) {
    bool knock = false;
    for (const epoll_event& event : epoll.wait(room, wait_time())) {
      if (event.data.ptr == &listener) {
        knock = true;
      } else if (event.data.ptr == &wake) {
        wake.drain();
      } else {
        Guest& guest = *static_cast<Guest*>(event.data.ptr);
        parked.erase(guest.place);
        if (guest.socket.at_end()) drop(guest);  // the usual end of a kept connection needs no thread
        else start(guest);
      }
    }
    if (knock) accept_some();
    settle();
    drop_overdue();
  }
}

std::chrono::milliseconds HttpServer::State::wait_time() const {
  if (parked.empty()) return std::chrono::milliseconds(-1);
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(parked.front()->leaves_at - std::chrono::steady_clock::now());
  return std::clamp<std::chrono::milliseconds>(left, std::chrono::milliseconds(0), std::chrono::hours(1));
}

void HttpServer::State::accept_some() {
  for (int i = 0; i < kAcceptsAtOnce; ++i) {
    Socket socket;
    switch (listener.accept(socket)) {
      case Listener::Outcome::kAccepted:
        told_of_descriptors = false;
        admit(std::move(socket));
        break;
      case Listener::Outcome::kOutOfDescriptors:
        if (!std::exchange(told_of_descriptors, true)) log_warning("[http] no descriptor left for a connection; it waits until others close");
        std::this_thread::sleep_for(kDescriptorPause);
        return;
      case Listener::Outcome::kNone:
        return;
    }
  }
}

void HttpServer::State::admit(Socket socket) {
  Guest* guest = nullptr;
  try {
    const std::lock_guard lock(mutex);
    const size_t open = guests.size();
    if (open >= size_t{shared.options.connections_max} + kRefusalsMax) return;  // closes it
    guests.push_back(std::make_unique<Guest>(std::move(socket), shared));
    guest = guests.back().get();
    guest->self = std::prev(guests.end());
    if (shared.stopping) guest->refusal = "[http] a stopping server takes no new connections; got one; try again later";
    else if (open >= shared.options.connections_max) guest->refusal = too_many;
  } catch (const std::exception& problem) {
    log_error(fmt::format("[http] a connection needs memory; got {}", problem.what()));
    return;
  }
  if (guest->refusal.empty()) park(*guest);
  else start(*guest);
}

void HttpServer::State::start(Guest& guest) {
  try {
    guest.through = false;
    guest.thread = std::thread([this, &guest] { attend(guest); });
  } catch (const std::exception& problem) {  // no thread: this one peer is turned away
    log_error(fmt::format("[http] a connection needs a thread; got {}", problem.what()));
    drop(guest);
  }
}

// On the guest's thread.
void HttpServer::State::attend(Guest& guest) {
  guest.idle = false;
  const HttpTimeouts& timeouts = shared.options.timeouts;
  const NetDeadline deadline = deadline_in(guest.refusal.empty() ? timeouts.header : timeouts.linger);
  const bool secure = guest.met || shared.options.tls == nullptr || guest.socket.start_tls(*shared.options.tls, deadline) == Socket::Status::kOk;
  guest.met = guest.met || secure;
  if (!secure) guest.socket.shut_down();
  else if (!guest.refusal.empty()) guest.connection.refuse(503, guest.refusal);
  else guest.idle = guest.connection.serve() == HttpConnection::End::kIdle;
  {
    const std::lock_guard lock(mutex);
    through.push_back(&guest);
    guest.through = true;
    guest_through.notify_all();
  }
  wake.wake();
}

void HttpServer::State::park(Guest& guest) {
  guest.leaves_at = std::chrono::steady_clock::now() + shared.options.timeouts.idle;
  try {
    guest.place = parked.insert(parked.end(), &guest);
    if (epoll.watch_once(guest.socket.fd(), &guest, std::exchange(guest.watched, true))) return;
    parked.erase(guest.place);
    log_error("[http] the kernel must watch an idle connection; got a refusal, so it is closed");
  } catch (const std::exception& problem) {
    log_error(fmt::format("[http] an idle connection needs memory; got {}", problem.what()));
  }
  drop(guest);
}

// Closes a guest that is not parked and has no thread.
void HttpServer::State::drop(Guest& guest) {
  std::list<std::unique_ptr<Guest>> gone;  // closes outside the lock
  const std::lock_guard lock(mutex);
  gone.splice(gone.end(), guests, guest.self);
}

void HttpServer::State::drop_overdue() {
  const auto now = std::chrono::steady_clock::now();
  while (!parked.empty() && parked.front()->leaves_at <= now) {
    Guest& guest = *parked.front();
    parked.pop_front();
    drop(guest);
  }
}

// Joins the threads that are through; their guests are parked or leave.
void HttpServer::State::settle() {
  std::vector<Guest*> done;
  {
    const std::lock_guard lock(mutex);
    done = through;
    through.clear();  // and keeps its room: a thread that ends must not need memory
  }
  for (Guest* guest : done) {
    guest->thread.join();
    if (guest->idle) park(*guest);
    else drop(*guest);
  }
}

HttpServer::HttpServer() : state_(std::make_unique<State>()) {}

HttpServer::~HttpServer() { stop(std::chrono::milliseconds(0)); }

Result<std::unique_ptr<HttpServer>> HttpServer::start(const HttpServerOptions& options, HttpHandler handler) {
  CHECK(handler != nullptr, "a server needs a handler");
  std::unique_ptr<HttpServer> server(new HttpServer());
  State& state = *server->state_;
  state.shared.options = options;
  state.shared.handler = std::move(handler);
  state.through.reserve(size_t{options.connections_max} + kRefusalsMax);
  state.too_many = fmt::format("[http] at most {} connections are open; got one more; try again later", options.connections_max);
  ACC_TRY(state.listener, Listener::open({.host = options.host, .port = options.port}));
  state.port = state.listener.port();
  if (!state.wake.ok() || !state.epoll.ok() || !state.epoll.watch(state.wake.read_fd(), &state.wake) ||
      !state.epoll.watch(state.listener.fd(), &state.listener)) {
    return Error{ErrorCode::kResourceExhausted, "[http] a server needs a few file descriptors; got none; try ulimit -n"};
  }
  try {
    state.reception = std::thread([&state] { state.receive(); });
  } catch (const std::exception& problem) {
    return Error{ErrorCode::kResourceExhausted, fmt::format("[http] a server needs a thread; got {}", problem.what())};
  }
  return server;
}

uint16_t HttpServer::port() const { return state_->port; }

uint32_t HttpServer::connections() const {
  const std::lock_guard lock(state_->mutex);
  return static_cast<uint32_t>(state_->guests.size());
}

void HttpServer::stop(std::chrono::milliseconds grace, const std::function<bool()>& hurry) {
  State& state = *state_;
  const std::lock_guard stop_lock(state.stop_mutex);
  state.shared.stopping = true;
  state.wake.wake();
  if (state.reception.joinable()) state.reception.join();
  if (state.listener.fd() >= 0) state.accept_some();  // those that the kernel has accepted for us are told why
  state.listener.close();
  for (Guest* guest : std::exchange(state.parked, {})) state.drop(*guest);
  const auto all_through = [&] {
    return std::all_of(state.guests.begin(), state.guests.end(), [](const auto& guest) { return guest->through.load(); });
  };
  {
    std::unique_lock lock(state.mutex);
    // Whoever still sends its request is answered with 503 at once, not when it is done.
    for (const auto& guest : state.guests) {
      if (!guest->connection.busy() && guest->refusal.empty()) guest->socket.shut_down_receiving();
    }
    const auto end = std::chrono::steady_clock::now() + grace;
    while (!all_through() && std::chrono::steady_clock::now() < end && !(hurry && hurry())) {
      state.guest_through.wait_until(lock, std::min(end, std::chrono::steady_clock::now() + kHurryPoll));
    }
    for (const auto& guest : state.guests) guest->socket.shut_down();
  }
  for (const auto& guest : state.guests) {
    if (guest->thread.joinable()) guest->thread.join();
  }
  const std::lock_guard lock(state.mutex);
  state.guests.clear();
  state.through.clear();
}

}  // namespace accelerate
