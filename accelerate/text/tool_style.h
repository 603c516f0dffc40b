// ToolStyle - how a family of models writes its tool calls.
//
//   const ToolStyle style = tool_style_of(model.chat_template);
//
// | style       | an answer with two calls                                                      | a template has it when |
// |-------------|-------------------------------------------------------------------------------|------------------------|
// | hermes      | <tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>\n<tool_call>...     | <tool_call>            |
// | mistral     | [TOOL_CALLS] [{"name": "f", "arguments": {}}, {...}]                          | [TOOL_CALLS]           |
// | mistral-args| [TOOL_CALLS]f[ARGS]{}[TOOL_CALLS]g[ARGS]{}                                    | [ARGS]                 |
// | llama3      | {"name": "f", "parameters": {}}; {...}        (<|python_tag|> may stand first) | Environment: ipython   |
// |             |                                                                               | or <|python_tag|>      |
// | json        | {"name": "f", "arguments": {}}\n{...}                                         | none of these          |
//
// Qwen 2.5 and 3, Hermes and their kin are hermes. A template that has <tool_call> with <function= inside (Qwen3-Coder's XML)
// is none of these: json, asked for by a system message of ours (engine/chat_prompt.h).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace accelerate {

enum class ToolStyle : uint8_t { kHermes, kMistral, kMistralArgs, kLlama3, kJson };

std::string_view tool_style_name(ToolStyle style);
/// By the first rule of the table that the template's text meets, from mistral-args on: mistral-args, mistral, hermes, llama3, json.
ToolStyle tool_style_of(std::string_view chat_template);

/// The words around calls. Some vocabularies have them as control tokens, which a detokenizer would drop.
struct ToolMarkers {
  std::string_view open;                     // a call or a list of calls follows
  std::string_view close;                    // behind a call; may be empty
  std::string_view arguments = "arguments";  // what the object of a call names them
  bool bare = false;                         // an answer that begins with '{' or '[' is a call without `open`
};
ToolMarkers tool_markers(ToolStyle style);
/// `open` and `close` and what else may stand between them: "[ARGS]".
std::span<const std::string_view> tool_marker_words(ToolStyle style);

/// "call_" and 24 alphanumeric characters; Mistral's templates take exactly 9 of them.
std::string make_tool_call_id(ToolStyle style);
/// `id` as the style's templates take it: for Mistral any other id becomes 9 characters that depend on it alone.
std::string fitted_tool_call_id(ToolStyle style, std::string_view id);

}  // namespace accelerate
