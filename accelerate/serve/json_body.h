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
Parsed<Json> parse_body(std::string_view text);

/// A member that would change the answer and is not done here. `harmless` = that value asks for nothing; null = none does.
struct Refusal {
  std::string_view name;
  bool (*harmless)(const Json&);
  std::string_view why;
};
void refuse(Fields& fields, std::span<const Refusal> refusals);

/// Members of chat completions that other routes take too: "messages", and a list of token ids under `path`.
void read_message_list(Fields& fields, std::vector<Message>& messages);
void read_token_ids(Fields& fields, const Json& list, const std::string& path, std::vector<uint32_t>& tokens);

}  // namespace accelerate
