#include "accelerate/serve/exchange.h"

#include <algorithm>

#include "accelerate/serve/openai_write.h"

namespace accelerate {
namespace {

constexpr int kClientLeft = 499;

bool id_like(std::string_view text) {
  return !text.empty() && text.size() <= kRequestIdBytesMax && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || std::string_view("-_.:=/+@").find(c) != std::string_view::npos;
  });
}

}  // namespace

std::string request_id_of(const HttpRequest& request) {
  const std::string* given = request.header("x-request-id");
  return given != nullptr && id_like(*given) ? *given : random_id("req_");
}

Exchange::Exchange(const HttpRequest& request, ResponseWriter& writer, HttpHeaders more)
    : writer_(writer), more_(std::move(more)), head_only_(request.method == "HEAD") {
  record_.id = request_id_of(request);
  record_.method = request.method;
  record_.path = request.path;
  record_.bytes_in = request.body.size();
  record_.peer = request.peer;
}

bool Exchange::send(int status, const HttpHeaders& headers, std::string_view body) {
  record_.status = status;
  record_.whole = writer_.send(status, with_more(headers), body);
  if (!head_only_) record_.bytes_out += body.size();
  return record_.whole;
}

bool Exchange::begin_stream(int status, const HttpHeaders& headers) {
  record_.status = status;
  record_.ttft_ms = elapsed_ms();
  record_.whole = writer_.begin_stream(status, with_more(headers));
  return record_.whole;
}

bool Exchange::write(std::string_view piece) {
  const bool written = writer_.write(piece);
  record_.whole = record_.whole && written;
  if (written && !head_only_) record_.bytes_out += piece.size();
  return written;
}

// A handler that is told so stops, often without another write that could fail.
bool Exchange::client_gone() {
  const bool gone = writer_.client_gone();
  if (gone) record_.whole = false;
  return gone;
}

const AccessRecord& Exchange::finish() {
  record_.duration_ms = elapsed_ms();
  if (!begun()) record_.status = kClientLeft;
  record_.whole = record_.whole && record_.status != kClientLeft;
  return record_;
}

HttpHeaders Exchange::with_more(const HttpHeaders& headers) const {
  HttpHeaders out = headers;
  out.insert(out.end(), more_.begin(), more_.end());
  return out;
}

double Exchange::elapsed_ms() const {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begun_at_).count();
}

}  // namespace accelerate
