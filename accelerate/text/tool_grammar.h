// Tool grammars - the Lark text (llguidance's dialect) of answers that call tools, in the style of the model's family.
//
//   ToolGrammar choice{.style = ToolStyle::kHermes, .tools = request.tools, .word = spell};
//   const std::string lark = tool_grammar(choice);
//
// required / named: the answer is calls and nothing else, from its first token on; named is one call, required up to
// kForcedCallsMax where calls may be parallel: a weak model would go on for ever. auto: text, or text and then calls; in the bare
// styles (llama3, json) text does not begin with '{' or '['. Arguments are the schema's where the tool is strict or
// `loose_schemas` says so, else any JSON object. With `answer_schema` the text of auto is JSON of that schema.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "accelerate/core/request.h"
#include "accelerate/text/tool_style.h"

namespace accelerate {

inline constexpr size_t kForcedCallsMax = 16;

/// How a rule names a marker: as a string, or as <[id]> where it is a control token, which no string matches.
struct MarkerSpelling {
  std::string lark;
  bool control = false;
};

struct ToolGrammar {
  ToolStyle style = ToolStyle::kJson;
  const ToolOptions& tools;  // not empty, choice not kNone
  bool single_call = false;  // whatever tools.parallel says
  bool loose_schemas = true; // tools that are not strict have their schemas enforced too
  std::string_view answer_schema = {};
  std::function<MarkerSpelling(std::string_view)> word;
};
std::string tool_grammar(const ToolGrammar& choice);

}  // namespace accelerate
