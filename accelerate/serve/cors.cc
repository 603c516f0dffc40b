#include "accelerate/serve/cors.h"

#include <algorithm>

#include <fmt/format.h>

namespace accelerate {
namespace {

constexpr size_t kAskedHeadersBytesMax = 2048;  // the official client sends about 15 of its own, in 300 bytes
constexpr std::string_view kAgeSeconds = "600";  // browsers cap it: Chromium at 7200

bool origin_like(std::string_view text) {
  if (text == "null") return true;
  const size_t scheme_end = text.find("://");
  if (scheme_end == 0 || scheme_end == std::string_view::npos || scheme_end + 3 == text.size()) return false;
  const std::string_view rest = text.substr(scheme_end + 3);
  return std::all_of(rest.begin(), rest.end(), [](char c) { return c > ' ' && c < 0x7f && std::string_view("/?#@*,\"'").find(c) == std::string_view::npos; });
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  return out;
}

// A list of header names and nothing else: it goes into our answer.
bool names_only(std::string_view list) {
  return list.size() <= kAskedHeadersBytesMax && std::all_of(list.begin(), list.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == ',' || c == ' ';
  });
}

}  // namespace

Result<CorsPolicy> CorsPolicy::allow(const std::vector<std::string>& origins) {
  CorsPolicy policy;
  for (const std::string& origin : origins) {
    if (origin == "*") {
      policy.all_ = true;
    } else if (origin_like(origin)) {
      policy.origins_.push_back(lower(origin));
    } else {
      return Error{ErrorCode::kInvalidArgument, fmt::format("[cors] an origin is scheme://host or scheme://host:port without a path; got "
                                                            "'{}'; try https://app.example, or * for every page", origin)};
    }
  }
  return policy;
}

bool CorsPolicy::allows(const HttpRequest& request) const {
  const std::string* origin = request.header("origin");
  return origin != nullptr && (all_ || std::find(origins_.begin(), origins_.end(), lower(*origin)) != origins_.end());
}

HttpHeaders CorsPolicy::headers(const HttpRequest& request) const {
  if (!all_ && origins_.empty()) return {};
  HttpHeaders out;
  if (!all_) out.push_back({"vary", "Origin"});  // "*" is the same answer for everybody
  if (!allows(request)) return out;
  out.push_back({"access-control-allow-origin", all_ ? "*" : *request.header("origin")});
  out.push_back({"access-control-expose-headers", "x-request-id, retry-after, ipfs-accelerate-target"});
  return out;
}

bool CorsPolicy::is_preflight(const HttpRequest& request) {
  return request.method == "OPTIONS" && request.header("origin") != nullptr && request.header("access-control-request-method") != nullptr;
}

HttpHeaders CorsPolicy::preflight_headers(const HttpRequest& request, std::string_view methods) const {
  if (!allows(request)) return {};
  HttpHeaders out = {{"access-control-allow-methods", std::string(methods)}, {"access-control-max-age", std::string(kAgeSeconds)}};
  const std::string* asked = request.header("access-control-request-headers");
  if (asked != nullptr && !asked->empty() && names_only(*asked)) out.push_back({"access-control-allow-headers", *asked});
  return out;
}

}  // namespace accelerate
