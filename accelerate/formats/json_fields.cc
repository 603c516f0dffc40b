#include "accelerate/formats/json_fields.h"

#include <cmath>

#include <fmt/format.h>

#include "accelerate/formats/quote.h"

namespace accelerate {

std::string printed(const Json& value) { return value.is_string() ? value.get_ref<const std::string&>() : dump_json(value); }

Error JsonFields::wrong(const std::string& key, std::string_view rule, const Json& value) const {
  return Error{ErrorCode::kDataLoss, fmt::format("[hugging face] {} in {} is {}; got {}", key, where_, rule, in_quotes(printed(value)))};
}

const Json* JsonFields::find(const std::string& key) {
  used_.insert(key);
  if (!object_.is_object()) return nullptr;
  const auto found = object_.find(key);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

Result<void> JsonFields::integer(const std::string& key, uint32_t& out) {
  const Json* value = find(key);
  if (!value) return {};
  if (!value->is_number_unsigned() || value->get<uint64_t>() > UINT32_MAX) return wrong(key, "a whole number of 32 bits", *value);
  out = value->get<uint32_t>();
  return {};
}

Result<void> JsonFields::number(const std::string& key, double& out) {
  const Json* value = find(key);
  if (!value) return {};
  if (!value->is_number() || !std::isfinite(value->get<double>())) return wrong(key, "a number", *value);
  out = value->get<double>();
  return {};
}

Result<void> JsonFields::number(const std::string& key, std::optional<float>& out) {
  double value = NAN;
  ACC_TRY_VOID(number(key, value));
  if (!std::isnan(value)) out = static_cast<float>(value);
  return {};
}

Result<void> JsonFields::boolean(const std::string& key, std::optional<bool>& out) {
  const Json* value = find(key);
  if (!value) return {};
  if (!value->is_boolean()) return wrong(key, "true or false", *value);
  out = value->get<bool>();
  return {};
}

Result<void> JsonFields::text(const std::string& key, std::string& out) {
  const Json* value = find(key);
  if (!value) return {};
  if (!value->is_string()) return wrong(key, "a text", *value);
  out = value->get_ref<const std::string&>();
  return {};
}

std::map<std::string, std::string> JsonFields::rest() const {
  std::map<std::string, std::string> rest;
  if (!object_.is_object()) return rest;
  for (const auto& [key, value] : object_.items()) {
    if (!used_.contains(key)) rest.emplace(key, printed(value));
  }
  return rest;
}

}  // namespace accelerate
