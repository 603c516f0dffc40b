#include "accelerate/serve/json_body.h"

#include <fmt/format.h>

#include "accelerate/base/limits.h"
#include "accelerate/serve/openai_parse.h"

namespace accelerate {

Parsed<Json> parse_body(std::string_view text) {
  Result<Json> body = parse_json(text, {.where = "openai", .bytes_max = limits::kRequestBytesMax, .depth_max = kJsonDepthMax,
                                         .values_max = kJsonValuesMax});
  if (!body) {
    // Too large is 413 here; the engine's "exhausted" would be 429, which invites a retry.
    const int status = body.error().code == ErrorCode::kResourceExhausted ? 413 : 400;
    return ApiError{.status = status, .message = body.error().message, .param = "", .code = ""};
  }
  if (!body->is_object()) {
    return ApiError{.message = fmt::format("[openai] a request body is a JSON object; got {}", json_kind(*body)), .param = "", .code = ""};
  }
  return std::move(*body);
}

void refuse(Fields& fields, std::span<const Refusal> refusals) {
  for (const Refusal& refusal : refusals) {
    const Json* value = fields.find(refusal.name);
    if (value == nullptr || (refusal.harmless != nullptr && refusal.harmless(*value))) continue;
    fields.fail(unsupported_parameter(refusal.name, refusal.why));
  }
}

}  // namespace accelerate
