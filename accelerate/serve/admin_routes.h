// AdminDoor - the routes under /v1/admin: what this machine is, can and knows, and what it is to do.
//
//   AdminDoor admin(models.admin, options.admin_keys);
//   if (const auto path = AdminDoor::find(request.path)) {                   // "/v1/admin/models/smollm2"
//     const Parsed<std::string> client = admin.client_of(bearer_key(request));
//     if (client.ok()) admin.answer(*path, request, to);
//   }
//
// They have keys of their own (--admin-key-file): whoever holds one can read any file that is a model and spend the machine.
// Replies are the objects of the verbs' --json (serve/admin_write.h); refusals are as everywhere. One bench runs at a time,
// and ends when its client leaves. Thread-safe; throws nothing of its own.
#pragma once

#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "accelerate/net/http.h"
#include "accelerate/serve/api_keys.h"
#include "accelerate/serve/openai.h"
#include "accelerate/serve/server.h"

namespace accelerate {

inline constexpr size_t kAdminSamplesMax = 1'000'000;  // numbers in one reply of /v1/admin/records

struct AdminRoute {
  std::string_view method, pattern;  // "GET", "/v1/admin/models/{name}"
};
std::span<const AdminRoute> admin_routes();

/// A path that is one of the patterns. {name} is one segment: a '/' in it is %2F.
struct AdminPath {
  std::string_view pattern;  // for logs and metrics
  std::string allow;         // "GET, HEAD, OPTIONS"
  std::string_view name;     // {name}, percent-encoded still; into the path that was looked up

  bool takes(std::string_view method) const;  // OPTIONS apart, which needs no key
};

class AdminDoor {
 public:
  /// Without an engine all that is asked is refused with 501.
  AdminDoor(Administered what, ApiKeys keys) : what_(std::move(what)), keys_(std::move(keys)) {}

  static bool owns(std::string_view path) { return path == "/v1/admin" || path.starts_with("/v1/admin/"); }
  static std::optional<AdminPath> find(std::string_view path);
  /// Whose key it is; 403 where the server has no admin key, 401 for none or another.
  Parsed<std::string> client_of(std::string_view key) const;
  /// For a client that client_of knows and a method that `path` takes.
  void answer(const AdminPath& path, const HttpRequest& request, const Responder& to);

 private:
  void endpoints(const AdminPath& path, const std::string& name, const HttpRequest& request, const Responder& to) const;
  void plan(std::string_view body, const Responder& to) const;
  void bench(std::string_view body, const Responder& to);
  void records(std::string_view query, const Responder& to) const;
  void model(const std::string& word, const Responder& to) const;

  Administered what_;
  ApiKeys keys_;
  std::mutex bench_turn_;
};

}  // namespace accelerate
