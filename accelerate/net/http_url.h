// HttpUrl - an http or https URL taken apart (RFC 3986), and the proxy that leads to it.
//
//   ACC_TRY(HttpUrl url, parse_http_url("https://hub.example/api?full=1"));
//   url.host == "hub.example"; url.port == 443; url.target == "/api?full=1";
//   ACC_TRY(HttpUrl next, resolve_location(url, "../cdn/file"));
//   ACC_TRY(std::optional<HttpProxy> proxy, proxy_for(url, ProxySettings::from_environment()));
//
// Strict: what two readers could understand differently is refused, not guessed. Plain data; errors are invalid_argument and
// never repeat a password.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "accelerate/base/result.h"

namespace accelerate {

inline constexpr size_t kUrlBytesMax = 8192;  // signed download links of object stores are the longest seen, about 2,000

struct HttpUrl {
  bool secure = false;     // https
  std::string host;        // lower case; an IPv6 address without its brackets
  uint16_t port = 0;       // 80 or 443 where none is said
  std::string target = "/";  // path and query as written, percent-encoded; begins with '/'; no fragment

  /// "hub.example", "hub.example:8080", "[::1]:8080": the value of a Host header.
  std::string authority() const;
  /// "https://hub.example:8080"
  std::string origin() const;
  std::string text() const { return origin() + target; }
  bool same_origin(const HttpUrl& other) const { return secure == other.secure && host == other.host && port == other.port; }
};

/// Refuses other schemes, user:password@, blanks and control characters, characters outside ASCII, ports outside 1..65535,
/// and hosts that are no name or address. A fragment is dropped.
Result<HttpUrl> parse_http_url(std::string_view text);

/// Where a redirect from `base` leads: `location` may be absolute, or relative to it in any of RFC 3986's forms.
Result<HttpUrl> resolve_location(const HttpUrl& base, std::string_view location);

/// What the usual variables say; each may be empty.
struct ProxySettings {
  std::string http, https;  // "http://user:password@proxy.example:3128", or host:port
  std::string none;         // "localhost,.example.org,10.0.0.7:8080", or "*"
  /// http_proxy (in lower case only: HTTP_PROXY can be set by a CGI client's header), https_proxy or HTTPS_PROXY, no_proxy or
  /// NO_PROXY.
  static ProxySettings from_environment();
};

struct HttpProxy {
  std::string host;
  uint16_t port = 0;
  std::string authorization;  // the value of Proxy-Authorization; empty = none
};

/// The proxy to use for `url`; nothing = go straight. This machine's own loopback names and addresses never go through one.
/// An entry of `none` covers a host and everything under it ("example.org" also "a.example.org"), with ":port" that port alone.
Result<std::optional<HttpProxy>> proxy_for(const HttpUrl& url, const ProxySettings& settings);

}  // namespace accelerate
