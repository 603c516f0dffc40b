// ToolAnswer - what an answer needs so that calls of the request's tools are made, kept to and found.
//
//   ACC_TRY(std::optional<ToolAnswer> plan, plan_tool_answer(request, chat_prompt.tool_template(), *tokenizer));
//
// Plain values.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "accelerate/core/request.h"
#include "accelerate/engine/tool_template.h"
#include "accelerate/text/tokenizer.h"
#include "accelerate/text/tool_calls.h"

namespace accelerate {

inline constexpr size_t kToolsMax = 128;  // as the OpenAI API has it

struct ToolAnswer {
  ToolCallParser parser;
  std::vector<uint32_t> marker_tokens;     // control tokens that are part of how calls are written: the detokenizer keeps them
  bool single_call = false;                // the answer ends behind its first call
  std::optional<Grammar> grammar;          // instead of the request's
  std::optional<Grammar> loose_grammar;    // where that one cannot be enforced: any object as arguments of tools that are not strict
  std::vector<std::string> notes;
};

/// Nothing for a request without tools or with ToolChoice::kNone. invalid_argument: tools without messages, more than
/// kToolsMax, parameters that are no JSON object, a named tool that is not among them; unimplemented: tools beside a grammar of another kind than JSON Schema.
///
/// required and named always have a grammar, auto has one where a tool is strict or the request has a JSON Schema: then the
/// answer is JSON of that schema, or calls.
Result<std::optional<ToolAnswer>> plan_tool_answer(const Request& request, const ToolTemplate& tool_template, const Tokenizer& tokenizer);

}  // namespace accelerate
