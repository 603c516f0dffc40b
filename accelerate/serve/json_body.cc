#include "accelerate/serve/json_body.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "accelerate/base/limits.h"
#include "accelerate/serve/openai_parse.h"

namespace accelerate {

Parsed<Json> parse_body(std::string_view text, std::string_view where) {
  Result<Json> body = parse_json(text, {.where = where, .bytes_max = limits::kRequestBytesMax, .depth_max = kJsonDepthMax,
                                         .values_max = kJsonValuesMax});
  if (!body) {
    // Too large is 413 here; the engine's "exhausted" would be 429, which invites a retry.
    const int status = body.error().code == ErrorCode::kResourceExhausted ? 413 : 400;
    return ApiError{.status = status, .message = body.error().message, .param = "", .code = ""};
  }
  if (!body->is_object()) {
    return ApiError{.message = fmt::format("[{}] a request body is a JSON object; got {}", where, json_kind(*body)), .param = "", .code = ""};
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

bool is_false(const Json& value) { return value.is_boolean() && !value.get<bool>(); }
bool is_empty(const Json& value) { return (value.is_array() || value.is_object()) && value.empty(); }

void read_sampling(Fields& fields, SamplingOptions& sampling) {
  fields.number("temperature", {.low = 0, .high = 2}, sampling.temperature);
  fields.number("top_p", {.low = 0, .high = 1}, sampling.top_p);
  // OpenAI takes 0, the native type does not: the smallest float keeps exactly the likeliest token, as 0 would.
  if (sampling.top_p == 0) sampling.top_p = std::numeric_limits<float>::min();
  fields.number("min_p", {.low = 0, .high = 1}, sampling.min_p);
  std::optional<uint32_t> top_k;
  fields.integer("top_k", {.low = 0, .high = std::numeric_limits<int32_t>::max()}, top_k);
  sampling.top_k = top_k.value_or(0);
  fields.seed("seed", sampling.seed);
}

void read_text_parts(Fields& owner, std::string_view name, std::span<const std::string_view> types, std::string& text) {
  const Json* value = owner.find(name);
  if (value == nullptr) return owner.fail(missing_parameter(owner.path(name)));
  if (value->is_string()) {
    text = value->get<std::string>();
    return;
  }
  if (!value->is_array()) return owner.fail(invalid_type(owner.path(name), "a string or a list of parts", *value));
  for (size_t i = 0; i < value->size(); ++i) {
    const std::string path = fmt::format("{}[{}]", owner.path(name), i);
    const Json& entry = (*value)[i];
    if (!entry.is_object()) return owner.fail(invalid_type(path, "an object", entry));
    Fields part(entry, path + ".");
    std::string type, words;
    part.string("type", type);
    if (!part.problem() && std::find(types.begin(), types.end(), type) == types.end()) {
      part.fail({.message = fmt::format("[openai] '{}.type' is \"{}\" for the models here; got \"{}\"", path, fmt::join(types, "\" or \""), type.substr(0, 40)),
                 .param = path + ".type", .code = "invalid_value"});
    }
    const std::string_view member = type == "refusal" ? "refusal" : "text";
    part.string(member, words);
    if (part.find(member) == nullptr) part.fail(missing_parameter(part.path(member)));
    if (part.problem()) return owner.fail(*part.problem());
    text += words;
  }
}

}  // namespace accelerate
