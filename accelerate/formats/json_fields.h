// JsonFields - reads the fields of one foreign JSON object, checks their kinds and ranges, and remembers which were read.
//
//   JsonFields fields(json, "config.json");
//   ACC_TRY_VOID(fields.integer("hidden_size", config.width));   // leaves config.width alone when absent or null
//   for (const auto& [key, value] : fields.rest()) other[key] = value;
//
// Absent and null are the same. Heavy (includes json.h): for .cc files only. Lives on one stack; one thread. The JSON
// must outlive it.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>

#include "accelerate/base/json.h"
#include "accelerate/base/result.h"

namespace accelerate {

class JsonFields {
 public:
  /// `object` may be of any kind: a non-object has no fields. `where` is the file's name in error texts.
  JsonFields(const Json& object, std::string where) : object_(object), where_(std::move(where)) {}

  /// The field, or null when absent or JSON null.
  const Json* find(const std::string& key);
  /// data_loss naming file and key when the value is of another kind, not finite or out of range.
  Result<void> integer(const std::string& key, uint32_t& out);
  Result<void> number(const std::string& key, double& out);
  Result<void> number(const std::string& key, std::optional<float>& out);
  Result<void> boolean(const std::string& key, std::optional<bool>& out);
  Result<void> text(const std::string& key, std::string& out);
  /// Fields not asked for (or given back), printed: texts as they are, anything else as JSON.
  std::map<std::string, std::string> rest() const;
  void give_back(const std::string& key) { used_.erase(key); }

 private:
  Error wrong(const std::string& key, std::string_view rule, const Json& value) const;

  const Json& object_;
  std::string where_;
  std::set<std::string> used_;
};

/// A value for people: texts as they are, anything else as one line of JSON.
std::string printed(const Json& value);

}  // namespace accelerate
