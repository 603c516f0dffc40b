#include "accelerate/engine/tool_answer.h"

#include <algorithm>

#include <fmt/format.h>

#include "accelerate/text/tool_grammar.h"
#include "accelerate/base/json.h"

namespace accelerate {
namespace {

Result<void> check(const Request& request) {
  const ToolOptions& tools = request.tools;
  if (request.messages.empty()) return Error{ErrorCode::kInvalidArgument, "[engine] tools go with messages; got another prompt"};
  if (tools.tools.size() > kToolsMax) {
    return Error{ErrorCode::kInvalidArgument, fmt::format("[engine] at most {} tools are offered; got {}", kToolsMax, tools.tools.size())};
  }
  for (const Tool& tool : tools.tools) {
    const Result<OrderedJson> parameters = tool.parameters.empty() ? OrderedJson::object() : parse_ordered_json(tool.parameters, {.where = "engine"});
    if (parameters && parameters->is_object()) continue;
    return Error{ErrorCode::kInvalidArgument, fmt::format("[engine] parameters of a tool are a JSON Schema, an object; got others for '{}'", tool.name)};
  }
  const auto is_named = [&](const Tool& tool) { return tool.name == tools.name; };
  if (tools.choice == ToolChoice::kNamed && std::none_of(tools.tools.begin(), tools.tools.end(), is_named)) {
    return Error{ErrorCode::kInvalidArgument, fmt::format("[engine] tool_choice names one of the tools; got '{}'", tools.name)};
  }
  if (request.grammar && request.grammar->kind != Grammar::Kind::kJsonSchema) {
    return Error{ErrorCode::kUnimplemented, "[engine] beside tools an answer is text or JSON of a schema; got another grammar; try tool_choice none"};
  }
  return {};
}

}  // namespace

Result<std::optional<ToolAnswer>> plan_tool_answer(const Request& request, const ToolTemplate& tool_template, const Tokenizer& tokenizer) {
  const ToolOptions& tools = request.tools;
  if (tools.tools.empty() || tools.choice == ToolChoice::kNone) return std::optional<ToolAnswer>();
  ACC_TRY_VOID(check(request));
  std::vector<std::string> names;
  for (const Tool& tool : tools.tools) names.push_back(tool.name);
  const ToolStyle style = tool_template.style();
  ToolAnswer plan{.parser = ToolCallParser(style, std::move(names)), .marker_tokens = {}, .single_call = !tools.parallel, .grammar = {},
                  .loose_grammar = {}, .notes = {}};
  for (const std::string_view word : tool_marker_words(style)) {
    const std::optional<uint32_t> token = tokenizer.find(word);
    if (token && tokenizer.is_control(*token)) plan.marker_tokens.push_back(*token);
  }
  if (tool_template.single_call() && tools.parallel) {
    plan.single_call = true;
    plan.notes.push_back("this model's chat template takes one tool call an answer: there is at most one");
  }
  const bool forced = tools.choice != ToolChoice::kAuto;
  if (forced && request.grammar) plan.notes.push_back("tool_choice leaves no text that response_format could apply to");
  const bool strict = std::any_of(tools.tools.begin(), tools.tools.end(), [](const Tool& tool) { return tool.strict; });
  if (!forced && !strict && !request.grammar) return std::optional<ToolAnswer>(std::move(plan));
  ToolGrammar choice{.style = style, .tools = tools, .single_call = plan.single_call};
  if (request.grammar) choice.answer_schema = request.grammar->text;
  choice.word = [&](std::string_view word) -> MarkerSpelling {
    const std::optional<uint32_t> token = tokenizer.find(word);
    if (token && tokenizer.is_control(*token)) return {fmt::format("<[{}]>", *token), true};
    return {dump_json(Json(std::string(word))), false};
  };
  plan.grammar = Grammar{Grammar::Kind::kLark, tool_grammar(choice)};
  choice.loose_schemas = false;
  plan.loose_grammar = Grammar{Grammar::Kind::kLark, tool_grammar(choice)};
  if (plan.loose_grammar->text == plan.grammar->text) plan.loose_grammar.reset();
  return std::optional<ToolAnswer>(std::move(plan));
}

}  // namespace accelerate
