// A Worker for tests: its other side is a thread of ours, so that a debugger, a sanitizer and a test's own hands reach it.
#pragma once

#include <sys/socket.h>

#include <functional>
#include <stdexcept>
#include <thread>

#include "accelerate/wire/program_server.h"
#include "accelerate/wire/socket_channel.h"

namespace accelerate {

/// A channel over which no files travel: as a WebSocket's.
class NoFiles final : public Channel {
 public:
  explicit NoFiles(Channel& channel) : channel_(channel) {}
  Result<void> send(std::span<const std::byte> message, Deadline deadline) override { return channel_.send(message, deadline); }
  Result<std::vector<std::byte>> receive(Deadline deadline) override { return channel_.receive(deadline); }

 private:
  Channel& channel_;
};

class ThreadWorker final : public Worker {
 public:
  explicit ThreadWorker(std::function<void(Channel&)> body) {
    auto pair = make_socket_pair();
    if (!pair) throw std::runtime_error(to_string(pair.error()));
    ours_ = std::move(pair->ours);
    theirs_ = std::make_unique<SocketChannel>(pair->theirs);
    descriptor_ = pair->theirs;
    thread_ = std::thread([this, body = std::move(body)] {
      body(*theirs_);
      if (alive_.exchange(false)) ::shutdown(descriptor_, SHUT_RDWR);
    });
  }
  /// Serves the program that `make` gives.
  static std::unique_ptr<ThreadWorker> serving(std::function<Result<Compiled>(const WireMessage&, Progress&)> load, bool files = true,
                                               size_t region_bytes = size_t{1} << 16) {
    return std::make_unique<ThreadWorker>([load = std::move(load), files, region_bytes](Channel& channel) {
      NoFiles plain(channel);
      serve_program(files ? channel : plain, {.load = load, .region_bytes = region_bytes});
    });
  }
  ~ThreadWorker() override {
    kill();
    thread_.join();
  }
  const std::string& name() const override { return name_; }
  Channel& channel() override { return *ours_; }
  bool alive() const override { return alive_; }
  void kill() override {
    alive_ = false;
    ::shutdown(descriptor_, SHUT_RDWR);
  }
  std::string end() const override { return alive_ ? "" : "was killed by a test"; }

 private:
  std::string name_ = "thread";
  std::unique_ptr<SocketChannel> ours_, theirs_;
  int descriptor_ = -1;
  std::atomic<bool> alive_{true};
  std::thread thread_;
};

}  // namespace accelerate
