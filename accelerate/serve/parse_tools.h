// Tools in OpenAI's request bodies: what is on offer, what must be called, calls and answers among the messages.
//
//   read_tools(fields, body, request.tools);                 // tools, tool_choice, parallel_tool_calls
//   read_tool_members(message_fields, message);              // an assistant's tool_calls, a tool's tool_call_id
//   check_tool_answers(fields, request.messages);
//
// OpenAI's rules: names are 1 to 64 of a-zA-Z0-9_-, each once; tool_choice and parallel_tool_calls go with tools; a tool's
// message answers a call of an assistant's message before it. The forms that are not done, custom tools and allowed_tools,
// are refused by name. Heavy header (JSON): for serve's .cc files only.
#pragma once

#include <string_view>
#include <vector>

#include "accelerate/core/request.h"
#include "accelerate/serve/fields.h"

namespace accelerate {

/// A tool's name, description, parameters and strict from `function`, whose parameters keep the order of their members.
Tool read_function(Fields& fields, const OrderedJson& function, const std::string& path);

/// Schemas keep the order of their members, which is what the model sees: `body` is the text that `fields` were parsed from.
void read_tools(Fields& fields, std::string_view body, ToolOptions& tools);
/// "none", "auto", "required"; false for another form.
bool read_choice_word(const Json& value, ToolOptions& tools);
/// The rules among tools, choice and names, once all are read.
void check_tools(Fields& fields, const ToolOptions& tools);

void read_tool_members(Fields& message, Message& out);
void check_tool_answers(Fields& fields, const std::vector<Message>& messages);

}  // namespace accelerate
