#include "accelerate/net/http_url.h"

#include <arpa/inet.h>
#include <openssl/evp.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <vector>

#include <fmt/format.h>

#include "accelerate/net/http.h"
#include "accelerate/net/url.h"

namespace accelerate {
namespace {

Error url_error(std::string_view rule, std::string_view got, std::string_view hint = "https://host/path") {
  return {ErrorCode::kInvalidArgument, fmt::format("[url] {}; got '{}'; try {}", rule, got, hint)};
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  return out;
}

// For messages: what could be a password is not repeated, nor what would disturb a terminal.
std::string shown(std::string_view text) {
  std::string out(text.substr(0, 200));
  const size_t start = out.find("://") == std::string::npos ? 0 : out.find("://") + 3;
  if (const size_t at = out.rfind('@'); at != std::string::npos && at >= start) out.replace(start, at - start, "...");
  for (char& c : out) c = c < 0x20 || c > 0x7e ? '?' : c;
  return out;
}

bool is_host_name(std::string_view host) {
  if (host.empty() || host.size() > 253 || host.front() == '.' || host.find("..") != std::string_view::npos) return false;
  return std::all_of(host.begin(), host.end(), [](char c) { return is_digit(c) || is_letter(c) || c == '-' || c == '.' || c == '_'; });
}

// "2130706433", "0x7f.1": other programs read these as 127.0.0.1, and check another host than they connect to.
bool looks_numeric(std::string_view host) {
  const std::string_view last = host.substr(host.rfind('.') == std::string_view::npos ? 0 : host.rfind('.') + 1);
  return !last.empty() && is_digit(last.front()) &&
         std::all_of(last.begin(), last.end(), [](char c) { return is_digit(c) || is_letter(c); }) &&
         (std::all_of(last.begin(), last.end(), is_digit) || last.substr(0, 2) == "0x" || last.substr(0, 2) == "0X");
}

std::optional<std::string> read_host(std::string_view text, bool bracketed) {
  const std::string host(text);
  in_addr v4;
  in6_addr v6;
  if (bracketed) {
    if (::inet_pton(AF_INET6, host.c_str(), &v6) != 1) return std::nullopt;
    char canonical[INET6_ADDRSTRLEN] = {};
    ::inet_ntop(AF_INET6, &v6, canonical, sizeof canonical);
    return std::string(canonical);
  }
  if (::inet_pton(AF_INET, host.c_str(), &v4) == 1) return host;
  if (!is_host_name(host) || looks_numeric(host)) return std::nullopt;
  return lower(host);
}

struct Authority {
  std::string host;
  std::optional<uint16_t> port;
};

Result<Authority> read_authority(std::string_view text) {
  const bool bracketed = !text.empty() && text.front() == '[';
  const size_t close = bracketed ? text.find(']') : std::string_view::npos;
  if (bracketed && close == std::string_view::npos) return url_error("an IPv6 address stands in brackets", shown(text), "http://[::1]:8080/");
  const size_t host_end = bracketed ? close + 1 : std::min(text.find(':'), text.size());
  const std::string_view after = text.substr(host_end);
  std::optional<std::string> host = read_host(bracketed ? text.substr(1, close - 1) : text.substr(0, host_end), bracketed);
  if (!host) return url_error("a host is a name, an IPv4 address or an IPv6 address in brackets", shown(text));
  if (after.empty()) return Authority{std::move(*host), std::nullopt};
  const std::string_view digits = after.substr(1);
  uint32_t port = 0;
  const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (after.front() != ':' || problem != std::errc() || end != digits.data() + digits.size() || port == 0 || port > 65535) {
    return url_error("a port is a number from 1 to 65535", shown(text), "http://host:8080/");
  }
  return Authority{std::move(*host), static_cast<uint16_t>(port)};
}

// RFC 3986 section 5.2.4, of a path that begins with '/'.
std::string without_dots(std::string_view path) {
  std::vector<std::string_view> kept;
  bool ends_open = false;
  for (size_t at = 1; at <= path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    const std::string_view segment = path.substr(at, end - at);
    ends_open = segment == "." || segment == "..";
    if (segment == ".." && !kept.empty()) kept.pop_back();
    if (!ends_open) kept.push_back(segment);
    at = end + 1;
  }
  std::string out;
  for (const std::string_view segment : kept) {
    out += '/';
    out += segment;
  }
  return ends_open || out.empty() ? out + "/" : out;
}

std::string base64(std::string_view text) {
  std::string out((text.size() + 2) / 3 * 4 + 1, '\0');  // and the terminator OpenSSL writes
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()), reinterpret_cast<const unsigned char*>(text.data()),
                                   static_cast<int>(text.size()));
  out.resize(static_cast<size_t>(size));
  return out;
}

bool is_this_machine(std::string_view host) {
  if (host == "localhost" || host == "::1" || (host.size() > 10 && host.substr(host.size() - 10) == ".localhost")) return true;
  in_addr v4;
  return ::inet_pton(AF_INET, std::string(host).c_str(), &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127;
}

bool covers(std::string_view entry, const HttpUrl& url) {
  while (!entry.empty() && (entry.front() == ' ' || entry.front() == '\t')) entry.remove_prefix(1);
  while (!entry.empty() && (entry.back() == ' ' || entry.back() == '\t')) entry.remove_suffix(1);
  if (entry == "*") return true;
  std::string name = lower(entry);
  if (name.find(':') == name.rfind(':') || name.find(']') != std::string::npos) {  // not a bare IPv6 address
    const Result<Authority> split = read_authority(name.substr(0, 1) == "." ? name.substr(1) : name);
    if (!split || (split->port && *split->port != url.port)) return false;
    name = split->host;
  }
  if (name.empty()) return false;
  if (url.host == name) return true;
  return url.host.size() > name.size() && url.host.ends_with(name) && url.host[url.host.size() - name.size() - 1] == '.';
}

std::string variable(const char* name, const char* other) {
  const char* value = std::getenv(name);
  if ((value == nullptr || *value == '\0') && other != nullptr) value = std::getenv(other);
  return value != nullptr ? value : "";
}

}  // namespace

std::string HttpUrl::authority() const {
  if (port != (secure ? 443 : 80)) return host_and_port(host, port);
  return host.find(':') == std::string::npos ? host : "[" + host + "]";
}

std::string HttpUrl::origin() const { return (secure ? "https://" : "http://") + authority(); }

Result<HttpUrl> parse_http_url(std::string_view text) {
  if (text.size() > kUrlBytesMax) return url_error(fmt::format("a URL has at most {} bytes", kUrlBytesMax), fmt::format("{} bytes", text.size()));
  if (!std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; }) || text.find('\\') != std::string_view::npos) {
    return url_error("a URL is ASCII without blanks, control characters and backslashes; others are percent-encoded", shown(text));
  }
  const size_t scheme_end = text.find("://");
  const std::string scheme = lower(text.substr(0, std::min(scheme_end, text.size())));
  if (scheme_end == std::string_view::npos || (scheme != "http" && scheme != "https")) {
    return url_error("a URL begins with http:// or https://", shown(text));
  }
  std::string_view rest = text.substr(scheme_end + 3);
  rest = rest.substr(0, rest.find('#'));
  const size_t host_end = std::min(rest.find_first_of("/?"), rest.size());
  const std::string_view authority = rest.substr(0, host_end);
  if (authority.find('@') != std::string_view::npos) return url_error("a URL carries no user or password", shown(text));
  ACC_TRY(Authority split, read_authority(authority));
  HttpUrl url{.secure = scheme == "https", .host = std::move(split.host), .target = std::string(rest.substr(host_end))};
  url.port = split.port.value_or(url.secure ? 443 : 80);
  if (url.target.empty() || url.target.front() != '/') url.target.insert(0, "/");
  return url;
}

Result<HttpUrl> resolve_location(const HttpUrl& base, std::string_view location) {
  if (location.substr(0, 2) == "//") return parse_http_url((base.secure ? "https:" : "http:") + std::string(location));
  const size_t colon = location.find(':');
  if (colon != std::string_view::npos && colon < location.find_first_of("/?#")) return parse_http_url(location);  // has a scheme
  const std::string_view base_path = std::string_view(base.target).substr(0, base.target.find('?'));
  location = location.substr(0, location.find('#'));
  const size_t query_at = std::min(location.find('?'), location.size());
  const std::string_view path = location.substr(0, query_at);
  std::string target;
  if (path.empty()) {
    target = query_at == location.size() ? base.target : std::string(base_path);  // the query alone is replaced
  } else {
    target = without_dots(path.front() == '/' ? std::string(path) : std::string(base_path.substr(0, base_path.rfind('/') + 1)) + std::string(path));
  }
  return parse_http_url(base.origin() + target + std::string(location.substr(query_at)));
}

ProxySettings ProxySettings::from_environment() {
  return {.http = variable("http_proxy", nullptr), .https = variable("https_proxy", "HTTPS_PROXY"), .none = variable("no_proxy", "NO_PROXY")};
}

Result<std::optional<HttpProxy>> proxy_for(const HttpUrl& url, const ProxySettings& settings) {
  const std::string& chosen = url.secure ? settings.https : settings.http;
  if (chosen.empty() || is_this_machine(url.host)) return std::optional<HttpProxy>();
  for (size_t at = 0; at <= settings.none.size();) {
    const size_t end = std::min(settings.none.find(',', at), settings.none.size());
    if (covers(std::string_view(settings.none).substr(at, end - at), url)) return std::optional<HttpProxy>();
    at = end + 1;
  }
  const std::string_view name = url.secure ? "https_proxy" : "http_proxy";
  std::string_view rest = chosen;
  if (const size_t scheme_end = rest.find("://"); scheme_end != std::string_view::npos) {
    if (lower(rest.substr(0, scheme_end)) != "http") {
      return url_error(fmt::format("{} names a proxy spoken to over http", name), shown(chosen), "http://proxy.example:3128");
    }
    rest.remove_prefix(scheme_end + 3);
  }
  rest = rest.substr(0, rest.find('/'));
  HttpProxy proxy;
  if (const size_t at = rest.rfind('@'); at != std::string_view::npos) {
    const std::optional<std::string> user = percent_decode(rest.substr(0, at));
    if (!user) return url_error(fmt::format("the user and password of {} are percent-encoded", name), shown(chosen), "http://proxy.example:3128");
    proxy.authorization = "Basic " + base64(*user);
    rest.remove_prefix(at + 1);
  }
  const Result<Authority> split = read_authority(rest);
  if (!split) return Error{split.error().code, fmt::format("{} (of {})", split.error().message, name)};
  proxy.host = split->host;
  proxy.port = split->port.value_or(80);
  return std::optional<HttpProxy>(std::move(proxy));
}

}  // namespace accelerate
