#include "accelerate/serve/server.h"

#include <array>
#include <optional>

#include <fmt/format.h>

#include "accelerate/base/log.h"
#include "accelerate/net/http_server.h"
#include "accelerate/net/socket.h"
#include "accelerate/net/url.h"
#include "accelerate/serve/access_log.h"
#include "accelerate/serve/admin_routes.h"
#include "accelerate/serve/client_limit.h"
#include "accelerate/serve/cors.h"
#include "accelerate/serve/exchange.h"
#include "accelerate/serve/health.h"
#include "accelerate/serve/metrics.h"
#include "accelerate/serve/openai.h"
#include "accelerate/serve/openai_write.h"
#include "accelerate/serve/rerank_route.h"
#include "accelerate/serve/responses_route.h"
#include "accelerate/serve/text_routes.h"

namespace accelerate {
namespace {

constexpr std::string_view kModelPrefix = "/v1/models/";

enum class Route { kModels, kModel, kChat, kCompletions, kResponses, kEmbeddings, kRerank, kTokenize, kDetokenize, kApplyTemplate, kHealth, kMetrics };

struct RouteEntry {
  std::string_view path;
  std::string_view method;  // GET routes answer HEAD too
  Route route;
};
constexpr std::array kRoutes = {
    RouteEntry{"/v1/models", "GET", Route::kModels},
    RouteEntry{"/v1/chat/completions", "POST", Route::kChat},
    RouteEntry{"/v1/completions", "POST", Route::kCompletions},
    RouteEntry{"/v1/responses", "POST", Route::kResponses},
    RouteEntry{"/v1/embeddings", "POST", Route::kEmbeddings},
    RouteEntry{"/v1/rerank", "POST", Route::kRerank},
    RouteEntry{"/rerank", "POST", Route::kRerank},
    RouteEntry{"/tokenize", "POST", Route::kTokenize},
    RouteEntry{"/detokenize", "POST", Route::kDetokenize},
    RouteEntry{"/apply-template", "POST", Route::kApplyTemplate},
    RouteEntry{"/health", "GET", Route::kHealth},
    RouteEntry{"/metrics", "GET", Route::kMetrics},
};

std::optional<RouteEntry> find_route(std::string_view path) {
  for (const RouteEntry& entry : kRoutes) {
    if (entry.path == path) return entry;
  }
  if (path.size() > kModelPrefix.size() && path.starts_with(kModelPrefix)) return RouteEntry{path, "GET", Route::kModel};
  return std::nullopt;
}

// The key of "Authorization: Bearer KEY"; empty = none.
std::string_view bearer_key(const HttpRequest& request) {
  static constexpr std::string_view kScheme = "Bearer ";
  const std::string* header = request.header("authorization");
  if (header == nullptr || header->size() < kScheme.size()) return {};
  const std::string_view given = *header;
  return equals_ignoring_case(given.substr(0, kScheme.size()), kScheme) ? given.substr(kScheme.size()) : std::string_view();
}

void unknown_url(const HttpRequest& request, const Responder& to) {
  to.fail({.status = 404, .message = fmt::format("[serve] no such URL; got {} {}; try GET /v1/models", request.method, request.path), .param = "",
           .code = "unknown_url"});
}

void wrong_method(const HttpRequest& request, const std::string& allow, const Responder& to) {
  to.fail({.status = 405, .message = fmt::format("[serve] {} takes {}; got {}", request.path, allow, request.method), .param = "", .code = "method_not_allowed"},
          {{"allow", allow}});
}

std::string_view route_name(const RouteEntry& entry) { return entry.route == Route::kModel ? "/v1/models/{id}" : entry.path; }

}  // namespace

ModelSource models_of(Engine& engine) {
  return {.find = [&engine](const std::string& name) -> Result<std::shared_ptr<Endpoint>> {
            if (std::shared_ptr<Endpoint> endpoint = engine.find(name)) return endpoint;
            return Error{ErrorCode::kNotFound, fmt::format("[serve] a model that is open is asked for by its name; got '{}'", name)};
          },
          .list = [&engine] { return engine.endpoints(); },
          .admin = {.engine = &engine}};
}

ModelSource models_of(ModelRoster& roster, Administered admin) {
  return {.find = [&roster](const std::string& name) { return roster.acquire(name); },
          .list = [&roster] {
            std::vector<std::shared_ptr<Endpoint>> loaded;
            for (RosterStatus& status : roster.list()) {
              if (status.endpoint) loaded.push_back(std::move(status.endpoint));
            }
            return loaded;
          },
          .roster = [&roster] { return roster.list(); },
          .admin = std::move(admin)};
}

struct Server::State {
  State(ModelSource source, ServeOptions given)
      : models(std::move(source)), options(std::move(given)), door(models), admin(models.admin, options.admin_keys), client_limit(options.requests_per_key),
        health(std::in_place, models) {}

  ModelSource models;
  ServeOptions options;
  OpenAiDoor door;
  AdminDoor admin;
  ClientLimit client_limit;
  std::optional<HealthMonitor> health;
  CorsPolicy cors;
  std::shared_ptr<const TlsContext> tls;
  Metrics metrics;
  std::unique_ptr<AccessLog> access_log;  // there = prepared
  std::unique_ptr<HttpServer> http;       // last: its handlers use what is above

  void handle(const HttpRequest& request, ResponseWriter& writer);
  void admit(const HttpRequest& request, Exchange& exchange);
  void admit_to_admin(const HttpRequest& request, AccessRecord& record, Responder& to);
  void preflight(const HttpRequest& request, const std::string& allow, const Responder& to);
  void answer(const RouteEntry& entry, const HttpRequest& request, const Responder& to);
  bool wants_body(const HttpRequest& head) const;
  HttpRefusalAnswer refuse(const HttpRefusal& refusal);
};

void Server::State::handle(const HttpRequest& request, ResponseWriter& writer) {
  Exchange exchange(request, writer, cors.headers(request));
  const std::string& id = exchange.record().id;
  log_debug(fmt::format("[serve] {} {} {} from {}, {} bytes", id, request.method, request.path, request.peer, request.body.size()));
  try {
    admit(request, exchange);
  } catch (const std::exception& problem) {  // no memory, most likely
    log_error(fmt::format("[serve] {} has to be answered; got {}", id, problem.what()));
    if (exchange.begun()) throw;  // the connection shows that the answer is not whole
    Responder{.writer = exchange, .request_id = id}.fail(api_error_of_status(500, "[serve] this request met an internal error; the log has the cause"));
  }
  const AccessRecord& record = exchange.finish();
  metrics.count(record);
  access_log->write(record);
}

// Route, method, key, the key's limit; then the door.
void Server::State::admit(const HttpRequest& request, Exchange& exchange) {
  AccessRecord& record = exchange.record();
  Responder to{.writer = exchange, .request_id = record.id, .model = &record.model};
  if (AdminDoor::owns(request.path)) return admit_to_admin(request, record, to);
  const std::optional<RouteEntry> entry = find_route(request.path);
  if (!entry) return unknown_url(request, to);
  record.route = route_name(*entry);
  const bool reads = entry->method == "GET";
  const std::string allow = reads ? "GET, HEAD, OPTIONS" : "POST, OPTIONS";
  if (request.method == "OPTIONS") return preflight(request, allow, to);
  if (request.method != entry->method && !(reads && request.method == "HEAD")) return wrong_method(request, allow, to);
  if (options.keys.empty() || entry->route == Route::kHealth) return answer(*entry, request, to);
  const std::optional<std::string> client = options.keys.client_of(bearer_key(request));
  if (!client) {
    to.fail(api_error_of_status(401, "[serve] this server asks for an API key; got none or a wrong one; try 'Authorization: Bearer KEY'"),
            {{"www-authenticate", "Bearer"}});
    return;
  }
  record.client = to.client = *client;
  const ClientLimit::Permit permit = client_limit.admit(*client);
  if (permit) return answer(*entry, request, to);
  to.fail(api_error_of_status(429, fmt::format("[serve] one API key has at most {} requests under way; got one more; try again when one has ended",
                                               client_limit.requests_max())));
}

// The same with an admin key. No limit of requests at a time: what is heavy there runs once or not at all.
void Server::State::admit_to_admin(const HttpRequest& request, AccessRecord& record, Responder& to) {
  const std::optional<AdminPath> path = AdminDoor::find(request.path);
  if (!path) return unknown_url(request, to);
  record.route = path->pattern;
  if (request.method == "OPTIONS") return preflight(request, path->allow, to);
  if (!path->takes(request.method)) return wrong_method(request, path->allow, to);
  Parsed<std::string> client = admin.client_of(bearer_key(request));
  if (!client.ok()) {
    const HttpHeaders ask = client.error().status == 401 ? HttpHeaders{{"www-authenticate", "Bearer"}} : HttpHeaders();
    return void(to.fail(client.error(), ask));
  }
  record.client = to.client = *client;
  admin.answer(*path, request, to);
}

void Server::State::preflight(const HttpRequest& request, const std::string& allow, const Responder& to) {
  HttpHeaders headers = {{"allow", allow}, {"x-request-id", to.request_id}};
  if (CorsPolicy::is_preflight(request)) {
    for (HttpHeader& header : cors.preflight_headers(request, allow)) headers.push_back(std::move(header));
  }
  to.writer.send(204, headers, "");
}

// Only of requests that get as far as a door.
bool Server::State::wants_body(const HttpRequest& head) const {
  if (AdminDoor::owns(head.path)) {
    const std::optional<AdminPath> path = AdminDoor::find(head.path);
    return path && path->takes(head.method) && admin.client_of(bearer_key(head)).ok();
  }
  const std::optional<RouteEntry> entry = find_route(head.path);
  return entry && entry->method == head.method && (options.keys.empty() || options.keys.client_of(bearer_key(head)));
}

// What never became a request: malformed, too large, too slow, too many.
HttpRefusalAnswer Server::State::refuse(const HttpRefusal& refusal) {
  AccessRecord record{.id = random_id("req_"), .status = refusal.status, .peer = refusal.peer};
  HttpRefusalAnswer answer{.headers = {{"content-type", "application/json"}, {"x-request-id", record.id}},
                           .body = error_json(api_error_of_status(refusal.status, refusal.message))};
  record.bytes_out = answer.body.size();
  metrics.count(record);
  access_log->write(record);
  return answer;
}

void Server::State::answer(const RouteEntry& entry, const HttpRequest& request, const Responder& to) {
  switch (entry.route) {
    case Route::kModels: return door.list_models(to);
    case Route::kChat: return door.chat(request.body, to);
    case Route::kCompletions: return door.completion(request.body, to);
    case Route::kResponses: return responses_route(models, request.body, to);
    case Route::kEmbeddings: return door.embeddings(request.body, to);
    case Route::kRerank: return rerank_route(models, request.body, to);
    case Route::kTokenize: return tokenize_route(models, request.body, to);
    case Route::kDetokenize: return detokenize_route(models, request.body, to);
    case Route::kApplyTemplate: return apply_template_route(models, request.body, to);
    case Route::kModel: {
      const std::optional<std::string> name = percent_decode(std::string_view(request.path).substr(kModelPrefix.size()));
      if (name) return door.show_model(*name, to);
      to.fail({.message = "[serve] a model's name in a URL has whole percent escapes; got a broken one", .param = "model", .code = ""});
      return;
    }
    case Route::kMetrics:
      to.writer.send(200, {{"content-type", std::string(kMetricsContentType)}, {"cache-control", "no-store"}, {"x-request-id", to.request_id}},
                     metrics.text(models.list(), models.roster()));
      return;
    case Route::kHealth: {
      const HealthReport report = health->report();
      to.writer.send(report.http_status, {{"content-type", "application/json"}, {"cache-control", "no-store"}, {"x-request-id", to.request_id}},
                     report.json);
      return;
    }
  }
}

Server::Server(ModelSource models, ServeOptions options) : state_(std::make_unique<State>(std::move(models), std::move(options))) {}

Server::~Server() { stop(std::chrono::milliseconds(0)); }

Result<void> Server::prepare() {
  State& state = *state_;
  const ServeOptions& options = state.options;
  if (state.access_log != nullptr) return {};
  if (options.keys.empty() && !options.insecure && !is_loopback(options.host)) {
    return Error{ErrorCode::kInvalidArgument, fmt::format("[serve] an address that others can reach needs an API key; got --host {} without one; "
                                                          "try --api-key-file FILE, or --insecure to serve whoever comes", options.host)};
  }
  ACC_TRY(state.cors, CorsPolicy::allow(options.cors_origins));
  if (options.tls.certificate.empty() != options.tls.key.empty()) {
    return Error{ErrorCode::kInvalidArgument, "[serve] TLS needs a certificate and its key; got one of them; try --tls-cert FILE --tls-key FILE"};
  }
  if (!options.tls.key.empty()) {
    ACC_TRY(state.tls, TlsContext::load(options.tls));
  }
  ACC_TRY(state.access_log, AccessLog::open(options.access_log));
  return {};
}

Result<void> Server::start() {
  CHECK(state_->http == nullptr, "a server starts once");
  ACC_TRY_VOID(prepare());
  const ServeOptions& options = state_->options;
  HttpServerOptions http;
  http.host = options.host;
  http.port = options.port;
  http.connections_max = options.connections_max;
  http.header_bytes_max = options.header_bytes_max;
  http.body_bytes_max = options.body_bytes_max;
  http.body_bytes_total_max = options.body_bytes_max * 8;
  http.timeouts = options.timeouts;
  http.tls = state_->tls;
  http.wants_body = [state = state_.get()](const HttpRequest& head) { return state->wants_body(head); };
  http.refusal = [state = state_.get()](const HttpRefusal& refusal) { return state->refuse(refusal); };
  ACC_TRY(state_->http, HttpServer::start(http, [state = state_.get()](const HttpRequest& request, ResponseWriter& writer) {
    state->handle(request, writer);
  }));
  return {};
}

void Server::stop(std::chrono::milliseconds grace, const std::function<bool()>& hurry) {
  if (state_->http != nullptr) state_->http->stop(grace, hurry);
  state_->health.reset();
}

uint16_t Server::port() const { return state_->http == nullptr ? 0 : state_->http->port(); }

std::string Server::url() const {
  return (state_->tls == nullptr ? "http://" : "https://") + host_and_port(state_->options.host, port());
}

}  // namespace accelerate
