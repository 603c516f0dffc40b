// Server - the HTTP door: OpenAI's routes over the models of an Engine.
//
//   Server server(*engine, {.host = "127.0.0.1", .port = 0});
//   ACC_TRY_VOID(server.start());
//   print(server.url());                      // "http://127.0.0.1:40123"
//   server.stop(std::chrono::seconds(5));
//
// Routes: GET /v1/models, GET /v1/models/{id}, POST /v1/chat/completions, POST /v1/completions, POST /v1/embeddings,
// POST /v1/rerank (and /rerank), POST /tokenize, POST /detokenize, POST /apply-template, GET /health. Requests, replies, errors and event streams are OpenAI's (serve/openai.h). Models may be opened and
// closed while it serves. A thread per connection; start() and stop() belong to one thread; everything else is
// thread-safe. The engine (or whatever the ModelSource reads) must outlive it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "accelerate/base/limits.h"
#include "accelerate/base/result.h"
#include "accelerate/engine/endpoint.h"
#include "accelerate/engine/engine.h"

namespace accelerate {

struct ServeOptions {
  std::string host = "127.0.0.1";  // loopback unless told; other addresses are the caller's decision
  uint16_t port = 8080;            // 0 = any free one, see Server::port()
  std::string api_key;             // empty = none; else "Authorization: Bearer KEY" is asked for under /v1
  uint32_t connections_max = limits::kConnectionsMax;
  size_t body_bytes_max = limits::kRequestBytesMax;
};

/// Where the doors find models. Both functions are thread-safe.
struct ModelSource {
  std::function<std::shared_ptr<Endpoint>(const std::string& name)> find;  // null = no such model
  std::function<std::vector<std::shared_ptr<Endpoint>>()> list;
};

class Server {
 public:
  Server(ModelSource models, ServeOptions options);
  Server(Engine& engine, ServeOptions options)
      : Server(ModelSource{.find = [&engine](const std::string& name) { return engine.find(name); },
                           .list = [&engine] { return engine.endpoints(); }},
               std::move(options)) {}
  /// stop() without grace.
  ~Server();

  /// Listens and returns. already_exists: the port is taken; permission_denied; invalid_argument: no such host.
  Result<void> start();
  /// Accepts nothing new, lets running answers end for `grace`, then cuts them off. Idempotent.
  void stop(std::chrono::milliseconds grace);
  uint16_t port() const;    // the real one; 0 before start()
  std::string url() const;  // "http://127.0.0.1:8080", "http://[::1]:8080"

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace accelerate
