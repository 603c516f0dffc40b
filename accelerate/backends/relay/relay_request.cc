#include "accelerate/backends/relay/relay_request.h"

#include <fmt/format.h>

#include "accelerate/base/json.h"

namespace accelerate {
namespace {

Error not_passed_on(std::string_view what) {
  return {ErrorCode::kUnimplemented, fmt::format("[relay] an upstream is asked through the OpenAI API, which has no field for {}; got it; try without, or a model that runs here", what)};
}

Result<void> check_passable(const Request& request) {
  const SamplingOptions& s = request.sampling;
  if (s.top_k != 0) return not_passed_on("top_k");
  if (s.min_p != 0) return not_passed_on("min_p");
  if (s.repetition_penalty != 1) return not_passed_on("repetition_penalty");
  if (request.ignore_end) return not_passed_on("ignore_end");
  if (request.grammar && request.grammar->kind != Grammar::Kind::kJsonSchema) return not_passed_on("a grammar that is no JSON Schema");
  if (request.grammar && request.messages.empty()) return not_passed_on("a JSON Schema of a raw prompt");
  if (request.top_logprobs) {
    return Error{ErrorCode::kUnimplemented, "[relay] log probabilities of an upstream are not passed on: their shapes and tokens differ; got logprobs; try without"};
  }
  if (request.echo) return Error{ErrorCode::kUnimplemented, "[relay] an upstream's echo is not passed on; got echo; try without"};
  const int prompts = !request.messages.empty() + request.text.has_value() + request.tokens.has_value();
  if (prompts != 1) return Error{ErrorCode::kInvalidArgument, fmt::format("[relay] a prompt is messages, text or tokens, one of them; got {}", prompts)};
  if (request.messages.empty() && !request.tools.tools.empty()) return Error{ErrorCode::kInvalidArgument, "[relay] tools go with messages; got another prompt"};
  return {};
}

OrderedJson message_json(const Message& message) {
  OrderedJson out = {{"role", message.role}, {"content", message.content}};
  if (message.content.empty() && !message.tool_calls.empty()) out["content"] = nullptr;
  if (!message.name.empty()) out["name"] = message.name;
  if (!message.tool_call_id.empty()) out["tool_call_id"] = message.tool_call_id;
  for (const ToolCall& call : message.tool_calls) {
    out["tool_calls"].push_back({{"id", call.id}, {"type", "function"}, {"function", {{"name", call.name}, {"arguments", call.arguments}}}});
  }
  return out;
}

Result<void> add_tools(const ToolOptions& options, OrderedJson& body) {
  for (const Tool& tool : options.tools) {
    OrderedJson function = {{"name", tool.name}};
    if (!tool.description.empty()) function["description"] = tool.description;
    if (!tool.parameters.empty()) {
      ACC_TRY(function["parameters"], parse_ordered_json(tool.parameters, {.where = "relay"}));
    }
    if (tool.strict) function["strict"] = true;
    body["tools"].push_back({{"type", "function"}, {"function", std::move(function)}});
  }
  if (options.tools.empty()) return {};
  switch (options.choice) {
    case ToolChoice::kAuto: break;  // the API's default
    case ToolChoice::kNone: body["tool_choice"] = "none"; break;
    case ToolChoice::kRequired: body["tool_choice"] = "required"; break;
    case ToolChoice::kNamed: body["tool_choice"] = {{"type", "function"}, {"function", {{"name", options.name}}}}; break;
  }
  if (!options.parallel) body["parallel_tool_calls"] = false;
  return {};
}

// Only what differs from the API's defaults: some upstreams refuse fields that they do not know, whatever their value.
void add_sampling(const Request& request, OrderedJson& body) {
  const SamplingOptions& s = request.sampling;
  if (s.temperature != 1) body["temperature"] = s.temperature;
  if (s.top_p != 1) body["top_p"] = s.top_p;
  if (s.frequency_penalty != 0) body["frequency_penalty"] = s.frequency_penalty;
  if (s.presence_penalty != 0) body["presence_penalty"] = s.presence_penalty;
  if (s.seed) body["seed"] = *s.seed;
  for (const auto& [token, bias] : s.logit_bias) body["logit_bias"][std::to_string(token)] = bias;
  if (request.max_tokens) body["max_tokens"] = *request.max_tokens;
  if (!request.stop.empty()) body["stop"] = request.stop;
}

}  // namespace

Result<RelayBody> relay_body(const Request& request, const std::string& model) {
  ACC_TRY_VOID(check_passable(request));
  OrderedJson body = {{"model", model}, {"stream", true}, {"stream_options", {{"include_usage", true}}}};
  for (const Message& message : request.messages) body["messages"].push_back(message_json(message));
  if (request.text) body["prompt"] = *request.text;
  if (request.tokens) body["prompt"] = *request.tokens;
  add_sampling(request, body);
  ACC_TRY_VOID(add_tools(request.tools, body));
  if (request.grammar) {
    ACC_TRY(OrderedJson schema, parse_ordered_json(request.grammar->text, {.where = "relay"}));
    body["response_format"] = {{"type", "json_schema"}, {"json_schema", {{"name", "answer"}, {"strict", true}, {"schema", std::move(schema)}}}};
  }
  return RelayBody{request.messages.empty() ? "/completions" : "/chat/completions", dump_ordered_json(body)};
}

}  // namespace accelerate
