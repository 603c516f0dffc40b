// RawServer - a TCP server for tests that says exactly the bytes it is told: each connection is handed, with what the client
// said up to the end of its headers, to one function.
#pragma once

#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <functional>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "accelerate/net/socket.h"

namespace accelerate::testing {

class RawServer {
 public:
  using Script = std::function<void(Socket& client, const std::string& request)>;
  explicit RawServer(Script script) : script_(std::move(script)) {
    auto opened = Listener::open({});
    EXPECT_TRUE(opened.ok());
    listener_ = std::move(*opened);
    thread_ = std::thread([this] { run(); });
  }
  ~RawServer() {
    stop_ = true;
    thread_.join();
  }
  uint16_t port() const { return listener_.port(); }
  std::string url(const std::string& path = "/") const { return "http://127.0.0.1:" + std::to_string(port()) + path; }
  int connections() const { return connections_; }
  const std::atomic<bool>& stopping() const { return stop_; }

  static void say(Socket& client, std::string_view bytes) { (void)client.write_all(bytes, deadline_in(std::chrono::seconds(10))); }
  /// Ends with a reset, as a killed process or a broken path does.
  static void reset(Socket& client) {
    const linger now{1, 0};
    ::setsockopt(client.fd(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    client = Socket();
  }

 private:
  void run() {
    while (!stop_) {
      if (!wait_for_fd(listener_.fd(), POLLIN, deadline_in(std::chrono::seconds(60)), &stop_)) continue;
      Socket client;
      if (listener_.accept(client) != Listener::Outcome::kAccepted) continue;
      client.obey(&stop_);
      ++connections_;
      std::string request;
      char bytes[4096];
      while (request.find("\r\n\r\n") == std::string::npos) {
        const Socket::Read read = client.read(bytes, sizeof bytes, deadline_in(std::chrono::seconds(10)));
        if (read.status != Socket::Status::kOk) break;
        request.append(bytes, read.bytes);
      }
      script_(client, request);
    }
  }

  Script script_;
  Listener listener_;
  std::atomic<bool> stop_{false};
  std::atomic<int> connections_{0};
  std::thread thread_;
};

}  // namespace accelerate::testing
