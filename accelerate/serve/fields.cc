#include "accelerate/serve/fields.h"

#include <algorithm>

#include <fmt/format.h>

namespace accelerate {
namespace {

// A rejected value goes into the message, so only as much of it as helps.
constexpr size_t kShownBytesMax = 80;

std::string shown(const Json& value) {
  std::string text = dump_json(value);
  if (text.size() > kShownBytesMax) text = text.substr(0, kShownBytesMax) + "...";
  return text;
}

}  // namespace

std::string_view json_kind(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null: return "null";
    case Json::value_t::object: return "an object";
    case Json::value_t::array: return "an array";
    case Json::value_t::string: return "a string";
    case Json::value_t::boolean: return "a boolean";
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned: return "an integer";
    case Json::value_t::number_float: return "a decimal number";
    default: return "something else";
  }
}

ApiError invalid_type(std::string_view param, std::string_view expected, const Json& got) {
  return {.message = fmt::format("[openai] '{}' is {}; got {}", param, expected, json_kind(got)), .param = std::string(param),
          .code = "invalid_type"};
}

ApiError invalid_value(std::string_view param, std::string_view rule, std::string_view got) {
  return {.message = fmt::format("[openai] '{}' {}; got {}", param, rule, got), .param = std::string(param), .code = "invalid_value"};
}

ApiError unsupported_parameter(std::string_view param, std::string_view why) {
  return {.message = fmt::format("[openai] '{}' is not supported here: {}; try without it", param, why), .param = std::string(param),
          .code = "unsupported_parameter"};
}

bool is_api_name(std::string_view name) {
  return !name.empty() && name.size() <= kNameCharactersMax && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-';
  });
}

ApiError missing_parameter(std::string_view param) {
  return {.message = fmt::format("[openai] '{}' is required; got none", param), .param = std::string(param),
          .code = "missing_required_parameter"};
}

const Json* Fields::find(std::string_view name) const {
  const auto it = object_.find(name);
  return it == object_.end() || it->is_null() ? nullptr : &*it;
}

void Fields::fail(ApiError error) {
  if (!problem_) problem_ = std::move(error);
}

void Fields::boolean(std::string_view name, bool& into) {
  const Json* value = find(name);
  if (value == nullptr) return;
  if (!value->is_boolean()) return fail(invalid_type(path(name), "a boolean", *value));
  into = *value->get_ptr<const bool*>();
}

void Fields::string(std::string_view name, std::string& into) {
  const Json* value = find(name);
  if (value == nullptr) return;
  if (!value->is_string()) return fail(invalid_type(path(name), "a string", *value));
  into = *value->get_ptr<const std::string*>();
}

void Fields::number(std::string_view name, NumberRange range, float& into) {
  const Json* value = find(name);
  if (value == nullptr) return;
  if (!value->is_number()) return fail(invalid_type(path(name), "a number", *value));
  const double number = value->get<double>();
  if (!(number >= range.low && number <= range.high)) {
    return fail(invalid_value(path(name), fmt::format("is between {} and {}", range.low, range.high), shown(*value)));
  }
  into = static_cast<float>(number);
}

void Fields::integer(std::string_view name, IntegerRange range, std::optional<uint32_t>& into) {
  const Json* value = find(name);
  if (value == nullptr) return;
  if (!value->is_number_integer()) return fail(invalid_type(path(name), "an integer", *value));
  const bool beyond_int64 = value->is_number_unsigned() && value->get<uint64_t>() > static_cast<uint64_t>(INT64_MAX);
  const int64_t number = beyond_int64 ? INT64_MAX : value->get<int64_t>();
  if (number < range.low || number > range.high) {
    return fail(invalid_value(path(name), fmt::format("is between {} and {}", range.low, range.high), shown(*value)));
  }
  into = static_cast<uint32_t>(number);
}

void Fields::integer(std::string_view name, IntegerRange range, int32_t& into) {
  std::optional<uint32_t> bits;
  integer(name, range, bits);
  if (bits) into = static_cast<int32_t>(*bits);
}

void Fields::seed(std::string_view name, std::optional<uint64_t>& into) {
  const Json* value = find(name);
  if (value == nullptr) return;
  if (!value->is_number_integer()) return fail(invalid_type(path(name), "an integer of 64 bits", *value));
  into = value->is_number_unsigned() ? value->get<uint64_t>() : static_cast<uint64_t>(value->get<int64_t>());
}

}  // namespace accelerate
