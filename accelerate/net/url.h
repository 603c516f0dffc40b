// URL pieces (RFC 3986), as far as an HTTP server needs them; http_url.h takes whole URLs.
//
//   RequestTarget t = split_target("/v1/models/a%2Fb?limit=3");  // {"/v1/models/a%2Fb", "limit=3"}
//   percent_decode("a%2Fb");                                      // "a/b"
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace accelerate {

struct RequestTarget {
  std::string path, query;
};
/// Origin form, absolute form (its scheme and authority are dropped) or "*". Nothing for anything else.
std::optional<RequestTarget> split_target(std::string_view target);

/// Nothing for a broken escape such as "%4" or "%zz".
std::optional<std::string> percent_decode(std::string_view text);

/// Everything but letters, digits, "-._~" and the characters of `kept` becomes %XX.
std::string percent_encode(std::string_view text, std::string_view kept = {});

/// "127.0.0.1:80", "[::1]:80".
std::string host_and_port(std::string_view host, unsigned port);

}  // namespace accelerate
