// An OpenAI-compatible upstream for tests: its answers are written here by hand, as events with pauses, cuts and refusals.
#pragma once

#include <mutex>
#include <string>

#include "accelerate/core/model.h"
#include "tests/net/raw_server.h"

namespace accelerate::testing {

class Upstream {
 public:
  using Answer = std::function<void(Socket& client, const std::string& request)>;
  explicit Upstream(Answer answer) : server_([this, answer = std::move(answer)](Socket& client, const std::string& head) {
    std::string request = head;
    const size_t at = head.find("Content-Length: ");
    const size_t body = at == std::string::npos ? 0 : std::stoul(head.substr(at + 16));
    char bytes[4096];
    while (request.size() < head.find("\r\n\r\n") + 4 + body) {
      const Socket::Read read = client.read(bytes, sizeof bytes, deadline_in(std::chrono::seconds(10)));
      if (read.status != Socket::Status::kOk) break;
      request.append(bytes, read.bytes);
    }
    {
      const std::lock_guard lock(mutex_);
      last_ = request;
    }
    if (request.starts_with("GET /v1/models ")) return say(client, 200, models);
    answer(client, request);
  }) {}

  std::string models = R"({"object": "list", "data": [{"id": "m/1"}, {"id": "other"}]})";
  std::string url() const { return server_.url("/v1"); }
  std::string last() {
    const std::lock_guard lock(mutex_);
    return last_;
  }

  static void say(Socket& client, int status, const std::string& body) {
    RawServer::say(client, "HTTP/1.1 " + std::to_string(status) + " X\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
  }
  static void begin(Socket& client) { RawServer::say(client, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"); }
  static void event(Socket& client, const std::string& data) {
    const std::string text = "data: " + data + "\n\n";
    char size[16];
    std::snprintf(size, sizeof size, "%zx\r\n", text.size());
    RawServer::say(client, size + text + "\r\n");
  }
  static void text(Socket& client, const std::string& words) { event(client, R"({"choices": [{"index": 0, "delta": {"content": ")" + words + R"("}}]})"); }
  static void end(Socket& client, const std::string& reason = "stop") {
    event(client, R"({"choices": [{"index": 0, "delta": {}, "finish_reason": ")" + reason + R"("}]})");
    event(client, R"({"choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": 2}})");
    event(client, "[DONE]");
    RawServer::say(client, "0\r\n\r\n");
  }

  std::shared_ptr<Model> model(const std::string& id = "m/1") const {
    auto made = std::make_shared<Model>();
    made->format = "relay";
    made->config.name = id;
    made->config.other = {{"relay.name", "up"}, {"relay.url", url()}};
    return made;
  }

 private:
  std::mutex mutex_;
  std::string last_;
  RawServer server_;
};

}  // namespace accelerate::testing
