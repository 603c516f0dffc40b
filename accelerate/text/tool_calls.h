// ToolCallParser - finds the tool calls in an answer as it comes, in the style of the model's family (text/tool_style.h).
//
//   ToolCallParser parser(ToolStyle::kHermes, {"get_weather"});
//   auto step = parser.push("Let me see.\n<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"ci");
//   // step.text == "Let me see.\n"; step.calls == {{0, "call_...", "get_weather", ""}, {0, "", "", "{\"ci"}}
//   step = parser.push("ty\": \"Oslo\"}}\n</tool_call>");   // step.calls == {{0, "", "", "ty\": \"Oslo\"}"}}; completed() == 1
//   step = parser.finish();
//
// A call is a call once its opening is complete, its name is that of a tool offered and its arguments begin as an object;
// until then its text is held back, and comes out as text, unchanged, when it turns out to be none. Plain text is held back
// only while it may still be the beginning of a call. From then on arguments are given out as they come, as the JSON text the
// model wrote. Where the model breaks off JSON inside its arguments, the rest up to the style's closing word stays part of the
// arguments: clients check them, as OpenAI's documentation tells them to, unless a grammar rules it out (text/tool_grammar.h).
// Also taken: arguments before the name, arguments as a string of JSON, "parameters" for "arguments", a JSON list of calls.
// Whitespace before a first call, between calls and behind the last is no text.
//
// Text comes and goes in whole UTF-8 characters; what comes out does not depend on how it was cut. Linear time; holds at most
// the answer. Plain value; not thread-safe; one an answer.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "accelerate/core/request.h"
#include "accelerate/text/json_scanner.h"
#include "accelerate/text/tool_style.h"

namespace accelerate {

class ToolCallParser {
 public:
  struct Step {
    std::string text;                  // content that may be sent now; what was before this step's calls stands before them
    std::vector<ToolCallDelta> calls;  // those of one call that arrive together are one, but for the first, which has no arguments
  };
  /// `names`: of the tools on offer; a call of another name is text.
  ToolCallParser(ToolStyle style, std::vector<std::string> names);

  Step push(std::string_view text);
  /// The end of the answer: what was held back and is no call.
  Step finish();
  size_t begun() const { return begun_; }          // calls told so far
  size_t completed() const { return completed_; }  // of those, with whole arguments

 private:
  enum class State : uint8_t {
    kLead,       // nothing but whitespace so far
    kText,
    kOpened,     // behind `open`: an object, a list or a name comes next
    kListed,     // behind '[': an object comes next
    kObject,     // inside a call's object
    kName,       // mistral-args: inside a name
    kWord,       // inside [ARGS] or [CALL_ID]
    kCallId,
    kSeekArguments,
    kArguments,  // inside the object that arguments are, with no object around
    kBroken,     // arguments that are JSON no more
    kAfter,      // behind a call
  };
  // A call's own object while it is read.
  struct Object {
    JsonScanner scanner;
    std::string token, key;          // the string of its first level being read; the member's name read last
    std::string name;
    std::optional<size_t> arguments_begin, arguments_end;  // in held_
    bool name_known = false;
    bool streaming = false;          // told; arguments go out as they come
    bool over = false;               // behind the arguments
  };

  void take(char c, Step& step);
  void take_text(char c, Step& step);
  void take_opened(char c, Step& step);
  void take_name(char c, Step& step);
  void take_object(char c, Step& step);
  void take_member_byte(char c, bool value_begins, bool was_in_string, bool was_in_key, Step& step);
  void take_arguments(char c, Step& step);
  void take_broken(char c, Step& step);
  void take_after(char c, Step& step);
  void begin_object(char c, Step& step);
  void end_object(Step& step);
  bool is_tool(std::string_view name) const;
  void tell(std::string name, Step& step);
  void tell_arguments(std::string_view bytes, Step& step);
  void release(Step& step);
  void refuse(char c, Step& step);

  ToolStyle style_;
  ToolMarkers markers_;
  std::vector<std::string> names_;
  State state_ = State::kLead;
  std::string lead_;   // whitespace that is text only if text follows
  std::string held_;   // text that may become a call
  std::string word_;   // a name or a marker being read
  Object object_;
  JsonScanner arguments_;
  size_t begun_ = 0, completed_ = 0;
};

}  // namespace accelerate
