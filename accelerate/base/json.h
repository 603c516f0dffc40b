// JSON at the doors: parsing foreign bytes with limits. The value type is nlohmann::ordered_json's sibling `Json`.
//
//   ACC_TRY(Json body, parse_json(bytes, {.where = "http"}));
//
// Heavy header: include it in .cc files only (forward declare with <nlohmann/json_fwd.hpp> elsewhere).
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "accelerate/base/result.h"

namespace accelerate {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;  // members stay in the order of the text: for what a model or a person reads

struct JsonLimits {
  std::string_view where = "json";            // the [where] of error texts
  size_t bytes_max = size_t{32} << 20;
  int depth_max = 64;                         // nesting; refused before the parser recurses
  size_t values_max = SIZE_MAX;               // counted before parsing: "[[],[],...]" takes 10 bytes of memory per byte of text
  /// Ordered values only: the squares of all objects' numbers of members, summed. Finding a member walks through them, so
  /// this is what parsing costs: about 0.1 s for the default, or one object of 5,400 members.
  uint64_t ordered_work_max = 30'000'000;
};

/// Parses UTF-8 JSON. invalid_argument for broken JSON, invalid UTF-8, too deep, too many values; resource_exhausted for too large.
Result<Json> parse_json(std::string_view text, const JsonLimits& limits = {});
Result<OrderedJson> parse_ordered_json(std::string_view text, const JsonLimits& limits = {});

/// The text of the member at `path` of an object in `text`, which parse_json took: as it was written, members in its order
/// (Json sorts them). Of repeated names the last, as in Json. Empty where there is none.
std::string_view json_member_text(std::string_view text, std::initializer_list<std::string_view> path);

/// Serializes without ever throwing: invalid UTF-8 in strings is replaced by U+FFFD. `indent` < 0: one line.
std::string dump_json(const Json& value, int indent = -1);
std::string dump_ordered_json(const OrderedJson& value);

}  // namespace accelerate
