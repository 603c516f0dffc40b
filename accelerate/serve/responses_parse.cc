#include "accelerate/serve/responses_parse.h"

#include <algorithm>
#include <array>
#include <limits>

#include <fmt/format.h>

#include "accelerate/base/limits.h"
#include "accelerate/engine/tool_answer.h"
#include "accelerate/serve/json_body.h"
#include "accelerate/serve/parse_format.h"
#include "accelerate/serve/parse_tools.h"

namespace accelerate {
namespace {

constexpr int64_t kTokensMax = std::numeric_limits<int32_t>::max();
constexpr size_t kMetadataMax = 16;  // as OpenAI has it

bool is_disabled(const Json& value) { return value == "disabled"; }
bool asks_no_reasoning(const Json& value) {
  if (!value.is_object()) return false;
  for (const auto& [name, member] : value.items()) {
    if (!member.is_null() && !(name == "effort" && member == "none")) return false;
  }
  return true;
}
bool is_plain_tier(const Json& value) { return value == "auto" || value == "default"; }

constexpr std::array kRefusals = {
    Refusal{"store", is_false, "nothing is stored here"},
    Refusal{"previous_response_id", nullptr, "nothing is stored here, send the whole input"},
    Refusal{"conversation", nullptr, "nothing is stored here, send the whole input"},
    Refusal{"background", is_false, "nothing is stored here"},
    Refusal{"prompt", nullptr, "no prompts are stored here"},
    Refusal{"truncation", is_disabled, "an input is never cut"},
    Refusal{"reasoning", asks_no_reasoning, "no model here takes it"},
    Refusal{"max_tool_calls", nullptr, "no tool runs on this side"},
    Refusal{"moderation", nullptr, "nothing is moderated"},
    Refusal{"context_management", nullptr, "an input is never cut"},
    Refusal{"service_tier", is_plain_tier, "there is one"},
};

constexpr std::array<std::string_view, 4> kTextTypes = {"input_text", "output_text", "text", "refusal"};

void read_message(Fields& item, std::vector<Message>& messages) {
  Message message;
  item.string("role", message.role);
  if (item.find("role") == nullptr) item.fail(missing_parameter(item.path("role")));
  static constexpr std::array<std::string_view, 4> kRoles = {"system", "developer", "user", "assistant"};
  if (!item.problem() && std::find(kRoles.begin(), kRoles.end(), message.role) == kRoles.end()) {
    item.fail(invalid_value(item.path("role"), "is system, developer, user or assistant", fmt::format("\"{}\"", message.role.substr(0, 40))));
  }
  read_text_parts(item, "content", kTextTypes, message.content);
  if (message.role == "developer") message.role = "system";  // OpenAI's newer word for it; templates know the old one
  messages.push_back(std::move(message));
}

// A call belongs to the assistant's message before it, where there is one.
void read_call(Fields& item, std::vector<Message>& messages) {
  ToolCall call;
  item.string("call_id", call.id);
  item.string("name", call.name);
  item.string("arguments", call.arguments);
  for (const std::string_view name : {"call_id", "name", "arguments"}) {
    if (item.find(name) == nullptr) item.fail(missing_parameter(item.path(name)));
  }
  if (messages.empty() || messages.back().role != "assistant") messages.push_back({.role = "assistant", .content = "", .tool_calls = {}, .tool_call_id = "", .name = ""});
  messages.back().tool_calls.push_back(std::move(call));
}

void read_call_output(Fields& item, std::vector<Message>& messages) {
  Message message{.role = "tool", .content = "", .tool_calls = {}, .tool_call_id = "", .name = ""};
  item.string("call_id", message.tool_call_id);
  if (item.find("call_id") == nullptr) item.fail(missing_parameter(item.path("call_id")));
  const auto asked = [&](const Message& earlier) {
    return std::any_of(earlier.tool_calls.begin(), earlier.tool_calls.end(), [&](const ToolCall& call) { return call.id == message.tool_call_id; });
  };
  if (!item.problem() && std::none_of(messages.begin(), messages.end(), asked)) {
    item.fail(invalid_value(item.path("call_id"), "is that of a function_call before it", fmt::format("\"{}\"", message.tool_call_id.substr(0, 80))));
  }
  read_text_parts(item, "output", kTextTypes, message.content);
  messages.push_back(std::move(message));
}

void read_input(Fields& fields, std::vector<Message>& messages) {
  const Json* input = fields.find("input");
  if (input == nullptr) return fields.fail(missing_parameter("input"));
  if (input->is_string()) {
    messages.push_back({"user", input->get<std::string>()});
    return;
  }
  if (!input->is_array()) return fields.fail(invalid_type("input", "a string or a list of items", *input));
  if (input->empty()) return fields.fail(invalid_value("input", "has at least one item", "none"));
  for (size_t i = 0; i < input->size(); ++i) {
    const std::string path = fmt::format("input[{}]", i);
    const Json& entry = (*input)[i];
    if (!entry.is_object()) return fields.fail(invalid_type(path, "an object", entry));
    Fields item(entry, path + ".");
    std::string type = "message";
    item.string("type", type);
    if (type == "message") read_message(item, messages);
    else if (type == "function_call") read_call(item, messages);
    else if (type == "function_call_output") read_call_output(item, messages);
    else item.fail(unsupported_parameter(path + ".type", fmt::format("items are message, function_call and function_call_output, not \"{}\"", type.substr(0, 40))));
    if (item.problem()) return fields.fail(*item.problem());
  }
}

// Ahead of everything, and one with a system message that stands first: templates tend to take one.
void put_instructions(const std::string& instructions, std::vector<Message>& messages) {
  if (instructions.empty()) return;
  if (messages.empty() || messages.front().role != "system") messages.insert(messages.begin(), {"system", instructions});
  else messages.front().content = instructions + "\n\n" + messages.front().content;
}

void read_response_tools(Fields& fields, const OrderedJson& ordered, ToolOptions& tools) {
  fields.boolean("parallel_tool_calls", tools.parallel);
  if (const Json* choice = fields.find("tool_choice"); choice != nullptr && !read_choice_word(*choice, tools)) {
    if (!choice->is_object() || choice->value("type", Json()) != "function") {
      return fields.fail(invalid_value("tool_choice", R"(is none, auto, required or {"type": "function", "name": ...})", dump_json(*choice).substr(0, 80)));
    }
    Fields inner(*choice, "tool_choice.");
    inner.string("name", tools.name);
    if (tools.name.empty()) inner.fail(missing_parameter("tool_choice.name"));
    tools.choice = ToolChoice::kNamed;
    if (inner.problem()) return fields.fail(*inner.problem());
  }
  const Json* list = fields.find("tools");
  if (list != nullptr && !list->is_array()) return fields.fail(invalid_type("tools", "a list of tools", *list));
  if (list != nullptr && list->size() > kToolsMax) {
    return fields.fail(invalid_value("tools", fmt::format("has at most {} entries", kToolsMax), std::to_string(list->size())));
  }
  for (size_t i = 0; list != nullptr && i < list->size() && !fields.problem(); ++i) {
    const std::string path = fmt::format("tools[{}]", i);
    const Json& entry = (*list)[i];
    if (!entry.is_object()) return fields.fail(invalid_type(path, "an object", entry));
    Fields tool(entry, path + ".");
    std::string type;
    tool.string("type", type);
    if (tool.find("type") == nullptr) tool.fail(missing_parameter(path + ".type"));
    else if (type != "function") tool.fail(unsupported_parameter(path + ".type", fmt::format("tools are functions, not \"{}\"", type.substr(0, 40))));
    if (tool.problem()) return fields.fail(*tool.problem());
    Tool& read = tools.tools.emplace_back(read_function(fields, ordered["tools"][i], path));
    if (tool.find("strict") == nullptr) read.strict = true;
  }
  // Clients send parallel_tool_calls without tools here, where it asks for nothing.
  if (tools.tools.empty() && tools.choice != ToolChoice::kRequired && tools.choice != ToolChoice::kNamed) return;
  check_tools(fields, tools);
}

// text.format: {"type": "text"}, {"type": "json_object"}, {"type": "json_schema", "name", "schema", "strict"}.
void read_text_format(Fields& fields, std::string_view body, std::optional<Grammar>& grammar) {
  const Json* text = fields.find("text");
  if (text == nullptr) return;
  if (!text->is_object()) return fields.fail(invalid_type("text", "an object", *text));
  Fields inner(*text, "text.");
  const Json* verbosity = inner.find("verbosity");
  if (verbosity != nullptr && *verbosity != "medium") return fields.fail(unsupported_parameter("text.verbosity", "no model here takes one"));
  const Json* format = inner.find("format");
  if (format == nullptr) return;
  if (!format->is_object()) return fields.fail(invalid_type("text.format", "an object", *format));
  Fields form(*format, "text.format.");
  read_format_object(form, json_member_text(body, {"text", "format"}), "", grammar);
  if (form.problem()) fields.fail(*form.problem());
}

void read_include(Fields& fields, Request& request) {
  std::optional<uint32_t> top;
  fields.integer("top_logprobs", {.low = 0, .high = kTopLogprobsMax}, top);
  const Json* include = fields.find("include");
  bool logprobs = false;
  if (include != nullptr && !include->is_array()) return fields.fail(invalid_type("include", "a list of names", *include));
  for (size_t i = 0; include != nullptr && i < include->size(); ++i) {
    const Json& entry = (*include)[i];
    if (!entry.is_string()) return fields.fail(invalid_type("include", "a list of names", entry));
    if (entry == "message.output_text.logprobs") logprobs = true;
    else if (entry != "reasoning.encrypted_content") return fields.fail(unsupported_parameter("include", "of such parts there are the logprobs of output_text"));
  }
  if (logprobs || top.value_or(0) > 0) request.top_logprobs = top.value_or(0);
}

void check_metadata(Fields& fields) {
  const Json* metadata = fields.find("metadata");
  if (metadata == nullptr) return;
  if (!metadata->is_object()) return fields.fail(invalid_type("metadata", "an object of strings", *metadata));
  if (metadata->size() > kMetadataMax) return fields.fail(invalid_value("metadata", fmt::format("has at most {} members", kMetadataMax), std::to_string(metadata->size())));
  for (const auto& [name, value] : metadata->items()) {
    if (!value.is_string()) return fields.fail(invalid_type("metadata", "an object of strings", value));
  }
}

// What replies repeat, with OpenAI's defaults.
std::string echo_of(const Json& body, const OrderedJson& ordered, const Request& request) {
  const auto given = [&](const char* name, OrderedJson otherwise) {
    return body.contains(name) && !body[name].is_null() ? ordered[name] : std::move(otherwise);
  };
  OrderedJson echo = {{"background", false},
                      {"instructions", given("instructions", nullptr)},
                      {"max_output_tokens", given("max_output_tokens", nullptr)},
                      {"max_tool_calls", nullptr},
                      {"metadata", given("metadata", OrderedJson::object())},
                      {"parallel_tool_calls", request.tools.parallel},
                      {"previous_response_id", nullptr},
                      {"reasoning", {{"effort", nullptr}, {"summary", nullptr}}},
                      {"service_tier", "default"},
                      {"store", false},
                      {"temperature", given("temperature", 1.0)},
                      {"text", {{"format", {{"type", "text"}}}}},
                      {"tool_choice", given("tool_choice", "auto")},
                      {"tools", given("tools", OrderedJson::array())},
                      {"top_logprobs", request.top_logprobs.value_or(0)},
                      {"top_p", given("top_p", 1.0)},
                      {"truncation", "disabled"},
                      {"user", given("user", nullptr)}};
  const bool formatted = body.contains("text") && body["text"].is_object() && body["text"].contains("format") && !body["text"]["format"].is_null();
  if (formatted) echo["text"]["format"] = ordered["text"]["format"];
  for (OrderedJson& tool : echo["tools"]) {
    if (!tool.contains("strict") || tool["strict"].is_null()) tool["strict"] = true;
    if (!tool.contains("parameters")) tool["parameters"] = nullptr;
  }
  return dump_ordered_json(echo);
}

}  // namespace

Parsed<ResponsesRequest> parse_responses(std::string_view text) {
  Parsed<Json> body = parse_body(text);
  if (!body.ok()) return body.error();
  const Result<OrderedJson> ordered = parse_ordered_json(text, {.where = "openai", .bytes_max = limits::kRequestBytesMax});
  if (!ordered) return ApiError{.message = ordered.error().message, .param = "", .code = ""};
  Fields fields(*body);
  ResponsesRequest out;
  Request& request = out.request;
  fields.string("model", out.model);
  if (out.model.empty()) fields.fail(missing_parameter("model"));
  std::string instructions;
  fields.string("instructions", instructions);
  read_input(fields, request.messages);
  put_instructions(instructions, request.messages);
  fields.integer("max_output_tokens", {.low = 1, .high = kTokensMax}, request.max_tokens);
  read_sampling(fields, request.sampling);
  read_response_tools(fields, *ordered, request.tools);
  read_text_format(fields, text, request.grammar);
  read_include(fields, request);
  check_metadata(fields);
  fields.boolean("stream", out.stream);
  refuse(fields, kRefusals);
  if (fields.problem()) return *fields.problem();
  out.echo = echo_of(*body, *ordered, request);
  return out;
}

}  // namespace accelerate
