// CorsPolicy - which web pages may read our answers (the CORS protocol of the Fetch standard).
//
//   ACC_TRY(CorsPolicy cors, CorsPolicy::allow({"https://app.example"}));
//   writer.send(200, cors.headers(request), body);
//   if (cors.is_preflight(request)) writer.send(204, cors.preflight_headers(request, "POST, OPTIONS"), "");
//
// Keys travel in a header that scripts set themselves, so credentials (cookies) are never allowed. Plain value.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "accelerate/base/result.h"
#include "accelerate/net/http.h"

namespace accelerate {

class CorsPolicy {
 public:
  /// Allows no page anything.
  CorsPolicy() = default;
  /// Origins as browsers send them ("https://app.example:8443", "null"), or "*" for all. invalid_argument names another text.
  static Result<CorsPolicy> allow(const std::vector<std::string>& origins);

  /// For any answer: nothing without an allow-list; Vary alone for an origin that is not on it.
  HttpHeaders headers(const HttpRequest& request) const;
  static bool is_preflight(const HttpRequest& request);
  /// Beside headers(), where the origin is allowed: `methods`, and the request headers asked for.
  HttpHeaders preflight_headers(const HttpRequest& request, std::string_view methods) const;

 private:
  bool allows(const HttpRequest& request) const;
  std::vector<std::string> origins_;  // lower case
  bool all_ = false;
};

}  // namespace accelerate
