// Fields - reads the members of a JSON object into native types and remembers the first thing wrong.
//
//   Fields fields(body);
//   fields.number("temperature", {.low = 0, .high = 2}, sampling.temperature);
//   fields.boolean("stream", stream);
//   if (fields.problem()) return *fields.problem();       // names the parameter: "param": "temperature"
//
// An absent or null member leaves its target alone. After the first problem the rest is read in vain but safely.
// Heavy header (JSON): for serve's .cc files only. Not thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "accelerate/base/json.h"
#include "accelerate/serve/api_error.h"

namespace accelerate {

/// "a string", "an object": for "got ..." in messages.
std::string_view json_kind(const Json& value);

/// `where` is the [where] of the message: "openai", or "admin" for routes of our own.
ApiError invalid_type(std::string_view param, std::string_view expected, const Json& got, std::string_view where = "openai");
ApiError invalid_value(std::string_view param, std::string_view rule, std::string_view got, std::string_view where = "openai");
ApiError unsupported_parameter(std::string_view param, std::string_view why);
ApiError missing_parameter(std::string_view param, std::string_view where = "openai");

/// What OpenAI takes for the name of a function or a schema: 1 to kNameCharactersMax of a-z, A-Z, 0-9, _ and -.
bool is_api_name(std::string_view name);
inline constexpr size_t kNameCharactersMax = 64;

class Fields {
 public:
  /// Borrows `object`, which must be a JSON object. `prefix` goes before names in messages: "messages[0].".
  explicit Fields(const Json& object, std::string prefix = "", std::string_view where = "openai")
      : object_(object), prefix_(std::move(prefix)), where_(where) {}

  struct NumberRange { double low, high; };
  struct IntegerRange { int64_t low, high; };

  /// The member, or null where it is absent or JSON's null.
  const Json* find(std::string_view name) const;
  void boolean(std::string_view name, bool& into);
  void string(std::string_view name, std::string& into);
  void number(std::string_view name, NumberRange range, float& into);
  void number(std::string_view name, NumberRange range, std::optional<double>& into);
  void integer(std::string_view name, IntegerRange range, std::optional<uint32_t>& into);
  void integer(std::string_view name, IntegerRange range, int32_t& into);
  void integer(std::string_view name, IntegerRange range, uint64_t& into);  // range.low >= 0
  /// A list of at most `count_max` strings.
  void strings(std::string_view name, size_t count_max, std::vector<std::string>& into);
  /// Refuses every member that is not in `names` by its name, with near matches: where a typo must not pass for a default.
  void only(std::span<const std::string_view> names);
  /// Any 64-bit integer, negative ones by their two's complement.
  void seed(std::string_view name, std::optional<uint64_t>& into);
  void fail(ApiError error);

  std::string path(std::string_view name) const { return prefix_ + std::string(name); }
  const std::optional<ApiError>& problem() const { return problem_; }

 private:
  const Json& object_;
  std::optional<int64_t> read_integer(std::string_view name, IntegerRange range);
  std::optional<double> read_number(std::string_view name, NumberRange range);

  std::string prefix_;
  std::string_view where_;
  std::optional<ApiError> problem_;
};

}  // namespace accelerate
