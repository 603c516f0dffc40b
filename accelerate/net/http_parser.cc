#include "accelerate/net/http_parser.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <fmt/format.h>

#include "accelerate/net/url.h"

namespace accelerate {
namespace {

namespace beast_http = boost::beast::http;
using BeastError = boost::beast::error_code;

// Beast asserts that it is not shown a last chunk's first 4 bytes alone a second time; what is left of a chunked body that is not over is more.
constexpr size_t kChunkedRestMin = 5;
template <class Parser>
bool waits_for_more(const Parser& parser, std::string_view bytes) {
  return parser.is_header_done() && parser.chunked() && bytes.size() < kChunkedRestMin;
}

// A body that grows with what has arrived. Beast's string_body reserves what the sender announces instead.
struct GrowingBody {
  using value_type = std::string;
  class reader {
   public:
    template <bool kIsRequest, class Fields>
    reader(beast_http::header<kIsRequest, Fields>&, value_type& body) : body_(body) {}
    void init(const boost::optional<std::uint64_t>&, BeastError& error) { error = {}; }
    template <class Buffers>
    std::size_t put(const Buffers& buffers, BeastError& error) {
      error = {};
      std::size_t taken = 0;
      for (auto it = boost::asio::buffer_sequence_begin(buffers); it != boost::asio::buffer_sequence_end(buffers); ++it) {
        const boost::asio::const_buffer piece = *it;
        body_.append(static_cast<const char*>(piece.data()), piece.size());
        taken += piece.size();
      }
      return taken;
    }
    void finish(BeastError& error) { error = {}; }

   private:
    value_type& body_;
  };
};

HttpRequestParser::Fault fault_of(const BeastError& error, const HttpParserLimits& limits, std::string_view bytes) {
  if (error == beast_http::error::body_limit) {
    return {413, fmt::format("[http] a request body has at most {} bytes; got more; try a smaller request", limits.body_bytes_max)};
  }
  if (error == beast_http::error::header_limit || error == beast_http::error::buffer_overflow) {
    return {431, fmt::format("[http] request line and headers have at most {} bytes; got more", limits.header_bytes_max)};
  }
  const std::string_view line = bytes.substr(0, bytes.find("\r\n"));
  const bool names_http = line.find(" HTTP/") != std::string_view::npos && line.find('\n') == std::string_view::npos;
  if (error == beast_http::error::bad_version && names_http) {
    return {505, "[http] only HTTP/1.0 and HTTP/1.1 are spoken here; got another version"};
  }
  return {400, fmt::format("[http] a request follows RFC 9112; got a malformed one ({})", error.message())};
}

// Whether a header line begins with a blank (obs-fold): RFC 9112 section 5.2 lets a server refuse it, and proxies differ.
bool folds(std::string_view bytes) {
  const std::string_view head = bytes.substr(0, bytes.find("\r\n\r\n"));
  return head.find("\r\n ") != std::string_view::npos || head.find("\r\n\t") != std::string_view::npos;
}

}  // namespace

struct HttpRequestParser::State {
  HttpParserLimits limits;
  beast_http::request_parser<GrowingBody> parser;
  std::optional<Fault> fault;
  RequestTarget target;
  bool target_checked = false;

  // What Beast leaves to its user: the target's form, and Host (RFC 9112 section 3.2 asks HTTP/1.1 for exactly one).
  void check_header() {
    target_checked = true;
    const auto& message = parser.get();
    std::optional<RequestTarget> split = split_target({message.target().data(), message.target().size()});
    if (!split) {
      fault = Fault{400, "[http] a request target is a path such as /v1/models; got another form"};
      return;
    }
    target = std::move(*split);
    if (message.version() >= 11 && message.count(beast_http::field::host) != 1) {
      fault = Fault{400, fmt::format("[http] an HTTP/1.1 request has one Host header; got {}", message.count(beast_http::field::host))};
      return;
    }
    if (message.version() != 10 && message.version() != 11) {
      fault = Fault{505, "[http] only HTTP/1.0 and HTTP/1.1 are spoken here; got another version"};
      return;
    }
    if (const auto count = std::distance(message.begin(), message.end()); count > static_cast<std::ptrdiff_t>(limits.header_fields_max)) {
      fault = Fault{431, fmt::format("[http] a request has at most {} header fields; got {}", limits.header_fields_max, count)};
      return;
    }
    check_length();
    if (!fault) check_encoding();
  }

  // Beast takes one length said twice, and a list of equal ones.
  void check_length() {
    const auto& message = parser.get();
    const auto count = message.count(beast_http::field::content_length);
    const auto length = message[beast_http::field::content_length];
    const bool digits = std::all_of(length.begin(), length.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (count > 1 || !digits) fault = Fault{400, "[http] Content-Length comes once and is a number; got it otherwise"};
  }

  // A server that reads a length one way and a proxy that reads it another is how requests are smuggled: one coding, said
  // once, and never with HTTP/1.0 (RFC 9112 section 6.1).
  void check_encoding() {
    const auto& message = parser.get();
    const auto count = message.count(beast_http::field::transfer_encoding);
    const auto encoding = message[beast_http::field::transfer_encoding];
    if (count == 0) return;
    if (count > 1 || message.version() == 10) {
      fault = Fault{400, "[http] Transfer-Encoding comes once, with HTTP/1.1; got it otherwise"};
    } else if (!parser.chunked() || !equals_ignoring_case({encoding.data(), encoding.size()}, "chunked")) {
      fault = Fault{501, "[http] the one transfer encoding known here is chunked; got another"};
    }
  }
};

HttpRequestParser::HttpRequestParser(const HttpParserLimits& limits) : state_(std::make_unique<State>()) {
  state_->limits = limits;
  state_->parser.header_limit(limits.header_bytes_max);
  state_->parser.body_limit(static_cast<std::uint64_t>(limits.body_bytes_max));
  state_->parser.eager(true);
}

HttpRequestParser::~HttpRequestParser() = default;

size_t HttpRequestParser::feed(std::string_view bytes) {
  if (state_->fault || state_->parser.is_done() || waits_for_more(state_->parser, bytes)) return 0;
  size_t used = 0;
  try {
    if (!state_->parser.is_header_done() && folds(bytes)) {
      state_->fault = Fault{400, "[http] a header field is one line; got one folded over several"};
      return 0;
    }
    BeastError error;
    used = state_->parser.put(boost::asio::const_buffer(bytes.data(), bytes.size()), error);
    if (error && error != beast_http::error::need_more) state_->fault = fault_of(error, state_->limits, bytes);
    if (!state_->fault && state_->parser.is_header_done() && !state_->target_checked) state_->check_header();
    // What Beast waits for the rest of is a line: of the header, which it bounds itself, of a chunk, or of the trailers.
    if (!state_->fault && !state_->parser.is_done() && bytes.size() - used > state_->limits.header_bytes_max) {
      state_->fault = Fault{431, fmt::format("[http] chunk lines and trailers have at most {} bytes; got more", state_->limits.header_bytes_max)};
    }
  } catch (const std::exception& problem) {
    state_->fault = Fault{503, fmt::format("[http] a request has to fit the memory; got {}", problem.what())};
  }
  return used;
}

const std::optional<HttpRequestParser::Fault>& HttpRequestParser::fault() const { return state_->fault; }
bool HttpRequestParser::header_done() const { return state_->parser.is_header_done(); }
bool HttpRequestParser::done() const { return !state_->fault && state_->parser.is_done(); }
bool HttpRequestParser::keep_alive() const { return state_->parser.get().keep_alive(); }
bool HttpRequestParser::is_http_1_0() const { return state_->parser.get().version() == 10; }
size_t HttpRequestParser::body_bytes() const { return state_->parser.get().body().size(); }

bool HttpRequestParser::expects_continue() const {
  const auto value = state_->parser.get()[beast_http::field::expect];
  return !is_http_1_0() && equals_ignoring_case({value.data(), value.size()}, "100-continue");
}

uint64_t HttpRequestParser::body_bytes_left() const {
  return state_->parser.content_length_remaining().value_or(0);
}

HttpRequest HttpRequestParser::head() const {
  HttpRequest request;
  const auto& message = state_->parser.get();
  request.method = std::string(message.method_string());
  request.path = state_->target.path;
  request.query = state_->target.query;
  for (const auto& field : message.base()) {
    request.headers.push_back({std::string(field.name_string()), std::string(field.value())});
  }
  return request;
}

HttpRequest HttpRequestParser::take() {
  HttpRequest request = head();
  request.body = std::move(state_->parser.get().body());
  return request;
}

struct HttpResponseParser::State {
  HttpParserLimits limits;
  beast_http::response_parser<GrowingBody> parser;
  std::optional<Error> fault;
  bool header_checked = false;

  void fail(ErrorCode code, std::string_view rule, std::string_view got) {
    fault = Error{code, fmt::format("[http] {}; got {}", rule, got)};
  }
  // As for requests: a length or a coding that two readers could understand differently.
  void check_header() {
    header_checked = true;
    const auto& message = parser.get();
    const auto length = message[beast_http::field::content_length];
    const bool digits = std::all_of(length.begin(), length.end(), [](char c) { return c >= '0' && c <= '9'; });
    const auto encoding = message[beast_http::field::transfer_encoding];
    const auto encodings = message.count(beast_http::field::transfer_encoding);
    if (message.version() != 10 && message.version() != 11) {
      fail(ErrorCode::kDataLoss, "only HTTP/1.0 and HTTP/1.1 are spoken here", "another version");
    } else if (const auto count = std::distance(message.begin(), message.end()); count > static_cast<std::ptrdiff_t>(limits.header_fields_max)) {
      fail(ErrorCode::kResourceExhausted, fmt::format("a response has at most {} header fields", limits.header_fields_max), fmt::to_string(count));
    } else if (message.count(beast_http::field::content_length) > 1 || !digits) {
      fail(ErrorCode::kDataLoss, "Content-Length comes once and is a number", "it otherwise");
    } else if (encodings > 1 || (encodings == 1 && (!parser.chunked() || !equals_ignoring_case({encoding.data(), encoding.size()}, "chunked")))) {
      fail(ErrorCode::kDataLoss, "the one transfer encoding known here is chunked", "another");
    }
  }
};

HttpResponseParser::HttpResponseParser(const HttpParserLimits& limits, Question question) : state_(std::make_unique<State>()) {
  state_->limits = limits;
  state_->parser.header_limit(limits.header_bytes_max);
  state_->parser.body_limit(boost::none);  // whoever takes the pieces counts them
  state_->parser.eager(true);
  state_->parser.skip(question.of_head);
}

HttpResponseParser::~HttpResponseParser() = default;

size_t HttpResponseParser::feed(std::string_view bytes) {
  State& s = *state_;
  if (s.fault || s.parser.is_done() || waits_for_more(s.parser, bytes)) return 0;
  size_t used = 0;
  try {
    if (!s.parser.is_header_done() && folds(bytes)) {
      s.fail(ErrorCode::kDataLoss, "a header field is one line", "one folded over several");
      return 0;
    }
    BeastError error;
    used = s.parser.put(boost::asio::const_buffer(bytes.data(), bytes.size()), error);
    if (error == beast_http::error::header_limit || error == beast_http::error::buffer_overflow) {
      s.fail(ErrorCode::kResourceExhausted, fmt::format("status line and headers have at most {} bytes", s.limits.header_bytes_max), "more");
    } else if (error && error != beast_http::error::need_more) {
      s.fail(ErrorCode::kDataLoss, "a response follows RFC 9112", fmt::format("a malformed one ({})", error.message()));
    }
    if (!s.fault && s.parser.is_header_done() && !s.header_checked) s.check_header();
    if (!s.fault && !s.parser.is_done() && bytes.size() - used > s.limits.header_bytes_max) {
      s.fail(ErrorCode::kResourceExhausted, fmt::format("chunk lines and trailers have at most {} bytes", s.limits.header_bytes_max), "more");
    }
  } catch (const std::exception& problem) {
    s.fail(ErrorCode::kResourceExhausted, "a response has to fit the memory", problem.what());
  }
  return used;
}

void HttpResponseParser::end() {
  if (state_->fault || done()) return;
  BeastError error;
  if (state_->parser.is_header_done()) state_->parser.put_eof(error);
  if (!state_->parser.is_done()) state_->fail(ErrorCode::kDataLoss, "a response is whole", "one that is cut off");
}

const std::optional<Error>& HttpResponseParser::fault() const { return state_->fault; }
bool HttpResponseParser::header_done() const { return state_->header_checked && !state_->fault; }
bool HttpResponseParser::done() const { return !state_->fault && state_->parser.is_done(); }
int HttpResponseParser::status() const { return static_cast<int>(state_->parser.get().result_int()); }
bool HttpResponseParser::ends_with_connection() const { return state_->parser.need_eof(); }
std::string HttpResponseParser::take_body() { return std::exchange(state_->parser.get().body(), {}); }

std::optional<uint64_t> HttpResponseParser::body_bytes_announced() const {
  const auto length = state_->parser.content_length();
  return length ? std::optional<uint64_t>(*length) : std::nullopt;
}

HttpHeaders HttpResponseParser::headers() const {
  HttpHeaders headers;
  for (const auto& field : state_->parser.get().base()) headers.push_back({std::string(field.name_string()), std::string(field.value())});
  return headers;
}

}  // namespace accelerate
