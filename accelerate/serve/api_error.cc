#include "accelerate/serve/api_error.h"

#include "accelerate/base/json.h"

namespace accelerate {

ApiError api_error_of_status(int status, std::string_view message) {
  ApiError out{.status = status, .message = std::string(message), .param = "", .code = ""};
  switch (status) {
    case 401: out.code = "invalid_api_key"; break;
    case 429: out.type = "rate_limit_error"; out.code = "rate_limit_exceeded"; out.retry_after_s = 1; break;
    case 501: out.type = "not_supported_error"; break;
    case 505: break;  // the client's HTTP version, not a fault of ours
    case 503: out.type = "service_unavailable_error"; out.retry_after_s = 1; break;
    default:
      if (status >= 500) out.type = "server_error";
  }
  return out;
}

ApiError api_error(const Error& error, std::string_view prompt_param) {
  // Cancelled here means by the server's side: a client that left reads no answer.
  const int status = error.code == ErrorCode::kCancelled ? 503 : error_code_traits(error.code).http_status;
  ApiError out = api_error_of_status(status, error.message);
  if (error.code == ErrorCode::kOutOfRange) {
    out.code = "context_length_exceeded";
    out.param = prompt_param;
  }
  return out;
}

std::string error_json(const ApiError& error) {
  const auto or_null = [](const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); };
  return dump_json({{"error",
                     {{"message", error.message},
                      {"type", error.type},
                      {"param", or_null(error.param)},
                      {"code", or_null(error.code)}}}});
}

}  // namespace accelerate
