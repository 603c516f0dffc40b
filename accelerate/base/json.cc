#include "accelerate/base/json.h"

#include <algorithm>

#include <fmt/format.h>

namespace accelerate {
namespace {

constexpr size_t kReasonBytesMax = 200;

struct Shape {
  size_t values = 1;
  int depth = 0;
};

// Values and the deepest nesting of brackets outside strings; linear, no recursion, so hostile text costs nothing.
Shape shape_of(std::string_view text) {
  Shape shape;
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      else if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      ++shape.values;
      shape.depth = std::max(shape.depth, ++depth);
    } else if (c == ']' || c == '}') {
      --depth;
    } else {
      shape.values += c == ',';
    }
  }
  return shape;
}

}  // namespace

Result<Json> parse_json(std::string_view text, const JsonLimits& limits) {
  if (text.size() > limits.bytes_max) {
    return Error{ErrorCode::kResourceExhausted,
                 fmt::format("[{}] JSON has at most {} bytes; got {}", limits.where, limits.bytes_max, text.size())};
  }
  const Shape shape = shape_of(text);
  if (shape.depth > limits.depth_max) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("[{}] JSON nests at most {} levels; got {}", limits.where, limits.depth_max, shape.depth)};
  }
  if (shape.values > limits.values_max) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("[{}] JSON has at most {} values; got {}", limits.where, limits.values_max, shape.values)};
  }
  try {
    return Json::parse(text);
  } catch (const std::exception& problem) {
    // The parser quotes what it read last, be it a string of megabytes that never ends.
    std::string_view reason = problem.what();
    const bool cut = reason.size() > kReasonBytesMax;
    reason = reason.substr(0, kReasonBytesMax);
    return Error{ErrorCode::kInvalidArgument, fmt::format("[{}] not valid JSON; got {}{}", limits.where, reason, cut ? " ..." : "")};
  }
}

std::string dump_json(const Json& value, int indent) {
  return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace accelerate
