#include "accelerate/base/json.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

namespace accelerate {
namespace {

constexpr size_t kReasonBytesMax = 200;

struct Shape {
  size_t values = 1;
  int depth = 0;
};

// Calls visit for each byte outside strings. Linear, no recursion, so hostile text costs nothing.
template <class Visit>
void outside_strings(std::string_view text, const Visit& visit) {
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string && c == '\\') ++i;
    else if (c == '"') in_string = !in_string;
    else if (!in_string) visit(c);
  }
}

// Values and the deepest nesting of brackets.
Shape shape_of(std::string_view text) {
  Shape shape;
  int depth = 0;
  outside_strings(text, [&](char c) {
    const bool opens = c == '[' || c == '{';
    if (opens) shape.depth = std::max(shape.depth, ++depth);
    else if (c == ']' || c == '}') --depth;
    shape.values += opens || c == ',';
  });
  return shape;
}

// Sum of the squares of the numbers of members.
uint64_t ordered_work(std::string_view text) {
  uint64_t work = 0;
  std::vector<uint64_t> members;  // commas so far, of each open bracket
  outside_strings(text, [&](char c) {
    if (c == '[' || c == '{') {
      members.push_back(0);
    } else if (c == ',' && !members.empty()) {
      ++members.back();
    } else if ((c == ']' || c == '}') && !members.empty()) {
      if (c == '}') work += members.back() * members.back();
      members.pop_back();
    }
  });
  return work;
}

size_t after_space(std::string_view text, size_t at) { return std::min(text.find_first_not_of(" \t\r\n", at), text.size()); }

size_t after_string(std::string_view text, size_t at) {
  for (++at; at < text.size() && text[at] != '"'; ++at) at += text[at] == '\\';
  return std::min(at + 1, text.size());
}

size_t after_value(std::string_view text, size_t at) {
  size_t depth = 0;
  while (at < text.size()) {
    const char c = text[at];
    if (depth == 0 && (c == ',' || c == '}' || c == ']')) break;
    depth += c == '{' || c == '[';
    depth -= c == '}' || c == ']';
    at = c == '"' ? after_string(text, at) : at + 1;
    if (depth == 0 && (c == '"' || c == '}' || c == ']')) break;
  }
  return at;
}

// One member of an object in sound JSON.
std::string_view member_text(std::string_view text, std::string_view name) {
  std::string_view found;
  size_t at = after_space(text, 0);
  if (at >= text.size() || text[at] != '{') return found;
  for (at = after_space(text, at + 1); at < text.size() && text[at] == '"';) {
    const std::string_view key = text.substr(at, after_string(text, at) - at);
    const bool wanted = key.find('\\') == std::string_view::npos ? key.substr(1, key.size() - 2) == name
                                                                  : Json::parse(key, nullptr, false) == Json(name);
    const size_t begin = after_space(text, after_space(text, at + key.size()) + 1);
    const size_t end = after_value(text, begin);
    if (wanted) found = text.substr(begin, end - begin);
    at = after_space(text, end);
    if (at < text.size() && text[at] == ',') at = after_space(text, at + 1);
  }
  return found;
}

template <class Value>
Result<Value> parse_as(std::string_view text, const JsonLimits& limits) {
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
    return Value::parse(text);
  } catch (const std::exception& problem) {
    // The parser quotes what it read last, be it a string of megabytes that never ends.
    std::string_view reason = problem.what();
    const bool cut = reason.size() > kReasonBytesMax;
    reason = reason.substr(0, kReasonBytesMax);
    return Error{ErrorCode::kInvalidArgument, fmt::format("[{}] not valid JSON; got {}{}", limits.where, reason, cut ? " ..." : "")};
  }
}

}  // namespace

std::string_view json_member_text(std::string_view text, std::initializer_list<std::string_view> path) {
  for (const std::string_view name : path) text = member_text(text, name);
  return text;
}

Result<Json> parse_json(std::string_view text, const JsonLimits& limits) { return parse_as<Json>(text, limits); }
Result<OrderedJson> parse_ordered_json(std::string_view text, const JsonLimits& limits) {
  if (text.size() <= limits.bytes_max && ordered_work(text) > limits.ordered_work_max) {
    return Error{ErrorCode::kInvalidArgument, fmt::format("[{}] JSON objects have some thousand members at most; got more", limits.where)};
  }
  return parse_as<OrderedJson>(text, limits);
}

std::string dump_ordered_json(const OrderedJson& value) { return value.dump(-1, ' ', false, OrderedJson::error_handler_t::replace); }

std::string dump_json(const Json& value, int indent) {
  return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace accelerate
