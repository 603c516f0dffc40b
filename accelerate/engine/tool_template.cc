#include "accelerate/engine/tool_template.h"

#include <map>

#include <fmt/format.h>

#include "accelerate/base/json.h"

namespace accelerate {
namespace {

// Words of the probes, found again in what is rendered.
constexpr const char* kProbeUser = R"([{"role":"user","content":"x"}])";
constexpr const char* kProbeSystem = R"([{"role":"system","content":"acc_system"},{"role":"user","content":"x"}])";
constexpr const char* kProbeTools = R"([{"type":"function","function":{"name":"acc_tool","description":"d",)"
                                    R"("parameters":{"type":"object","properties":{}}}}])";
constexpr const char* kCallsOfProbe = R"([{"role":"user","content":"x"},{"role":"assistant","content":"","tool_calls":[{"id":"acc000001",)"
                                      R"("type":"function","function":{"name":"acc_tool","arguments":)";
constexpr const char* kObjectArguments = R"({"acc_key":1})";
constexpr const char* kTextArguments = R"("{\"acc_key\":1}")";
constexpr const char* kSecondCall = R"(,{"id":"acc000002","type":"function","function":{"name":"acc_tool","arguments":{}}})";
constexpr const char* kProbeAnswer = R"({"role":"tool","tool_call_id":"acc000001","name":"acc_tool","content":"acc_answer"})";

// What we tell a model whose template does not tell of tools.
constexpr const char* kToolsText = R"j(You may call functions. Each line is one: its name, what it does, and the JSON Schema of its arguments.
{% for tool in messages %}{{ tool.function|tojson }}
{% endfor %}

To call a function, answer with nothing but a JSON object: {"name": "the function's name", "arguments": {its arguments}}
To call several, write one such object on each line. When no function is of use, answer as usual.)j";
constexpr const char* kCallsText = R"j({% for call in messages %}{{ {"name": call.function.name, "arguments": call.function.arguments}|tojson }}{% if not loop.last %}

{% endif %}{% endfor %})j";
constexpr const char* kAnswerText = R"j({{ {"result_of": messages[0].name, "content": messages[0].content}|tojson }})j";

// Of the arguments of one call in the history: objects of up to 500 members, as there may be thousands of calls.
constexpr uint64_t kArgumentsWorkMax = 250'000;

std::string text_of(const OrderedJson& message) { return message.value("content", ""); }

std::string joined(std::string_view first, std::string_view gap, std::string_view second) {
  return fmt::format("{}{}{}", first, first.empty() || second.empty() ? "" : gap, second);
}

}  // namespace

OrderedJson messages_document(std::span<const Message> messages) {
  OrderedJson out = OrderedJson::array();
  for (const Message& message : messages) {
    OrderedJson one = {{"role", message.role}, {"content", message.content}};
    for (const ToolCall& call : message.tool_calls) {
      Result<OrderedJson> arguments = parse_ordered_json(call.arguments, {.where = "engine", .ordered_work_max = kArgumentsWorkMax});
      const bool object = arguments && arguments->is_object();
      one["tool_calls"].push_back({{"id", call.id}, {"type", "function"},
                                   {"function", {{"name", call.name}, {"arguments", object ? std::move(*arguments) : OrderedJson(call.arguments)}}}});
    }
    if (!message.tool_call_id.empty()) one["tool_call_id"] = message.tool_call_id;
    if (!message.name.empty()) one["name"] = message.name;
    out.push_back(std::move(one));
  }
  return out;
}

OrderedJson tools_document(const ToolOptions& tools) {
  OrderedJson out = OrderedJson::array();
  if (tools.choice == ToolChoice::kNone) return out;
  for (const Tool& tool : tools.tools) {
    OrderedJson function = {{"name", tool.name}};
    if (!tool.description.empty()) function["description"] = tool.description;
    // Templates walk through the properties of a schema; most take it for granted that there is one.
    Result<OrderedJson> parameters = parse_ordered_json(tool.parameters, {.where = "engine"});
    function["parameters"] = parameters && parameters->is_object() ? std::move(*parameters)
                                                                   : OrderedJson{{"type", "object"}, {"properties", OrderedJson::object()}};
    out.push_back({{"type", "function"}, {"function", std::move(function)}});
  }
  return out;
}

bool ToolTemplate::shows(const char* messages, const char* tools, const char* word) const {
  const Result<std::string> text = template_.render_json(messages, {.add_generation_prompt = true, .tools_json = tools});
  return text && text->find(word) != std::string::npos;
}

ToolTemplate::ToolTemplate(ChatTemplate chat_template) : template_(std::move(chat_template)), style_(tool_style_of(template_.source())) {
  system_ = shows(kProbeSystem, "", "acc_system");
  tools_ = shows(kProbeUser, kProbeTools, "acc_tool") && template_.source().find("<function=") == std::string_view::npos;
  if (!tools_) style_ = ToolStyle::kJson;
  // A template of which only the calls are known would show the model two ways of writing them.
  const auto calls = [](const char* arguments, const char* more) { return fmt::format("{}{}}}}}{}]}}]", kCallsOfProbe, arguments, more); };
  const auto with = [](std::string messages, std::string_view more) {
    messages.pop_back();
    return fmt::format("{},{}]", messages, more);
  };
  const bool object = tools_ && shows(calls(kObjectArguments, "").c_str(), kProbeTools, "acc_key");
  text_arguments_ = tools_ && !object && shows(calls(kTextArguments, "").c_str(), kProbeTools, "acc_key");
  calls_ = object || text_arguments_;
  const char* arguments = text_arguments_ ? kTextArguments : kObjectArguments;
  const std::string answered = calls_ ? with(calls(arguments, ""), kProbeAnswer)
                                      : with(R"([{"role":"user","content":"x"},{"role":"assistant","content":"acc_call"}])", kProbeAnswer);
  answers_ = shows(answered.c_str(), kProbeTools, "acc_answer");
  single_call_ = calls_ && !shows(calls(arguments, text_arguments_ ? "" : kSecondCall).c_str(), kProbeTools, "acc_key");
}

Result<std::string> ToolTemplate::spelled(const char* source, const OrderedJson& value) const {
  ACC_TRY(const ChatTemplate own, ChatTemplate::create(source, ChatTemplateTokens{}));
  return own.render_json(dump_ordered_json(value), {});
}

Result<void> ToolTemplate::tell_tools(OrderedJson& messages, const OrderedJson& tools) const {
  ACC_TRY(const std::string text, spelled(kToolsText, tools));
  const char* role = system_ ? "system" : "user";
  if (messages.empty() || messages[0].value("role", "") != role) {
    messages.insert(messages.begin(), OrderedJson{{"role", role}, {"content", ""}});
  }
  messages[0]["content"] = system_ ? joined(text_of(messages[0]), "\n\n", text) : joined(text, "\n\n", text_of(messages[0]));
  return {};
}

Result<void> ToolTemplate::adapt(OrderedJson& messages, OrderedJson& tools, std::vector<std::string>& notes) const {
  OrderedJson out = OrderedJson::array();
  std::map<std::string, std::string> names;  // of the tools, by the ids of their calls
  bool results = false;                      // the last message of `out` is a user's, made of tool answers
  bool spelled_calls = false, spelled_answers = false;
  for (OrderedJson& message : messages) {
    const std::string role = message.value("role", "");
    const auto calls = message.find("tool_calls");
    if (calls != message.end()) {
      for (OrderedJson& call : *calls) {
        names[call["id"]] = call["function"]["name"];
        call["id"] = fitted_tool_call_id(style_, call["id"].get_ref<const std::string&>());
        OrderedJson& arguments = call["function"]["arguments"];
        if (text_arguments_ && !arguments.is_string()) arguments = dump_ordered_json(arguments);
      }
      if (!calls_) {
        ACC_TRY(const std::string text, spelled(kCallsText, *calls));
        message["content"] = joined(text_of(message), "\n", text);
        message.erase("tool_calls");
        spelled_calls = true;
      }
    }
    const std::string id = message.value("tool_call_id", "");
    if (role == "tool") {
      if (message.find("name") == message.end() && names.contains(id)) message["name"] = names[id];
      message["tool_call_id"] = fitted_tool_call_id(style_, id);
    }
    if (role == "tool" && !answers_) {
      ACC_TRY(const std::string text, spelled(kAnswerText, OrderedJson::array({{{"name", message.value("name", id)}, {"content", text_of(message)}}})));
      spelled_answers = true;
      if (!results) out.push_back({{"role", "user"}, {"content", ""}});
      results = true;
      out.back()["content"] = joined(text_of(out.back()), "\n", text);
      continue;
    }
    if (results && role == "user") {  // templates that know no tools tend to insist on alternating turns
      out.back()["content"] = joined(text_of(out.back()), "\n\n", text_of(message));
      results = false;
      continue;
    }
    results = false;
    if (single_call_ && message.contains("tool_calls") && message["tool_calls"].size() > 1) {
      for (OrderedJson& call : message["tool_calls"]) {
        out.push_back({{"role", role}, {"content", std::exchange(message["content"], "")}, {"tool_calls", OrderedJson::array({std::move(call)})}});
      }
      continue;
    }
    out.push_back(std::move(message));
  }
  messages = std::move(out);
  if (!tools.empty() && !tools_) {
    ACC_TRY_VOID(tell_tools(messages, tools));
    notes.push_back("this model's chat template has no tools that are known here: a message of ours tells of them, calls are JSON");
    tools = OrderedJson::array();
  }
  if (spelled_calls) notes.push_back("this model's chat template has no tool calls: they are given as text of the assistant's messages");
  if (spelled_answers) notes.push_back("this model's chat template has no tool answers: they are given as messages of the user");
  return {};
}

}  // namespace accelerate
