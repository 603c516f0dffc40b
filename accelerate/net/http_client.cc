#include "accelerate/net/http_client.h"

#include <algorithm>
#include <exception>
#include <span>
#include <vector>

#include <fmt/format.h>

#include "accelerate/net/connect.h"
#include "accelerate/net/http_parser.h"
#include "accelerate/net/url.h"

namespace accelerate {
namespace {

constexpr size_t kReadBytes = size_t{64} << 10;
constexpr size_t kWriteBytes = size_t{256} << 10;  // a piece of a request that has to go within the idle timeout
constexpr int kInterimMax = 8;                     // 1xx responses before the final one
constexpr std::string_view kOurs[] = {"host", "connection", "content-length", "transfer-encoding", "proxy-authorization"};
constexpr std::string_view kSecrets[] = {"authorization", "cookie", "x-api-key", "api-key"};

bool is_one_of(std::string_view name, std::span<const std::string_view> names) {
  return std::any_of(names.begin(), names.end(), [&](std::string_view n) { return equals_ignoring_case(n, name); });
}

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  });
}

Result<void> check_call(const HttpCall& call) {
  if (!is_token(call.method) || call.method == "CONNECT") {
    return Error{ErrorCode::kInvalidArgument, fmt::format("[http] a method is a word such as GET; got {} bytes that are none", call.method.size())};
  }
  for (const HttpHeader& header : call.headers) {
    const bool clean = std::none_of(header.value.begin(), header.value.end(), [](char c) { return (c >= 0 && c < 0x20 && c != '\t') || c == 0x7f; });
    if (!is_token(header.name) || !clean) {
      return Error{ErrorCode::kInvalidArgument, fmt::format("[http] a header is one line of text; got one with control characters, for '{}'",
                                                            is_token(header.name) ? header.name : "a name that is none")};
    }
    if (is_one_of(header.name, kOurs)) return Error{ErrorCode::kInvalidArgument, fmt::format("[http] the client writes '{}' itself; got it from its caller", header.name)};
  }
  return {};
}

/// One request and its answer over one connection.
class HttpHop {
 public:
  HttpHop(const HttpCall& call, const HttpUrl& url, NetDeadline total)
      : call_(call), url_(url), total_(total), bytes_(kReadBytes) {}

  Result<void> open(const std::optional<HttpProxy>& proxy, const TlsContext* trust);
  Result<void> send(const HttpHeaders& headers);
  Result<HttpResponse> read_head();
  Result<void> read_body(HttpResponse& response, const HttpReceiver& receiver);
  Error failed(ErrorCode code, std::string_view rule, std::string_view got, std::string_view hint = {}) const;

 private:
  Error named(const Error& error) const { return {error.code, error.message + where()}; }
  std::string where() const { return fmt::format(" ({} {}{})", call_.method, url_.origin(), url_.target.substr(0, url_.target.find('?'))); }
  Error timed_out(std::string_view waiting_for) const;
  Error lost() const;
  NetDeadline idle_deadline() const { return std::min(total_, deadline_in(call_.timeouts.idle)); }
  Result<void> tunnel(const HttpProxy& proxy, NetDeadline deadline);
  Result<void> secure(const TlsContext& trust, NetDeadline deadline);
  Socket::Status write(std::string_view bytes);
  Result<bool> feed_more(HttpResponseParser& parser, NetDeadline deadline);

  const HttpCall& call_;
  const HttpUrl& url_;
  NetDeadline total_;
  Socket socket_;
  std::optional<HttpProxy> proxy_;
  std::vector<char> bytes_;
  std::string held_;  // read and not yet parsed
  std::optional<HttpResponseParser> parser_;  // of the response that is read; a new one behind each 1xx
};

Error HttpHop::failed(ErrorCode code, std::string_view rule, std::string_view got, std::string_view hint) const {
  return {code, fmt::format("[http] {}; got {}{}{}{}", rule, got, where(), hint.empty() ? "" : "; try ", hint)};
}

Error HttpHop::timed_out(std::string_view waiting_for) const {
  if (call_.stop != nullptr && call_.stop->load(std::memory_order_relaxed)) return failed(ErrorCode::kCancelled, "an exchange goes on until it is stopped", fmt::format("a stop while waiting for {}", waiting_for));
  if (std::chrono::steady_clock::now() >= total_) return failed(ErrorCode::kDeadlineExceeded, "an exchange has a time limit", fmt::format("to its end while waiting for {}", waiting_for));
  return failed(ErrorCode::kDeadlineExceeded, fmt::format("a server answers within {} ms", call_.timeouts.idle.count()), fmt::format("nothing while waiting for {}", waiting_for));
}

Error HttpHop::lost() const {
  const std::string& why = socket_.why_closed();
  return failed(ErrorCode::kUnavailable, "a server answers", fmt::format("the connection closed without an answer{}{}", why.empty() ? "" : ": ", why));
}

Result<void> HttpHop::open(const std::optional<HttpProxy>& proxy, const TlsContext* trust) {
  proxy_ = proxy;
  const NetDeadline deadline = std::min(total_, deadline_in(call_.timeouts.connect));
  Result<Socket> connected = connect_tcp(proxy ? proxy->host : url_.host, proxy ? proxy->port : url_.port, {.deadline = deadline, .stop = call_.stop});
  if (!connected) return named({connected.error().code, connected.error().message + (proxy ? " as the proxy" : "")});
  socket_ = std::move(*connected);
  if (!url_.secure) return {};
  if (proxy) ACC_TRY_VOID(tunnel(*proxy, deadline));
  return secure(*trust, deadline);
}

Result<void> HttpHop::tunnel(const HttpProxy& proxy, NetDeadline deadline) {
  const std::string goal = host_and_port(url_.host, url_.port);
  std::string ask = fmt::format("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n", goal);
  if (!proxy.authorization.empty()) ask += "Proxy-Authorization: " + proxy.authorization + "\r\n";
  const std::string name = host_and_port(proxy.host, proxy.port);
  if (const Socket::Status sent = socket_.write_all(ask + "\r\n", deadline); sent == Socket::Status::kTimeout) return timed_out("the proxy " + name);
  HttpResponseParser parser({.header_bytes_max = call_.limits.header_bytes_max}, {.of_head = true});
  while (!parser.done()) {
    ACC_TRY(const bool more, feed_more(parser, deadline));
    if (!more) return failed(ErrorCode::kUnavailable, "a proxy answers CONNECT", fmt::format("nothing from {}", name));
  }
  if (parser.status() / 100 != 2) {
    return failed(ErrorCode::kUnavailable, "a proxy connects to the host it is asked for", fmt::format("status {} ({}) from the proxy {}", parser.status(), http_reason(parser.status()), name),
                  parser.status() == 407 ? "a user and password in https_proxy" : "no_proxy for hosts reached without it");
  }
  if (!held_.empty()) return failed(ErrorCode::kDataLoss, "nothing comes ahead of TLS", fmt::format("{} bytes from the proxy {}", held_.size(), name));
  return {};
}

Result<void> HttpHop::secure(const TlsContext& trust, NetDeadline deadline) {
  const Socket::Status status = socket_.start_tls(trust, url_.host, deadline);
  if (status == Socket::Status::kTimeout) return timed_out("the TLS handshake");
  if (status == Socket::Status::kOk) return {};
  const std::string& why = socket_.why_closed();
  return failed(ErrorCode::kFailedPrecondition, "a server proves over TLS that it is the host asked for", why.empty() ? "an end of the connection" : why,
                why.find("certificate") != std::string::npos ? "SSL_CERT_FILE=FILE.pem where a private authority signs" : "");
}

Socket::Status HttpHop::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const Socket::Status status = socket_.write_all(bytes.substr(0, kWriteBytes), idle_deadline());
    if (status != Socket::Status::kOk) return status;
    bytes.remove_prefix(std::min(kWriteBytes, bytes.size()));
  }
  return Socket::Status::kOk;
}

Result<void> HttpHop::send(const HttpHeaders& headers) {
  const bool through_proxy = proxy_ && !url_.secure;
  std::string head = fmt::format("{} {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", call_.method, through_proxy ? url_.text() : url_.target, url_.authority());
  if (through_proxy && !proxy_->authorization.empty()) head += "Proxy-Authorization: " + proxy_->authorization + "\r\n";
  if (find_header(headers, "user-agent") == nullptr) head += "User-Agent: ipfs-accelerate\r\n";
  if (find_header(headers, "accept-encoding") == nullptr) head += "Accept-Encoding: identity\r\n";
  for (const HttpHeader& header : headers) head += header.name + ": " + header.value + "\r\n";
  if (!call_.body.empty() || call_.method == "POST" || call_.method == "PUT") head += fmt::format("Content-Length: {}\r\n", call_.body.size());
  Socket::Status status = write(head + "\r\n");
  if (status == Socket::Status::kOk) status = write(call_.body);
  if (status == Socket::Status::kTimeout) return timed_out("the request to be taken");
  return {};  // a server may refuse a request, and close, before it has read all of it: its answer says more
}

// False at the end of the connection, when what came makes no whole message.
Result<bool> HttpHop::feed_more(HttpResponseParser& parser, NetDeadline deadline) {
  const Socket::Read read = socket_.read(bytes_.data(), bytes_.size(), deadline);
  if (read.status == Socket::Status::kTimeout) return timed_out(parser.header_done() ? "more of the body" : "the response");
  if (read.status == Socket::Status::kClosed) {
    // A body without a length is whole only where the end was meant: a reset, or TLS that breaks off, is none.
    if (!parser.header_done() && held_.empty()) return false;
    if (!socket_.why_closed().empty()) return failed(ErrorCode::kDataLoss, "a response is whole", "one cut off: " + socket_.why_closed());
    parser.end();
  } else {
    held_.append(bytes_.data(), read.bytes);
    held_.erase(0, parser.feed(held_));
  }
  if (parser.fault()) return named(*parser.fault());
  return true;
}

Result<HttpResponse> HttpHop::read_head() {
  const HttpParserLimits limits{.header_bytes_max = call_.limits.header_bytes_max, .header_fields_max = call_.limits.header_fields_max, .body_bytes_max = 0};
  for (int interim = 0; interim <= kInterimMax; ++interim) {
    parser_.emplace(limits, HttpResponseParser::Question{.of_head = call_.method == "HEAD"});
    held_.erase(0, parser_->feed(held_));  // behind a 1xx
    while (!parser_->header_done() && !parser_->fault()) {
      ACC_TRY(const bool more, feed_more(*parser_, idle_deadline()));
      if (!more) return lost();
    }
    if (parser_->fault()) return named(*parser_->fault());
    const int status = parser_->status();
    if (status >= 200) return HttpResponse{.status = status, .headers = parser_->headers(), .body = {}, .url = url_.text()};
    if (status == 101) return failed(ErrorCode::kDataLoss, "a server stays with HTTP/1.1", "a switch to another protocol");
  }
  return failed(ErrorCode::kDataLoss, fmt::format("at most {} interim responses come before the final one", kInterimMax), "more");
}

Result<void> HttpHop::read_body(HttpResponse& response, const HttpReceiver& receiver) {
  const uint64_t limit = call_.limits.body_bytes_max;
  const auto too_long = [&](std::string_view got) { return failed(ErrorCode::kResourceExhausted, fmt::format("a response body has at most {} bytes here", limit), got); };
  if (const std::string* coding = response.header("content-encoding"); coding != nullptr && !equals_ignoring_case(*coding, "identity")) {
    return failed(ErrorCode::kUnimplemented, "bodies are not compressed, as was asked for", "content-encoding " + coding->substr(0, 40));
  }
  if (const auto announced = parser_->body_bytes_announced(); announced && *announced > limit && call_.method != "HEAD") return too_long(fmt::to_string(*announced));
  if (receiver.head) ACC_TRY_VOID(receiver.head(response));
  uint64_t taken = 0;
  for (;;) {
    const std::string piece = parser_->take_body();
    taken += piece.size();
    if (taken > limit) return too_long("more");
    if (!piece.empty() && receiver.body) ACC_TRY_VOID(receiver.body(piece));
    if (!receiver.body) response.body += piece;
    if (parser_->done()) return {};
    if (call_.stop != nullptr && call_.stop->load(std::memory_order_relaxed)) return timed_out("more of the body");  // also where bytes never pause
    if (std::chrono::steady_clock::now() >= total_) return timed_out("more of the body");
    ACC_TRY_VOID(feed_more(*parser_, idle_deadline()));
  }
}

bool is_redirect(int status) { return status == 301 || status == 302 || status == 303 || status == 307 || status == 308; }

/// Where to go on, or nothing where `response` is the answer.
Result<std::optional<HttpUrl>> next_url(const HttpCall& call, const HttpUrl& url, const HttpResponse& response, const HttpHop& hop) {
  if (!is_redirect(response.status) || call.redirects == HttpCall::Redirects::kReturn) return std::optional<HttpUrl>();
  const std::string* location = response.header("location");
  if (location == nullptr) return std::optional<HttpUrl>();
  Result<HttpUrl> next = resolve_location(url, *location);
  if (!next) return hop.failed(ErrorCode::kDataLoss, "a redirect leads to an http or https URL", next.error().message);
  if (call.redirects == HttpCall::Redirects::kSameOrigin && !next->same_origin(url)) return std::optional<HttpUrl>();
  const std::string goal = next->origin() + next->target.substr(0, next->target.find('?'));
  if (url.secure && !next->secure) return hop.failed(ErrorCode::kFailedPrecondition, "a redirect never leads from https to http", goal);
  if (call.method != "GET" && call.method != "HEAD") {
    return hop.failed(ErrorCode::kFailedPrecondition, fmt::format("redirects of {} are not followed", call.method), "one to " + goal, "that URL");
  }
  return std::optional<HttpUrl>(std::move(*next));
}

}  // namespace

Result<std::shared_ptr<const TlsContext>> HttpClient::trust() const {
  if (options_.trust != nullptr) return options_.trust;
  const std::lock_guard lock(mutex_);
  if (system_trust_ == nullptr) {
    ACC_TRY(system_trust_, TlsContext::client({}));
  }
  return system_trust_;
}

Result<HttpResponse> HttpClient::request(const HttpCall& call, const HttpReceiver& receiver) const {
  try {
    ACC_TRY_VOID(check_call(call));
    ACC_TRY(HttpUrl url, parse_http_url(call.url));
    NetDeadline total = call.deadline.value_or(NetDeadline::max());
    if (call.timeouts.total) total = std::min(total, deadline_in(*call.timeouts.total));
    HttpHeaders headers = call.headers;
    for (uint32_t redirects = 0;; ++redirects) {
      ACC_TRY(const std::optional<HttpProxy> proxy, proxy_for(url, options_.proxies));
      std::shared_ptr<const TlsContext> believed;
      if (url.secure) {
        ACC_TRY(believed, trust());
      }
      HttpHop hop(call, url, total);
      ACC_TRY_VOID(hop.open(proxy, believed.get()));
      ACC_TRY_VOID(hop.send(headers));
      ACC_TRY(HttpResponse response, hop.read_head());
      ACC_TRY(std::optional<HttpUrl> next, next_url(call, url, response, hop));
      if (!next) {
        ACC_TRY_VOID(hop.read_body(response, receiver));
        return response;
      }
      if (redirects >= call.limits.redirects_max) return hop.failed(ErrorCode::kFailedPrecondition, fmt::format("at most {} redirects are followed", call.limits.redirects_max), "more");
      if (!next->same_origin(url)) std::erase_if(headers, [](const HttpHeader& header) { return is_one_of(header.name, kSecrets); });
      url = std::move(*next);
    }
  } catch (const std::exception& problem) {  // no memory
    return Error{ErrorCode::kResourceExhausted, fmt::format("[http] an exchange has to fit the memory; got {}", problem.what())};
  }
}

}  // namespace accelerate
