#include "accelerate/net/http_connection.h"

#include <ctime>

#include <algorithm>
#include <array>
#include <exception>

#include <fmt/format.h>

#include "accelerate/base/log.h"

namespace accelerate {
namespace {

constexpr size_t kReadBytes = size_t{64} << 10;
constexpr size_t kWriteBytes = size_t{256} << 10;  // each has the write timeout: 9 KB/s is the slowest reader
constexpr std::string_view kStoppingText = "[http] a stopping server takes no new requests; got one; try again later";

// "Sun, 06 Nov 1994 08:49:37 GMT": the names are fixed by RFC 9110 whatever the locale.
std::string http_date() {
  static constexpr std::array kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr std::array kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  return fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", kDays[utc.tm_wday], utc.tm_mday, kMonths[utc.tm_mon],
                     utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec);
}

void append_header(std::string& out, std::string_view name, std::string_view value) {
  out += name;
  out += ": ";
  // A line break in a value would start a header of somebody else's making.
  std::transform(value.begin(), value.end(), std::back_inserter(out),
                 [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c; });
  out += "\r\n";
}

std::string head_of(int status, const HttpHeaders& headers) {
  std::string out = fmt::format("HTTP/1.1 {} {}\r\n", status, http_reason(status));
  append_header(out, "date", http_date());
  for (const HttpHeader& h : headers) append_header(out, h.name, h.value);
  return out;
}

}  // namespace

class HttpConnection::Writer final : public ResponseWriter {
 public:
  struct Traits {
    bool head_only = false;
    bool http_1_0 = false;
  };
  Writer(HttpConnection& connection, const Traits& traits, Next& next)
      : connection_(connection), traits_(traits), next_(next) {}

  bool send(int status, const HttpHeaders& headers, std::string_view body) override {
    if (begun_) return false;
    begun_ = true;
    std::string out = head_of(status, headers);
    if (status != 204) append_header(out, "content-length", std::to_string(body.size()));
    append_connection(out);
    out += "\r\n";
    if (!traits_.head_only && status != 204) out += body;
    return put(out);
  }

  bool begin_stream(int status, const HttpHeaders& headers) override {
    if (begun_) return false;
    begun_ = true;
    streaming_ = !traits_.head_only;
    chunked_ = !traits_.http_1_0;
    if (!chunked_) next_ = Next::kClose;
    std::string out = head_of(status, headers);
    if (chunked_) append_header(out, "transfer-encoding", "chunked");
    append_connection(out);
    out += "\r\n";
    return put(out);
  }

  bool write(std::string_view piece) override {
    if (!streaming_) return begun_ && !broken_;
    if (piece.empty()) return !broken_;  // an empty chunk would be the end
    return chunked_ ? put(fmt::format("{:x}\r\n{}\r\n", piece.size(), piece)) : put(piece);
  }

  bool client_gone() override { return broken_ || connection_.socket_.peer_gone(); }

  bool begun() const { return begun_; }
  void end() {
    if (streaming_ && chunked_) put("0\r\n\r\n");
  }
  /// The answer cannot be completed: the peer must see that, not a well-formed end.
  void abandon() {
    streaming_ = false;
    next_ = Next::kClose;
  }

 private:
  void append_connection(std::string& out) {
    if (connection_.shared_.stopping) next_ = Next::kClose;
    append_header(out, "connection", next_ == Next::kKeep ? "keep-alive" : "close");
  }

  bool put(std::string_view bytes) {
    if (broken_) return false;
    for (; !bytes.empty() && !broken_; bytes.remove_prefix(std::min(bytes.size(), kWriteBytes))) {
      const NetDeadline deadline = deadline_in(connection_.shared_.options.timeouts.write);
      broken_ = connection_.socket_.write_all(bytes.substr(0, kWriteBytes), deadline) != Socket::Status::kOk;
    }
    if (broken_) next_ = Next::kClose;
    return !broken_;
  }

  HttpConnection& connection_;
  Traits traits_;
  Next& next_;
  bool begun_ = false, streaming_ = false, chunked_ = false, broken_ = false;
};

HttpConnection::End HttpConnection::serve() {
  Next next = Next::kClose;
  try {
    while ((next = serve_one()) == Next::kKeep) {
    }
  } catch (const std::exception& problem) {  // no memory for a buffer: this connection ends, the others go on
    log_error(fmt::format("[http] a connection ended early; got {}", problem.what()));
    next = Next::kClose;
  }
  release_body();
  busy_ = false;
  std::string().swap(buffer_);  // assigning an empty string would keep the 64 KiB
  if (next == Next::kIdle) return End::kIdle;
  socket_.shut_down_sending();
  socket_.shut_down();
  return End::kClosed;
}

void HttpConnection::refuse(int status, std::string_view message) {
  try {
    const HttpServerOptions& options = shared_.options;
    HttpRefusalAnswer answer;
    if (options.refusal) answer = options.refusal({.status = status, .message = message, .peer = socket_.peer()});
    else answer = {.headers = {{"content-type", "text/plain; charset=utf-8"}}, .body = std::string(message) + "\n"};
    if (status == 503) answer.headers.push_back({"retry-after", "1"});
    Next next = Next::kClose;
    Writer writer(*this, {}, next);
    if (writer.send(status, answer.headers, answer.body)) linger();
  } catch (const std::exception& problem) {
    log_error(fmt::format("[http] a refusal could not be sent; got {}", problem.what()));
  }
  socket_.shut_down();
}

// Closing a socket that holds unread bytes resets it, and the reset can overtake the answer: so what a refused peer still
// sends is read and dropped for a while (the same remedy as nginx's lingering close).
void HttpConnection::linger() {
  socket_.shut_down_sending();
  const NetDeadline deadline = deadline_in(shared_.options.timeouts.linger);
  buffer_.resize(kReadBytes);
  while (std::chrono::steady_clock::now() < deadline &&
         socket_.read(buffer_.data(), buffer_.size(), deadline).status == Socket::Status::kOk) {
  }
}

Socket::Status HttpConnection::read_more(NetDeadline deadline) {
  const size_t held = buffer_.size();
  buffer_.resize(held + kReadBytes);
  const Socket::Read read = socket_.read(buffer_.data() + held, kReadBytes, deadline);
  buffer_.resize(held + read.bytes);
  return read.status;
}

HttpConnection::Next HttpConnection::serve_one() {
  if (buffer_.empty()) {
    const Socket::Status status = read_more(deadline_in(std::min(kStay, shared_.options.timeouts.idle)));
    if (status != Socket::Status::kOk) return status == Socket::Status::kTimeout ? Next::kIdle : Next::kClose;
  }
  HttpRequestParser parser({.header_bytes_max = shared_.options.header_bytes_max,
                            .header_fields_max = shared_.options.header_fields_max,
                            .body_bytes_max = shared_.options.body_bytes_max});
  if (read_request(parser) == Next::kClose) return Next::kClose;
  busy_ = true;  // before the look at stopping: stop() cuts off whoever is not busy
  if (shared_.stopping) {
    refuse(503, kStoppingText);
    return Next::kClose;
  }
  const Next next = answer(parser);
  release_body();
  busy_ = false;
  return shared_.stopping ? Next::kClose : next;
}

HttpConnection::Next HttpConnection::read_request(HttpRequestParser& parser) {
  const HttpTimeouts& timeouts = shared_.options.timeouts;
  NetDeadline deadline = deadline_in(timeouts.header);
  bool header_seen = false;
  for (;;) {
    buffer_.erase(0, parser.feed(buffer_));
    if (const auto& fault = parser.fault()) {
      refuse(fault->status, fault->message);
      return Next::kClose;
    }
    if (parser.header_done() && !header_seen) {
      header_seen = true;
      deadline = deadline_in(timeouts.body);
      if (!parser.done() && shared_.options.wants_body && !shared_.options.wants_body(parser.head())) return Next::kKeep;
      if (!parser.done() && buffer_.empty() && parser.expects_continue() &&
          socket_.write_all("HTTP/1.1 100 Continue\r\n\r\n", deadline) != Socket::Status::kOk) {
        return Next::kClose;
      }
    }
    if (header_seen && !hold_body(parser.body_bytes())) {
      refuse(503, "[http] the requests under way fill the memory set aside for them; try again later");
      return Next::kClose;
    }
    if (parser.done()) return Next::kKeep;
    const Socket::Status status = read_more(deadline);
    if (status == Socket::Status::kClosed && shared_.stopping) refuse(503, kStoppingText);
    if (status == Socket::Status::kTimeout) refuse(408, "[http] a request arrives within the time limit; got a slower one");
    if (status != Socket::Status::kOk) return Next::kClose;
  }
}

HttpConnection::Next HttpConnection::answer(HttpRequestParser& parser) {
  const bool unread = !parser.done();  // nobody wants the body
  Next next = parser.keep_alive() && !unread ? Next::kKeep : Next::kClose;
  const bool http_1_0 = parser.is_http_1_0();
  HttpRequest request = parser.take();
  request.peer = socket_.peer();
  if (unread) request.body.clear();
  Writer writer(*this, {.head_only = request.method == "HEAD", .http_1_0 = http_1_0}, next);
  std::string problem;
  try {
    shared_.handler(request, writer);
    if (!writer.begun()) {
      if (writer.client_gone()) return Next::kClose;  // nobody is left to answer
      problem = "no answer";
    }
  } catch (const std::exception& thrown) {
    problem = thrown.what();
  } catch (...) {
    problem = "an exception of unknown type";
  }
  if (problem.empty()) {
    writer.end();
    if (unread) linger();
    return next;
  }
  log_error(fmt::format("[http] {} {} has to be answered; got {} from its handler", request.method, request.path, problem));
  if (writer.begun()) {
    writer.abandon();
  } else {
    refuse(500, "[http] this request met an internal error; the log has the cause");
  }
  return Next::kClose;
}

bool HttpConnection::hold_body(size_t bytes) {
  const size_t more = bytes - body_bytes_held_;
  body_bytes_held_ = bytes;
  return shared_.body_bytes_held.fetch_add(more) + more <= shared_.options.body_bytes_total_max;
}

void HttpConnection::release_body() {
  shared_.body_bytes_held -= body_bytes_held_;
  body_bytes_held_ = 0;
}

}  // namespace accelerate
