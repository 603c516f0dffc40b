// ToolTemplate - tools and their calls as a model's chat template takes them, and what is done where it takes none.
//
//   const ToolTemplate tool_template(chat_template);       // renders a few probes: what does this template know?
//   OrderedJson messages = messages_document(request.messages), tools = tools_document(request.tools);
//   ACC_TRY_VOID(tool_template.adapt(messages, tools, notes));   // ready for ChatTemplate::render_json
//
// Templates differ in what they know, and nothing in them says so; so probes are rendered and looked at: a tool on offer, a
// call in an assistant's message, a tool's answer, a system message. Where a template has no tools, or writes calls in a form
// that is not parsed here (Qwen3-Coder's XML), a system message of ours tells of them as JSON and asks for calls as JSON
// (ToolStyle::kJson); where it has no calls, they are the text of the assistant's message; where it has no tool answers, they
// are a user's message. Each of these is told in `notes`. Immutable; thread-safe.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "accelerate/base/result.h"
#include "accelerate/core/request.h"
#include "accelerate/text/chat_template.h"
#include "accelerate/text/tool_style.h"

namespace accelerate {

class ToolTemplate {
 public:
  explicit ToolTemplate(ChatTemplate chat_template);

  ToolStyle style() const { return style_; }
  /// The template takes one call an assistant's message, so an answer may have one only.
  bool single_call() const { return single_call_; }

  /// Brings `messages` and `tools` (JSON arrays) into the form that this template renders. Errors are the template machinery's.
  Result<void> adapt(nlohmann::ordered_json& messages, nlohmann::ordered_json& tools, std::vector<std::string>& notes) const;

 private:
  bool shows(const char* messages, const char* tools, const char* word) const;
  Result<void> tell_tools(nlohmann::ordered_json& messages, const nlohmann::ordered_json& tools) const;
  Result<std::string> spelled(const char* source, const nlohmann::ordered_json& value) const;

  ChatTemplate template_;
  ToolStyle style_ = ToolStyle::kJson;
  bool system_ = true, tools_ = false, calls_ = false, answers_ = false;
  bool text_arguments_ = false;  // calls with arguments as a string of JSON
  bool single_call_ = false;
};

/// Messages and tools as OpenAI's API writes them. Arguments that are a JSON object become one; others stay a string.
nlohmann::ordered_json messages_document(std::span<const Message> messages);
nlohmann::ordered_json tools_document(const ToolOptions& tools);

}  // namespace accelerate
