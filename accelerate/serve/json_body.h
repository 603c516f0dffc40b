// What every body parser begins with: the JSON object of a request, and members that are refused by name.
//
//   Parsed<Json> body = parse_body(text);
//   if (!body.ok()) return body.error();
//   Fields fields(*body);
//   refuse(fields, kRefusals);
//
// Heavy header (JSON): for serve's .cc files only. No state.
#pragma once

#include <span>
#include <string_view>

#include "accelerate/core/request.h"
#include "accelerate/serve/fields.h"

namespace accelerate {

/// 413 for a body that is too large, 400 for one that is no JSON object within the limits of openai_parse.h.
Parsed<Json> parse_body(std::string_view text, std::string_view where = "openai");

/// A member that would change the answer and is not done here. `harmless` = that value asks for nothing; null = none does.
struct Refusal {
  std::string_view name;
  bool (*harmless)(const Json&);
  std::string_view why;
};
void refuse(Fields& fields, std::span<const Refusal> refusals);
/// Values that ask for nothing.
bool is_false(const Json& value);
bool is_empty(const Json& value);  // [] and {}

/// Members of chat completions that other routes take too: "messages", a list of token ids under `path`, temperature and
/// what follows it, and a text that is a string or parts of one of `types`, joined as they are (a "refusal" by its own member).
void read_message_list(Fields& fields, std::vector<Message>& messages);
void read_token_ids(Fields& fields, const Json& list, const std::string& path, std::vector<uint32_t>& tokens);
void read_sampling(Fields& fields, SamplingOptions& sampling);
void read_text_parts(Fields& owner, std::string_view name, std::span<const std::string_view> types, std::string& text);

}  // namespace accelerate
