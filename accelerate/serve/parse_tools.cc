#include "accelerate/serve/parse_tools.h"

#include <set>

#include <fmt/format.h>

#include "accelerate/base/limits.h"
#include "accelerate/engine/tool_answer.h"

namespace accelerate {
namespace {

void read_choice(Fields& fields, ToolOptions& tools) {
  const Json* choice = fields.find("tool_choice");
  if (choice == nullptr || read_choice_word(*choice, tools)) return;
  static constexpr std::string_view kForms = R"(none, auto, required or {"type": "function", "function": {"name": ...}})";
  if (choice->is_string()) return fields.fail(invalid_value("tool_choice", fmt::format("is {}", kForms), dump_json(*choice).substr(0, 80)));
  if (!choice->is_object()) return fields.fail(invalid_type("tool_choice", kForms, *choice));
  Fields inner(*choice, "tool_choice.");
  std::string type;
  inner.string("type", type);
  if (!inner.problem() && type != "function") {
    inner.fail(unsupported_parameter("tool_choice.type", fmt::format("\"function\" is what there is, not \"{}\"", type.substr(0, 40))));
  }
  const Json* function = inner.find("function");
  if (function == nullptr) inner.fail(missing_parameter("tool_choice.function"));
  else if (!function->is_object()) inner.fail(invalid_type("tool_choice.function", "an object", *function));
  if (inner.problem()) return fields.fail(*inner.problem());
  Fields named(*function, "tool_choice.function.");
  named.string("name", tools.name);
  if (tools.name.empty()) named.fail(missing_parameter("tool_choice.function.name"));
  if (named.problem()) return fields.fail(*named.problem());
  tools.choice = ToolChoice::kNamed;
}

}  // namespace

bool read_choice_word(const Json& value, ToolOptions& tools) {
  if (value == "none") tools.choice = ToolChoice::kNone;
  else if (value == "auto") tools.choice = ToolChoice::kAuto;
  else if (value == "required") tools.choice = ToolChoice::kRequired;
  else return false;
  return true;
}

Tool read_function(Fields& fields, const OrderedJson& function, const std::string& path) {
  Tool tool;
  // Members are few and their kinds checked here; only the schema's own order matters.
  const Json plain = Json::parse(function.dump(-1, ' ', false, OrderedJson::error_handler_t::replace), nullptr, false);
  Fields inner(plain, path + ".");
  inner.string("name", tool.name);
  if (inner.find("name") == nullptr) inner.fail(missing_parameter(path + ".name"));
  else if (!is_api_name(tool.name)) {
    inner.fail(invalid_value(path + ".name", fmt::format("is 1 to {} of a-zA-Z0-9_-", kNameCharactersMax), fmt::format("\"{}\"", tool.name.substr(0, 80))));
  }
  inner.string("description", tool.description);
  inner.boolean("strict", tool.strict);
  if (const Json* parameters = inner.find("parameters"); parameters != nullptr) {
    if (!parameters->is_object()) inner.fail(invalid_type(path + ".parameters", "an object, a JSON Schema", *parameters));
    else tool.parameters = dump_ordered_json(function["parameters"]);
  }
  if (inner.problem()) fields.fail(*inner.problem());
  return tool;
}

void check_tools(Fields& fields, const ToolOptions& tools) {
  std::set<std::string_view> names;
  for (const Tool& tool : tools.tools) {
    if (!names.insert(tool.name).second) return fields.fail(invalid_value("tools", "have names of their own", fmt::format("\"{}\" twice", tool.name)));
  }
  if (tools.choice == ToolChoice::kNamed && !names.contains(tools.name)) {
    return fields.fail(invalid_value("tool_choice", "names one of the tools", fmt::format("\"{}\"", tools.name.substr(0, 80))));
  }
  if (!tools.tools.empty()) return;
  const bool asks = tools.choice == ToolChoice::kRequired || tools.choice == ToolChoice::kNamed;
  if (asks) return fields.fail(invalid_value("tool_choice", "goes with tools", "it without"));
  if (fields.find("parallel_tool_calls") != nullptr) fields.fail(invalid_value("parallel_tool_calls", "goes with tools", "it without"));
}

void read_tools(Fields& fields, std::string_view body, ToolOptions& tools) {
  read_choice(fields, tools);
  fields.boolean("parallel_tool_calls", tools.parallel);
  const Json* plain = fields.find("tools");
  if (plain != nullptr && !plain->is_array()) return fields.fail(invalid_type("tools", "a list of tools", *plain));
  if (plain != nullptr && plain->size() > kToolsMax) {
    return fields.fail(invalid_value("tools", fmt::format("has at most {} entries", kToolsMax), std::to_string(plain->size())));
  }
  if (plain != nullptr && !plain->empty()) {
    const Result<OrderedJson> ordered = parse_ordered_json(json_member_text(body, {"tools"}), {.where = "openai", .bytes_max = limits::kRequestBytesMax});
    if (!ordered) return fields.fail({.message = ordered.error().message, .param = "tools", .code = "invalid_value"});
    const OrderedJson& list = *ordered;
    for (size_t i = 0; i < list.size() && !fields.problem(); ++i) {
      const std::string path = fmt::format("tools[{}]", i);
      const Json& entry = (*plain)[i];
      if (!entry.is_object()) return fields.fail(invalid_type(path, "an object", entry));
      Fields tool(entry, path + ".");
      std::string type;
      tool.string("type", type);
      if (tool.find("type") == nullptr) tool.fail(missing_parameter(path + ".type"));
      else if (!tool.problem() && type != "function") {
        tool.fail(unsupported_parameter(path + ".type", fmt::format("tools are functions, not \"{}\"", type.substr(0, 40))));
      }
      const Json* function = tool.find("function");
      if (function == nullptr) tool.fail(missing_parameter(path + ".function"));
      else if (!function->is_object()) tool.fail(invalid_type(path + ".function", "an object", *function));
      if (tool.problem()) return fields.fail(*tool.problem());
      tools.tools.push_back(read_function(fields, list[i]["function"], path + ".function"));
    }
  }
  check_tools(fields, tools);
}

void read_tool_members(Fields& message, Message& out) {
  if (out.role == "tool") {
    message.string("tool_call_id", out.tool_call_id);
    message.string("name", out.name);
    if (out.tool_call_id.empty()) message.fail(missing_parameter(message.path("tool_call_id")));
  }
  const Json* list = message.find("tool_calls");
  if (list == nullptr) return;
  const std::string path = message.path("tool_calls");
  if (!list->is_array()) return message.fail(invalid_type(path, "a list of tool calls", *list));
  if (!list->empty() && out.role != "assistant") return message.fail(invalid_value(path, "is an assistant's", fmt::format("one of role {}", out.role)));
  for (size_t i = 0; i < list->size(); ++i) {
    const std::string at = fmt::format("{}[{}]", path, i);
    const Json& entry = (*list)[i];
    if (!entry.is_object()) return message.fail(invalid_type(at, "an object", entry));
    Fields call(entry, at + ".");
    ToolCall made;
    std::string type = "function";
    call.string("id", made.id);
    if (made.id.empty()) call.fail(missing_parameter(at + ".id"));
    call.string("type", type);
    if (type != "function") call.fail(unsupported_parameter(at + ".type", fmt::format("tools are functions, not \"{}\"", type.substr(0, 40))));
    const Json* function = call.find("function");
    if (function == nullptr) call.fail(missing_parameter(at + ".function"));
    else if (!function->is_object()) call.fail(invalid_type(at + ".function", "an object", *function));
    if (call.problem()) return message.fail(*call.problem());
    Fields inner(*function, at + ".function.");
    inner.string("name", made.name);
    if (made.name.empty()) inner.fail(missing_parameter(at + ".function.name"));
    inner.string("arguments", made.arguments);
    if (inner.find("arguments") == nullptr) inner.fail(missing_parameter(at + ".function.arguments"));
    if (inner.problem()) return message.fail(*inner.problem());
    out.tool_calls.push_back(std::move(made));
  }
}

void check_tool_answers(Fields& fields, const std::vector<Message>& messages) {
  std::set<std::string_view> asked;
  for (size_t i = 0; i < messages.size(); ++i) {
    const Message& message = messages[i];
    for (const ToolCall& call : message.tool_calls) asked.insert(call.id);
    if (message.role != "tool" || asked.contains(message.tool_call_id)) continue;
    return fields.fail(invalid_value(fmt::format("messages[{}].tool_call_id", i), "is the id of a call in an assistant's message before it",
                                     fmt::format("\"{}\"", message.tool_call_id.substr(0, 80))));
  }
}

}  // namespace accelerate
