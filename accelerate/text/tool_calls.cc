#include "accelerate/text/tool_calls.h"

#include <algorithm>
#include <array>
#include <utility>

#include "accelerate/base/json.h"

namespace accelerate {
namespace {

constexpr std::array<std::string_view, 5> kMembers = {"name", "arguments", "parameters", "type", "id"};

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool is_alphanumeric(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_name_character(char c) { return is_alphanumeric(c) || c == '_' || c == '-' || c == '.'; }
bool is_arguments(std::string_view key) { return key == "arguments" || key == "parameters"; }

// The text of a JSON string with its quotes; nothing for one that is no Unicode (half a surrogate pair).
std::optional<std::string> unquoted(std::string_view token) {
  const Json value = Json::parse(token, nullptr, false);
  if (!value.is_string()) return std::nullopt;
  return value.get<std::string>();
}

bool is_whole_object(std::string_view text) {
  JsonScanner scanner;
  return std::all_of(text.begin(), text.end(), [&](char c) { return scanner.push(c); }) && scanner.done();
}

}  // namespace

ToolCallParser::ToolCallParser(ToolStyle style, std::vector<std::string> names)
    : style_(style), markers_(tool_markers(style)), names_(std::move(names)) {}

bool ToolCallParser::is_tool(std::string_view name) const { return std::find(names_.begin(), names_.end(), name) != names_.end(); }

void ToolCallParser::tell(std::string name, Step& step) {
  lead_.clear();
  held_.clear();
  step.calls.push_back({.index = static_cast<uint32_t>(begun_++), .id = make_tool_call_id(style_), .name = std::move(name), .arguments = ""});
}

void ToolCallParser::tell_arguments(std::string_view bytes, Step& step) {
  const auto index = static_cast<uint32_t>(begun_ - 1);
  if (step.calls.empty() || step.calls.back().index != index || !step.calls.back().id.empty()) {
    step.calls.push_back({.index = index, .id = "", .name = "", .arguments = ""});
  }
  step.calls.back().arguments += bytes;
}

// What was held back is text after all.
void ToolCallParser::release(Step& step) {
  step.text.append(lead_).append(held_);
  lead_.clear();
  held_.clear();
  state_ = State::kText;
}

void ToolCallParser::refuse(char c, Step& step) {
  release(step);
  take_text(c, step);
}

void ToolCallParser::take_text(char c, Step& step) {
  state_ = State::kText;
  held_ += c;
  while (!held_.empty() && (markers_.open.empty() || !markers_.open.starts_with(held_))) {
    step.text.append(std::exchange(lead_, "")) += held_.front();
    held_.erase(0, 1);
  }
  if (!held_.empty() && held_ == markers_.open) state_ = State::kOpened;
}

void ToolCallParser::begin_object(char c, Step&) {
  object_ = {};
  object_.scanner.push(c);
  held_ += c;
  state_ = State::kObject;
}

void ToolCallParser::take_opened(char c, Step& step) {
  const bool mistral = style_ == ToolStyle::kMistral || style_ == ToolStyle::kMistralArgs;
  if (c == '{') return begin_object(c, step);
  if (is_space(c)) {
    held_ += c;
  } else if (state_ == State::kOpened && c == '[' && style_ != ToolStyle::kHermes) {
    held_ += c;
    state_ = State::kListed;
  } else if (state_ == State::kOpened && mistral && is_name_character(c)) {
    word_.clear();
    state_ = State::kName;
    take_name(c, step);
  } else {
    refuse(c, step);
  }
}

// f[ARGS]{ or f[CALL_ID]123456789[ARGS]{, as far as the brace.
void ToolCallParser::take_name(char c, Step& step) {
  if (state_ == State::kName && is_name_character(c)) {
    word_ += c;
    const auto may_be = [&](const std::string& name) { return name.starts_with(word_); };
    if (std::none_of(names_.begin(), names_.end(), may_be)) return refuse(c, step);
    held_ += c;
    return;
  }
  if (state_ == State::kName) {
    if (!is_tool(word_) || !(c == '[' || c == '{' || is_space(c))) return refuse(c, step);
    object_.name = std::exchange(word_, "");
    state_ = c == '[' ? State::kWord : State::kSeekArguments;
  } else if (state_ == State::kCallId && !is_alphanumeric(c)) {
    if (c != '[') return refuse(c, step);
    state_ = State::kWord;
    word_.clear();
  }
  if (state_ == State::kWord) {
    word_ += c;
    if (!std::string_view("[ARGS]").starts_with(word_) && !std::string_view("[CALL_ID]").starts_with(word_)) return refuse(c, step);
    if (c == ']') state_ = word_ == "[ARGS]" ? State::kSeekArguments : State::kCallId;
  } else if (state_ == State::kSeekArguments && c == '{') {
    tell(object_.name, step);
    arguments_ = {};
    state_ = State::kArguments;
    return take_arguments(c, step);
  } else if (state_ == State::kSeekArguments && !is_space(c)) {
    return refuse(c, step);
  }
  held_ += c;
}

void ToolCallParser::take_object(char c, Step& step) {
  JsonScanner& scanner = object_.scanner;
  const bool value_begins = scanner.depth() == 1 && scanner.wants_value() && !is_space(c);
  const bool was_in_string = scanner.in_string(), was_in_key = scanner.in_key();
  if (!scanner.push(c)) {
    if (object_.streaming) return state_ = State::kBroken, take_broken(c, step);
    if (object_.over) return state_ = State::kAfter, take_after(c, step);
    return refuse(c, step);
  }
  if (object_.streaming) {
    tell_arguments({&c, 1}, step);
    if (scanner.depth() > 1) return;
    object_.streaming = false;
    object_.over = true;
    ++completed_;
  } else if (!object_.over) {
    held_ += c;
    take_member_byte(c, value_begins, was_in_string, was_in_key, step);
  }
  if (state_ == State::kObject && scanner.done()) end_object(step);
}

// One byte of an object that is not known to be a call yet: names and values of its first level.
void ToolCallParser::take_member_byte(char c, bool value_begins, bool was_in_string, bool was_in_key, Step& step) {
  const JsonScanner& scanner = object_.scanner;
  const bool first_level = scanner.depth() == 1;
  if (value_begins && object_.key == "name" && c != '"') return release(step);
  if (value_begins && is_arguments(object_.key)) {
    if (object_.arguments_begin || (c != '{' && c != '"')) return release(step);
    object_.arguments_begin = held_.size() - 1;
    if (c == '{' && object_.name_known) {
      tell(object_.name, step);
      object_.streaming = true;
      return tell_arguments({&c, 1}, step);
    }
  }
  if (first_level && !was_in_string && scanner.in_string()) object_.token.clear();
  if (first_level && (was_in_string || scanner.in_string())) object_.token += c;
  const bool value_ends = was_in_string ? !was_in_key && !scanner.in_string() : c == '}';
  if (first_level && value_ends && object_.arguments_begin && !object_.arguments_end) object_.arguments_end = held_.size();
  if (!first_level || !was_in_string || scanner.in_string()) return;
  const std::optional<std::string> text = unquoted(object_.token);
  if (was_in_key) {
    object_.key = text.value_or("");
    if (std::find(kMembers.begin(), kMembers.end(), object_.key) == kMembers.end()) release(step);
  } else if (object_.key == "name") {
    object_.name = text.value_or("");
    object_.name_known = is_tool(object_.name);
    if (!object_.name_known) release(step);
  }
}

// An object that ended before it was told: its arguments came first, or as a string, or it is no call.
void ToolCallParser::end_object(Step& step) {
  if (!object_.over) {
    if (!object_.name_known || !object_.arguments_end) return release(step);
    std::string arguments = held_.substr(*object_.arguments_begin, *object_.arguments_end - *object_.arguments_begin);
    if (arguments.front() == '"') arguments = unquoted(arguments).value_or("");
    if (!is_whole_object(arguments)) return release(step);
    tell(object_.name, step);
    tell_arguments(arguments, step);
    ++completed_;
  }
  state_ = State::kAfter;
}

void ToolCallParser::take_arguments(char c, Step& step) {
  if (!arguments_.push(c)) return state_ = State::kBroken, take_broken(c, step);
  tell_arguments({&c, 1}, step);
  if (!arguments_.done()) return;
  ++completed_;
  state_ = State::kAfter;
}

void ToolCallParser::take_broken(char c, Step& step) {
  const std::string_view end = markers_.close.empty() ? markers_.open : markers_.close;
  held_ += c;
  while (!held_.empty() && (end.empty() || !end.starts_with(held_))) {
    tell_arguments({held_.data(), 1}, step);
    held_.erase(0, 1);
  }
  if (held_.empty() || held_ != end) return;
  state_ = markers_.close.empty() ? State::kOpened : State::kAfter;
  if (state_ == State::kAfter) held_.clear();
}

void ToolCallParser::take_after(char c, Step& step) {
  held_ += c;
  const std::string_view between = style_ == ToolStyle::kHermes ? " \t\r\n" : " \t\r\n;,]";
  const std::string_view held = held_;
  const std::string_view rest = held.substr(std::min(held.find_first_not_of(between), held.size()));
  if (rest.empty()) return;
  if (!markers_.close.empty() && markers_.close.starts_with(rest)) {
    if (rest.size() == markers_.close.size()) held_.clear();
  } else if (!markers_.open.empty() && markers_.open.starts_with(rest)) {
    if (rest.size() == markers_.open.size()) state_ = State::kOpened;
  } else {
    held_.pop_back();
    if (rest.size() == 1 && c == '{') begin_object(c, step);
    else refuse(c, step);
  }
}

void ToolCallParser::take(char c, Step& step) {
  switch (state_) {
    case State::kLead:
      if (is_space(c)) {
        lead_ += c;
      } else if (markers_.bare && c == '{') {
        begin_object(c, step);
      } else if (markers_.bare && c == '[') {
        held_ += c;
        state_ = State::kListed;
      } else {
        take_text(c, step);
      }
      return;
    case State::kText: return take_text(c, step);
    case State::kOpened:
    case State::kListed: return take_opened(c, step);
    case State::kName:
    case State::kWord:
    case State::kCallId:
    case State::kSeekArguments: return take_name(c, step);
    case State::kObject: return take_object(c, step);
    case State::kArguments: return take_arguments(c, step);
    case State::kBroken: return take_broken(c, step);
    case State::kAfter: return take_after(c, step);
  }
}

ToolCallParser::Step ToolCallParser::push(std::string_view text) {
  Step step;
  for (const char c : text) take(c, step);
  return step;
}

ToolCallParser::Step ToolCallParser::finish() {
  Step step;
  if (state_ == State::kBroken && !held_.empty()) tell_arguments(std::exchange(held_, ""), step);
  if (state_ == State::kAfter) {
    const size_t begin = held_.find_first_not_of(" \t\r\n;,]");
    // Half a closing word, where the answer was cut, belongs to the call before it.
    if (begin == std::string::npos || (!markers_.close.empty() && markers_.close.starts_with(std::string_view(held_).substr(begin)))) held_.clear();
  }
  const bool told = state_ == State::kObject && (object_.streaming || object_.over);
  if (!told) release(step);
  return step;
}

}  // namespace accelerate
