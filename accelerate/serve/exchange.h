// Exchange - one request and its answer as the server sees them: a ResponseWriter that adds the headers every answer has, and
// notes what the access log wants to know.
//
//   Exchange exchange(request, writer, cors.headers(request));
//   door.chat(request.body, {.writer = exchange, .request_id = exchange.record().id});
//   log.write(exchange.finish());
//
// One thread: the handler's.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "accelerate/net/http.h"
#include "accelerate/serve/access_log.h"

namespace accelerate {

inline constexpr size_t kRequestIdBytesMax = 128;

/// The caller's own X-Request-Id where it is 1 to kRequestIdBytesMax letters, digits and "-_.:=/+@" (it is repeated in
/// headers and logs); else a new one, "req_...".
std::string request_id_of(const HttpRequest& request);

class Exchange final : public ResponseWriter {
 public:
  Exchange(const HttpRequest& request, ResponseWriter& writer, HttpHeaders more);

  bool send(int status, const HttpHeaders& headers, std::string_view body) override;
  bool begin_stream(int status, const HttpHeaders& headers) override;
  bool write(std::string_view piece) override;
  bool client_gone() override;

  bool begun() const { return record_.status != 0; }
  AccessRecord& record() { return record_; }
  /// The record with its times, once the handler is through.
  const AccessRecord& finish();

 private:
  HttpHeaders with_more(const HttpHeaders& headers) const;
  double elapsed_ms() const;

  ResponseWriter& writer_;
  HttpHeaders more_;
  bool head_only_;
  std::chrono::steady_clock::time_point begun_at_ = std::chrono::steady_clock::now();
  AccessRecord record_;
};

}  // namespace accelerate
