#include "accelerate/text/tool_grammar.h"

#include <vector>

#include <fmt/format.h>

#include "accelerate/base/json.h"

namespace accelerate {
namespace {

constexpr std::string_view kAnyObject = R"({"type": "object"})";

// A Lark string has JSON's escapes.
std::string lark_string(std::string_view text) { return dump_json(Json(std::string(text))); }

std::string regex_of(std::string_view word) {
  std::string out;
  for (const char c : word) {
    if (std::string_view("[]|<>/{}()*+?.\\^$").find(c) != std::string_view::npos && c != '<' && c != '>') out += '\\';
    out += c;
  }
  return out;
}

class Writer {
 public:
  explicit Writer(const ToolGrammar& choice) : choice_(choice), markers_(tool_markers(choice.style)) {
    if (!markers_.open.empty()) open_ = choice.word(markers_.open);
  }

  std::string text() {
    const bool forced = choice_.tools.choice != ToolChoice::kAuto;
    const std::string call = call_rule();
    const bool one = choice_.single_call || !choice_.tools.parallel || choice_.tools.choice == ToolChoice::kNamed;
    const std::string more = one ? "" : fmt::format(" ({}){{0,{}}}", joint(call), kForcedCallsMax - 1);
    const bool list = choice_.style == ToolStyle::kMistral;
    const std::string open = markers_.bare ? "" : open_.lark + " ";
    // What stands behind the opening word of the first call.
    const std::string calls = list ? fmt::format("\" \"? \"[\" {}{} \"]\"", call, more) : fmt::format("{}{}", call, more);
    std::string start;
    if (forced) start = fmt::format("start: {}{}\n", open, calls);
    else if (!choice_.answer_schema.empty()) start = fmt::format("start: answer | {}{}\nanswer: %json {}\n", open, calls, choice_.answer_schema);
    else start = automatic(calls);
    return start + rules_;
  }

 private:
  // One call without its opening word; its alternatives are the tools.
  std::string call_rule() {
    std::string alternatives;
    for (size_t i = 0; i < choice_.tools.tools.size(); ++i) {
      const Tool& tool = choice_.tools.tools[i];
      if (choice_.tools.choice == ToolChoice::kNamed && tool.name != choice_.tools.name) continue;
      const bool schema = !tool.parameters.empty() && (tool.strict || choice_.loose_schemas);
      rules_ += fmt::format("args{}: %json {}\n", i, schema ? std::string_view(tool.parameters) : kAnyObject);
      alternatives += fmt::format("{}{} args{}{}", alternatives.empty() ? "" : " | ", head(tool.name), i, tail());
    }
    rules_ += fmt::format("call: {}\n", alternatives);
    return "call";
  }

  std::string head(std::string_view name) const {
    if (choice_.style == ToolStyle::kMistralArgs) return lark_string(name) + " " + choice_.word("[ARGS]").lark;
    // Beside JSON of another schema both begin alike, and the lexer takes the longest word that fits: so words of JSON's own size.
    if (markers_.bare && !choice_.answer_schema.empty()) {
      return fmt::format(R"("{{" "\"name\"" ": " "\"{}\"" ", " "\"{}\"" ": ")", name, markers_.arguments);
    }
    const std::string object = fmt::format(R"({{"name": "{}", "{}": )", name, markers_.arguments);
    return lark_string(choice_.style == ToolStyle::kHermes ? "\n" + object : object);
  }

  std::string tail() const {
    if (choice_.style == ToolStyle::kMistralArgs) return "";
    if (choice_.style == ToolStyle::kHermes) return " \"}\\n\" " + choice_.word(markers_.close).lark;
    return " \"}\"";
  }

  // What joins a further call to the one before it.
  std::string joint(const std::string& call) const {
    switch (choice_.style) {
      case ToolStyle::kHermes: return fmt::format("\"\\n\" {} {}", open_.lark, call);
      case ToolStyle::kMistral: return fmt::format("\", \" {}", call);
      case ToolStyle::kMistralArgs: return fmt::format("{} {}", open_.lark, call);
      case ToolStyle::kLlama3: return fmt::format("\"; \" {}", call);
      case ToolStyle::kJson: break;
    }
    return fmt::format("\"\\n\" {}", call);
  }

  // Text in which no call begins, or text and then calls. A control token ends free text by itself; a word must be looked for.
  std::string automatic(const std::string& calls) const {
    if (markers_.bare) {
      const std::string text = "TEXT: /[ \\t\\r\\n]*([^ \\t\\r\\n\\[{](.|\\n)*)?/";
      if (open_.lark.empty()) return fmt::format("start: TEXT | {}\n{}\n", calls, text);
      if (open_.control) return fmt::format("start: TEXT ({} {})? | {}\n{}\n", open_.lark, calls, calls, text);
      return fmt::format("start: TEXT | {}\n{} & {}\n", calls, text, without_open());
    }
    if (open_.control) return fmt::format("start: TEXT ({} {})?\nTEXT: /(.|\\n)*/\n", open_.lark, calls);
    return fmt::format("start: TEXT | opened {}\nopened[lazy]: /(.|\\n)*/ {}\nTEXT: /(.|\\n)*/ & {}\n", calls, open_.lark, without_open());
  }

  std::string without_open() const { return fmt::format("~/(.|\\n)*{}(.|\\n)*/", regex_of(markers_.open)); }

  const ToolGrammar& choice_;
  ToolMarkers markers_;
  MarkerSpelling open_;
  std::string rules_;
};

}  // namespace

std::string tool_grammar(const ToolGrammar& choice) { return Writer(choice).text(); }

}  // namespace accelerate
