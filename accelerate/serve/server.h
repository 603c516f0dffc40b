// Server - the HTTP door: OpenAI's routes over the models of an Engine.
//
//   Server server(*engine, {.host = "127.0.0.1", .port = 0});
//   ACC_TRY_VOID(server.start());
//   print(server.url());                      // "http://127.0.0.1:40123"
//   server.stop(std::chrono::seconds(5));
//
// Access: API keys, limits on every size, time and count, CORS, TLS; an access log. A request has an id, its caller's
// X-Request-Id or one of ours, in every answer and every log line.
//
// Routes: GET /v1/models, GET /v1/models/{id}, POST /v1/chat/completions, POST /v1/completions, POST /v1/responses,
// POST /v1/embeddings, POST /v1/rerank (and /rerank), POST /tokenize, POST /detokenize, POST /apply-template, GET /health,
// GET /metrics; with an admin key those of serve/admin_routes.h. Requests, replies,
// errors and event streams are OpenAI's (serve/openai.h). Models may be opened and closed while it serves. A thread per request;
// prepare(), start() and stop() belong to one thread; everything else is
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
#include "accelerate/engine/model_roster.h"
#include "accelerate/net/http_server.h"
#include "accelerate/serve/api_keys.h"

namespace accelerate {

struct ServeOptions {
  std::string host = "127.0.0.1";  // loopback; any other address needs keys, or `insecure`
  uint16_t port = 8080;            // 0 = any free one, see Server::port()
  ApiKeys keys;                    // none = nothing asked for; else "Authorization: Bearer KEY", but for /health
  ApiKeys admin_keys;              // for /v1/admin and nothing else; none = those routes are refused
  bool insecure = false;           // a public address without keys
  uint32_t connections_max = limits::kConnectionsMax;
  uint32_t requests_per_key = limits::kQueuedRequestsMax / 2;  // at a time; 0 = no limit. One key alone can not fill a queue
  uint32_t header_bytes_max = 32 << 10;
  size_t body_bytes_max = limits::kRequestBytesMax;
  HttpTimeouts timeouts;
  std::vector<std::string> cors_origins;  // see CorsPolicy::allow
  TlsFiles tls;                           // both or neither
  std::string access_log;                 // see AccessLog::open
};

/// What /v1/admin is about. All must outlive the server.
struct Administered {
  Engine* engine = nullptr;       // null = there is nothing to administer
  ModelRoster* roster = nullptr;  // null = no models come and go
  OpenOptions open = {};          // of a model that is added, where its request does not say
};

/// Where the doors find models. All functions are thread-safe.
struct ModelSource {
  std::function<Result<std::shared_ptr<Endpoint>>(const std::string& name)> find;  // loaded where it has to be; not_found = no such model
  std::function<std::vector<std::shared_ptr<Endpoint>>()> list;                     // those that are loaded
  std::function<std::vector<RosterStatus>()> roster = [] { return std::vector<RosterStatus>(); };  // those that come and go, loaded or not
  Administered admin = {};
};
/// The models of an engine that are open, or those of a roster.
ModelSource models_of(Engine& engine);
ModelSource models_of(ModelRoster& roster, Administered admin = {});

class Server {
 public:
  Server(ModelSource models, ServeOptions options);
  Server(Engine& engine, ServeOptions options) : Server(models_of(engine), std::move(options)) {}
  /// stop() without grace.
  ~Server();

  /// Checks the options and reads the files they name, so that a mistake shows before a model is loaded. start() does it
  /// where nobody did. invalid_argument for a public address without keys, broken origins, certificates; errors of files.
  Result<void> prepare();
  /// Listens and returns. already_exists: the port is taken; permission_denied; invalid_argument: no such host.
  Result<void> start();
  /// Accepts nothing new, answers requests that arrive still with 503, lets running answers end for `grace` or until `hurry`
  /// (may be empty) says true, then cuts them off. Idempotent.
  void stop(std::chrono::milliseconds grace, const std::function<bool()>& hurry = {});
  uint16_t port() const;    // the real one; 0 before start()
  std::string url() const;  // "http://127.0.0.1:8080", "https://[::1]:8080"

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace accelerate
