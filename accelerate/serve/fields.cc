#include "accelerate/serve/fields.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "accelerate/engine/near_match.h"

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

ApiError invalid_type(std::string_view param, std::string_view expected, const Json& got, std::string_view where) {
  return {.message = fmt::format("[{}] '{}' is {}; got {}", where, param, expected, json_kind(got)), .param = std::string(param),
          .code = "invalid_type"};
}

ApiError invalid_value(std::string_view param, std::string_view rule, std::string_view got, std::string_view where) {
  return {.message = fmt::format("[{}] '{}' {}; got {}", where, param, rule, got), .param = std::string(param), .code = "invalid_value"};
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

ApiError missing_parameter(std::string_view param, std::string_view where) {
  return {.message = fmt::format("[{}] '{}' is required; got none", where, param), .param = std::string(param),
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
  if (!value->is_boolean()) return fail(invalid_type(path(name), "a boolean", *value, where_));
  into = *value->get_ptr<const bool*>();
}

void Fields::string(std::string_view name, std::string& into) {
  const Json* value = find(name);
  if (value == nullptr) return;
  if (!value->is_string()) return fail(invalid_type(path(name), "a string", *value, where_));
  into = *value->get_ptr<const std::string*>();
}

std::optional<double> Fields::read_number(std::string_view name, NumberRange range) {
  const Json* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) {
    fail(invalid_type(path(name), "a number", *value, where_));
    return std::nullopt;
  }
  const double number = value->get<double>();
  if (number >= range.low && number <= range.high) return number;
  fail(invalid_value(path(name), fmt::format("is between {} and {}", range.low, range.high), shown(*value), where_));
  return std::nullopt;
}

void Fields::number(std::string_view name, NumberRange range, float& into) {
  if (const std::optional<double> number = read_number(name, range)) into = static_cast<float>(*number);
}

void Fields::number(std::string_view name, NumberRange range, std::optional<double>& into) {
  if (const std::optional<double> number = read_number(name, range)) into = number;
}

std::optional<int64_t> Fields::read_integer(std::string_view name, IntegerRange range) {
  const Json* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number_integer()) {
    fail(invalid_type(path(name), "an integer", *value, where_));
    return std::nullopt;
  }
  const bool beyond_int64 = value->is_number_unsigned() && value->get<uint64_t>() > static_cast<uint64_t>(INT64_MAX);
  const int64_t number = beyond_int64 ? INT64_MAX : value->get<int64_t>();
  if (!beyond_int64 && number >= range.low && number <= range.high) return number;
  fail(invalid_value(path(name), fmt::format("is between {} and {}", range.low, range.high), shown(*value), where_));
  return std::nullopt;
}

void Fields::integer(std::string_view name, IntegerRange range, std::optional<uint32_t>& into) {
  if (const std::optional<int64_t> number = read_integer(name, range)) into = static_cast<uint32_t>(*number);
}

void Fields::integer(std::string_view name, IntegerRange range, int32_t& into) {
  if (const std::optional<int64_t> number = read_integer(name, range)) into = static_cast<int32_t>(*number);
}

void Fields::integer(std::string_view name, IntegerRange range, uint64_t& into) {
  if (const std::optional<int64_t> number = read_integer(name, range)) into = static_cast<uint64_t>(*number);
}

void Fields::strings(std::string_view name, size_t count_max, std::vector<std::string>& into) {
  const Json* value = find(name);
  if (value == nullptr) return;
  if (!value->is_array()) return fail(invalid_type(path(name), "a list of strings", *value, where_));
  if (value->size() > count_max) return fail(invalid_value(path(name), fmt::format("has at most {} entries", count_max), std::to_string(value->size()), where_));
  std::vector<std::string> list;
  for (size_t i = 0; i < value->size(); ++i) {
    const Json& entry = (*value)[i];
    if (!entry.is_string()) return fail(invalid_type(fmt::format("{}[{}]", path(name), i), "a string", entry, where_));
    list.push_back(*entry.get_ptr<const std::string*>());
  }
  into = std::move(list);
}

void Fields::only(std::span<const std::string_view> names) {
  for (const auto& [name, value] : object_.items()) {
    if (std::find(names.begin(), names.end(), name) != names.end()) continue;
    const std::string param = path(name.substr(0, kShownBytesMax)), near = near_match_hint(name, {names.begin(), names.end()});
    fail({.message = fmt::format("[{}] '{}' is no member of this request{}", where_, param, near.empty() ? fmt::format("; try one of {}", fmt::join(names, ", ")) : near),
          .param = param, .code = "unknown_parameter"});
  }
}

void Fields::seed(std::string_view name, std::optional<uint64_t>& into) {
  const Json* value = find(name);
  if (value == nullptr) return;
  if (!value->is_number_integer()) return fail(invalid_type(path(name), "an integer of 64 bits", *value));
  into = value->is_number_unsigned() ? value->get<uint64_t>() : static_cast<uint64_t>(value->get<int64_t>());
}

}  // namespace accelerate
