#include "accelerate/net/http_server.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <list>
#include <mutex>
#include <thread>
#include <utility>

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

// One accepted connection, its thread, and whether the thread is through.
struct Guest {
  explicit Guest(Socket accepted, HttpShared& shared) : socket(std::move(accepted)), connection(socket, shared) {}
  Socket socket;  // closed by whoever joins the thread, so that nobody shuts down a descriptor reused meanwhile
  HttpConnection connection;
  std::atomic<bool> finished{false};
  std::thread thread;
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

}  // namespace

struct HttpServer::State {
  HttpShared shared;
  Listener listener;
  WakePipe wake;
  uint16_t port = 0;
  std::thread acceptor;
  mutable std::mutex mutex;  // guards guests
  std::condition_variable guest_left;
  std::list<std::unique_ptr<Guest>> guests;
  std::mutex stop_mutex;

  void accept_loop();
  void admit(Socket socket);
  void reap(bool all);
};

void HttpServer::State::accept_loop() {
  bool told = false;
  while (!shared.stopping) {
    Socket socket;
    switch (listener.accept(wake.read_fd(), socket)) {
      case Listener::Outcome::kAccepted:
        told = false;
        admit(std::move(socket));
        break;
      case Listener::Outcome::kOutOfDescriptors:
        if (!std::exchange(told, true)) log_warning("[http] no descriptor left for a connection; it waits until others close");
        std::this_thread::sleep_for(kDescriptorPause);
        break;
      case Listener::Outcome::kWoken:
        wake.drain();
        break;
      case Listener::Outcome::kAgain:
        break;
    }
    reap(false);
  }
}

void HttpServer::State::admit(Socket socket) {
  std::lock_guard lock(mutex);
  const size_t open = guests.size();
  if (open >= size_t{shared.options.connections_max} + kRefusalsMax) return;  // closes it
  const bool refused = open >= shared.options.connections_max;
  try {
    guests.push_back(std::make_unique<Guest>(std::move(socket), shared));
    Guest* guest = guests.back().get();
    guest->thread = std::thread([this, guest, refused] {
      if (refused) {
        guest->connection.refuse(503, fmt::format("[http] at most {} connections are open; got one more; try again later",
                                                  shared.options.connections_max));
      } else {
        guest->connection.serve();
      }
      {
        std::lock_guard finish_lock(mutex);
        guest->finished = true;
        guest_left.notify_all();
      }
      wake.wake();
    });
  } catch (const std::exception& problem) {  // no thread or no memory: this one peer is turned away
    if (!guests.empty() && !guests.back()->thread.joinable()) guests.pop_back();
    log_error(fmt::format("[http] a connection needs a thread; got {}", problem.what()));
  }
}

// Joins threads that are through (or all of them) outside the lock they need to finish.
void HttpServer::State::reap(bool all) {
  std::list<std::unique_ptr<Guest>> gone;
  {
    std::lock_guard lock(mutex);
    for (auto it = guests.begin(); it != guests.end();) {
      const auto here = it++;
      if (all || (*here)->finished) gone.splice(gone.end(), guests, here);
    }
  }
  for (const auto& guest : gone) guest->thread.join();
}

HttpServer::HttpServer() : state_(std::make_unique<State>()) {}

HttpServer::~HttpServer() { stop(std::chrono::milliseconds(0)); }

Result<std::unique_ptr<HttpServer>> HttpServer::start(const HttpServerOptions& options, HttpHandler handler) {
  CHECK(handler != nullptr, "a server needs a handler");
  std::unique_ptr<HttpServer> server(new HttpServer());
  State& state = *server->state_;
  state.shared.options = options;
  state.shared.handler = std::move(handler);
  if (!state.wake.ok()) return Error{ErrorCode::kResourceExhausted, "[http] a server needs a few file descriptors; got none; try ulimit -n"};
  ACC_TRY(state.listener, Listener::open({.host = options.host, .port = options.port}));
  state.port = state.listener.port();
  try {
    state.acceptor = std::thread([&state] { state.accept_loop(); });
  } catch (const std::exception& problem) {
    return Error{ErrorCode::kResourceExhausted, fmt::format("[http] a server needs a thread; got {}", problem.what())};
  }
  return server;
}

uint16_t HttpServer::port() const { return state_->port; }

uint32_t HttpServer::connections() const {
  std::lock_guard lock(state_->mutex);
  return static_cast<uint32_t>(state_->guests.size());
}

void HttpServer::stop(std::chrono::milliseconds grace) {
  std::lock_guard stop_lock(state_->stop_mutex);
  state_->shared.stopping = true;
  state_->wake.wake();
  if (state_->acceptor.joinable()) state_->acceptor.join();
  state_->listener.close();
  {
    std::unique_lock lock(state_->mutex);
    for (const auto& guest : state_->guests) {
      if (!guest->connection.busy()) guest->socket.shut_down();
    }
    state_->guest_left.wait_for(lock, grace, [&] {
      return std::all_of(state_->guests.begin(), state_->guests.end(), [](const auto& guest) { return guest->finished.load(); });
    });
    for (const auto& guest : state_->guests) guest->socket.shut_down();
  }
  state_->reap(true);
}

}  // namespace accelerate
