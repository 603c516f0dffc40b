// HttpClient - one HTTP/1.1 exchange after another, plain or behind TLS, through the environment's proxies, each with limits,
// deadlines and a way to stop it.
//
//   HttpClient client;
//   ACC_TRY(HttpResponse page, client.request({.url = "https://hub.example/api/models/x"}));      // page.body, page.status
//
//   HttpReceiver receiver{.body = [&](std::string_view piece) { return write(file, piece); }};    // as it comes: files, SSE
//   ACC_TRY(HttpResponse end, client.request({.url = url, .limits = {.body_bytes_max = size}, .stop = &stop}, receiver));
//
// A connection per exchange. Statuses are not errors: 404 is a response. Redirects of GET and HEAD are followed as
// HttpCall::redirects says, never from https to http; to another origin without Authorization, Cookie and API keys.
// Compressed answers are neither asked for nor taken. Thread-safe; blocks its caller; throws nothing, and its callbacks must
// not throw. Errors name method and URL (without its query, which may be a key) and the cause: unavailable (not reached, no
// answer), deadline_exceeded, cancelled, data_loss (malformed or cut off), resource_exhausted (a limit), failed_precondition
// (TLS or redirect refused), invalid_argument.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "accelerate/base/result.h"
#include "accelerate/net/http.h"
#include "accelerate/net/http_url.h"
#include "accelerate/net/socket.h"
#include "accelerate/net/tls.h"

namespace accelerate {

struct HttpCallLimits {
  uint32_t header_bytes_max = 64 << 10;
  uint32_t header_fields_max = 256;                // object stores send about 30
  uint64_t body_bytes_max = uint64_t{16} << 20;    // of the final response
  uint32_t redirects_max = 5;
};
struct HttpCallTimeouts {
  std::chrono::milliseconds connect{15'000};  // lookup, connection, proxy and TLS together
  std::chrono::milliseconds idle{60'000};     // without a byte in either direction
  std::optional<std::chrono::milliseconds> total;
};

struct HttpCall {
  std::string method = "GET";
  std::string url;
  HttpHeaders headers;  // beside Host, Connection, Content-Length, User-Agent, Accept-Encoding, which are ours
  std::string body;
  enum class Redirects : uint8_t { kFollow, kSameOrigin, kReturn } redirects = Redirects::kFollow;  // what is not followed is the response
  HttpCallLimits limits;
  HttpCallTimeouts timeouts;
  std::optional<NetDeadline> deadline;
  const std::atomic<bool>* stop = nullptr;  // not owned; obeyed within 100 ms
};

struct HttpResponse {
  int status = 0;
  HttpHeaders headers;
  std::string body;  // empty where a receiver took it
  std::string url;   // that answered, after redirects

  const std::string* header(std::string_view name) const { return find_header(headers, name); }
};

/// Takes a response as it comes, on the caller's thread. An error from either ends the exchange and is what request() returns.
struct HttpReceiver {
  std::function<Result<void>(const HttpResponse& head)> head;    // once, before the body; may be empty
  std::function<Result<void>(std::string_view piece)> body;      // may be empty: then the body is collected
};

struct HttpClientOptions {
  std::shared_ptr<const TlsContext> trust;  // a client() context; null = the system's authorities, read at first need
  ProxySettings proxies = ProxySettings::from_environment();
};

class HttpClient {
 public:
  explicit HttpClient(HttpClientOptions options = {}) : options_(std::move(options)) {}
  Result<HttpResponse> request(const HttpCall& call, const HttpReceiver& receiver = {}) const;

 private:
  Result<std::shared_ptr<const TlsContext>> trust() const;
  HttpClientOptions options_;
  mutable std::mutex mutex_;
  mutable std::shared_ptr<const TlsContext> system_trust_;
};

}  // namespace accelerate
