// What the text of an answer must match, from a request's "response_format" or the extension "grammar".
//
//   std::optional<Grammar> grammar;
//   read_format(fields, body, grammar);     // {"response_format": {"type": "json_object"}} -> a schema of objects
//
// response_format, as OpenAI has it: {"type": "text"}, {"type": "json_object"} (any JSON object) or {"type": "json_schema",
// "json_schema": {"name", "schema", "strict", "description"}}. A schema is enforced whatever "strict" says, and its root need not
// be an object. grammar: a Lark grammar as a string, or {"type": "lark" | "regex" | "json_schema", "value": ...}. Both together are
// refused. A schema reaches the engine as it was written, for its order of properties is the answer's.
#pragma once

#include <optional>
#include <string_view>

#include "accelerate/core/request.h"
#include "accelerate/serve/fields.h"

namespace accelerate {

/// `body` is the text of the object that `fields` reads. Problems go to `fields`; whether a grammar can be enforced the engine says.
void read_format(Fields& fields, std::string_view body, std::optional<Grammar>& grammar);

/// The object that names a format by its "type", and its `text`: response_format, whose schema stands `inside` of its "json_schema",
/// or text.format of /v1/responses, where it stands in the object itself (empty). Problems go to `format`.
void read_format_object(Fields& format, std::string_view text, std::string_view inside, std::optional<Grammar>& grammar);

}  // namespace accelerate
