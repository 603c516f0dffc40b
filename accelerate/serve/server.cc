#include "accelerate/serve/server.h"

#include <array>
#include <optional>

#include <fmt/format.h>

#include "accelerate/base/log.h"
#include "accelerate/net/http_server.h"
#include "accelerate/net/url.h"
#include "accelerate/serve/health.h"
#include "accelerate/serve/openai.h"
#include "accelerate/serve/openai_write.h"
#include "accelerate/serve/rerank_route.h"
#include "accelerate/serve/text_routes.h"

namespace accelerate {
namespace {

constexpr std::string_view kModelPrefix = "/v1/models/";

enum class Route { kModels, kModel, kChat, kCompletions, kEmbeddings, kRerank, kTokenize, kDetokenize, kApplyTemplate, kHealth };

struct RouteEntry {
  std::string_view path;
  std::string_view method;  // GET routes answer HEAD too
  Route route;
};
constexpr std::array kRoutes = {
    RouteEntry{"/v1/models", "GET", Route::kModels},
    RouteEntry{"/v1/chat/completions", "POST", Route::kChat},
    RouteEntry{"/v1/completions", "POST", Route::kCompletions},
    RouteEntry{"/v1/embeddings", "POST", Route::kEmbeddings},
    RouteEntry{"/v1/rerank", "POST", Route::kRerank},
    RouteEntry{"/rerank", "POST", Route::kRerank},
    RouteEntry{"/tokenize", "POST", Route::kTokenize},
    RouteEntry{"/detokenize", "POST", Route::kDetokenize},
    RouteEntry{"/apply-template", "POST", Route::kApplyTemplate},
    RouteEntry{"/health", "GET", Route::kHealth},
};

std::optional<RouteEntry> find_route(std::string_view path) {
  for (const RouteEntry& entry : kRoutes) {
    if (entry.path == path) return entry;
  }
  if (path.size() > kModelPrefix.size() && path.starts_with(kModelPrefix)) return RouteEntry{path, "GET", Route::kModel};
  return std::nullopt;
}

// Takes as long for a wrong key as for the right one, so that time does not tell how much of it was right.
bool equal_in_constant_time(std::string_view a, std::string_view b) {
  unsigned difference = a.size() == b.size() ? 0 : 1;
  for (size_t i = 0; i < a.size(); ++i) difference |= static_cast<unsigned char>(a[i] ^ b[b.empty() ? 0 : i % b.size()]);
  return difference == 0;
}

bool key_is_right(const HttpRequest& request, const std::string& key) {
  static constexpr std::string_view kScheme = "Bearer ";
  const std::string* header = request.header("authorization");
  if (header == nullptr || header->size() < kScheme.size()) return false;
  const std::string_view given = *header;
  return equals_ignoring_case(given.substr(0, kScheme.size()), kScheme) &&
         equal_in_constant_time(given.substr(kScheme.size()), key);
}

}  // namespace

struct Server::State {
  State(ModelSource source, ServeOptions given)
      : models(std::move(source)), options(std::move(given)), door(models), health(std::in_place, models) {}

  ModelSource models;
  ServeOptions options;
  OpenAiDoor door;
  std::optional<HealthMonitor> health;
  std::unique_ptr<HttpServer> http;  // last: its handlers use what is above

  void handle(const HttpRequest& request, ResponseWriter& writer);
  void answer(const RouteEntry& entry, const HttpRequest& request, const Responder& to);
};

void Server::State::handle(const HttpRequest& request, ResponseWriter& writer) {
  const Responder to{.writer = writer, .request_id = random_id("req_")};
  log_debug(fmt::format("[serve] {} {} {} from {}, {} bytes", to.request_id, request.method, request.path, request.peer, request.body.size()));
  const std::optional<RouteEntry> entry = find_route(request.path);
  if (!entry) {
    to.fail({.status = 404, .message = fmt::format("[serve] no such URL; got {} {}; try GET /v1/models", request.method, request.path),
             .param = "", .code = "unknown_url"});
    return;
  }
  const bool reads = entry->method == "GET";
  const std::string allow = reads ? "GET, HEAD, OPTIONS" : "POST, OPTIONS";
  if (request.method == "OPTIONS") {
    writer.send(204, {{"allow", allow}, {"x-request-id", to.request_id}}, "");
    return;
  }
  if (request.method != entry->method && !(reads && request.method == "HEAD")) {
    to.fail({.status = 405, .message = fmt::format("[serve] {} takes {}; got {}", request.path, allow, request.method), .param = "",
             .code = "method_not_allowed"}, {{"allow", allow}});
    return;
  }
  if (!options.api_key.empty() && entry->route != Route::kHealth && !key_is_right(request, options.api_key)) {
    to.fail(api_error_of_status(401, "[serve] this server asks for its API key; got none or a wrong one; try 'Authorization: Bearer KEY'"),
            {{"www-authenticate", "Bearer"}});
    return;
  }
  answer(*entry, request, to);
}

void Server::State::answer(const RouteEntry& entry, const HttpRequest& request, const Responder& to) {
  switch (entry.route) {
    case Route::kModels: return door.list_models(to);
    case Route::kChat: return door.chat(request.body, to);
    case Route::kCompletions: return door.completion(request.body, to);
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

Result<void> Server::start() {
  CHECK(state_->http == nullptr, "a server starts once");
  const ServeOptions& options = state_->options;
  HttpServerOptions http;
  http.host = options.host;
  http.port = options.port;
  http.connections_max = options.connections_max;
  http.body_bytes_max = options.body_bytes_max;
  http.body_bytes_total_max = options.body_bytes_max * 8;
  http.error_body = [](int status, std::string_view message) { return error_json(api_error_of_status(status, message)); };
  ACC_TRY(state_->http, HttpServer::start(http, [state = state_.get()](const HttpRequest& request, ResponseWriter& writer) {
    state->handle(request, writer);
  }));
  return {};
}

void Server::stop(std::chrono::milliseconds grace) {
  if (state_->http != nullptr) state_->http->stop(grace);
  state_->health.reset();
}

uint16_t Server::port() const { return state_->http == nullptr ? 0 : state_->http->port(); }

std::string Server::url() const { return "http://" + host_and_port(state_->options.host, port()); }

}  // namespace accelerate
