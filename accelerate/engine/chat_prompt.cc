#include "accelerate/engine/chat_prompt.h"

#include <algorithm>

#include <fmt/format.h>

#include "accelerate/base/json.h"
#include "accelerate/text/utf8.h"

namespace accelerate {
namespace {

// U+FDD0 .. U+FDEF are noncharacters: never assigned, never in interchanged text. One whose escape occurs is used as well:
// a template that writes JSON in ASCII would make the two alike.
std::optional<ControlMarker> unused_marker(std::string_view text) {
  for (int i = 0; i < 32; ++i) {
    const ControlMarker marker{{'\xEF', '\xB7', static_cast<char>(0x90 + i)}, fmt::format("\\ufd{:02x}", 0xD0 + i)};
    if (text.find(marker.raw) == std::string_view::npos && text.find(marker.escaped) == std::string_view::npos) return marker;
  }
  return std::nullopt;
}

size_t first_character_bytes(std::string_view text) {
  size_t bytes = 1;
  while (bytes < text.size() && (static_cast<unsigned char>(text[bytes]) & 0xC0) == 0x80) ++bytes;
  return bytes;
}

// `text` with a marker in every control token it spells; nothing if it spells none. A token of one character has no place
// for a marker: it is left, and encode_pieces does not look for such.
std::optional<std::string> broken_control_tokens(std::string_view text, const ControlTokens& tokens, std::string_view marker) {
  std::string result;
  size_t copied = 0;
  bool found_any = false;
  for (size_t at = 0; at < text.size(); ++at) {
    const auto found = tokens.at(text, at);
    if (!found) continue;
    found_any = true;
    if (found->first_bytes == found->bytes) continue;
    result.append(text.substr(copied, at + found->first_bytes - copied)).append(marker);
    copied = at + found->first_bytes;
  }
  if (!found_any) return std::nullopt;
  return result.append(text.substr(copied));
}

void take_out(std::string& text, std::string_view part) {
  size_t from = text.find(part);
  if (from == std::string::npos) return;
  std::string result = text.substr(0, from);
  for (size_t at = from; at != std::string::npos; at = from) {
    at += part.size();
    from = text.find(part, at);
    result.append(text, at, from - at);
  }
  text = std::move(result);
}

// Breaks the control tokens of every string in `value`, names of members too; true where there was one.
bool break_control_tokens(OrderedJson& value, const ControlTokens& tokens, std::string_view marker) {
  bool broken = false;
  if (value.is_string()) {
    std::string& text = value.get_ref<std::string&>();
    if (std::optional<std::string> changed = broken_control_tokens(text, tokens, marker)) {
      text = std::move(*changed);
      broken = true;
    }
  } else if (value.is_object()) {
    OrderedJson changed = OrderedJson::object();
    for (auto& [key, member] : value.items()) {
      std::optional<std::string> name = broken_control_tokens(key, tokens, marker);
      broken |= name.has_value();
      broken |= break_control_tokens(member, tokens, marker);
      changed[name.value_or(key)] = std::move(member);
    }
    value = std::move(changed);
  } else if (value.is_array()) {
    for (OrderedJson& entry : value) broken |= break_control_tokens(entry, tokens, marker);
  }
  return broken;
}

Result<void> check_utf8(std::string_view text) {
  if (const size_t valid = utf8_valid_prefix(text); valid != text.size()) {
    return Error{ErrorCode::kInvalidArgument, fmt::format("[engine] messages are UTF-8; got ill-formed bytes at offset {}", valid)};
  }
  return {};
}

Result<void> check_texts(std::span<const Message> messages, const ToolOptions& tools) {
  for (const Message& message : messages) {
    for (const std::string* text : {&message.content, &message.role, &message.tool_call_id, &message.name}) ACC_TRY_VOID(check_utf8(*text));
    for (const ToolCall& call : message.tool_calls) {
      for (const std::string* text : {&call.id, &call.name, &call.arguments}) ACC_TRY_VOID(check_utf8(*text));
    }
  }
  for (const Tool& tool : tools.tools) {
    for (const std::string* text : {&tool.name, &tool.description, &tool.parameters}) ACC_TRY_VOID(check_utf8(*text));
  }
  return {};
}

}  // namespace

ControlTokens::ControlTokens(const Tokenizer& tokenizer) {
  for (uint32_t id = 0; id < tokenizer.size(); ++id) {
    const std::string_view text = tokenizer.token_bytes(id);
    if (!tokenizer.is_control(id) || text.empty()) continue;
    ids_.emplace(text, id);
    begins_[static_cast<unsigned char>(text.front())] = true;
    lengths_.push_back(text.size());
  }
  std::sort(lengths_.begin(), lengths_.end(), std::greater<>());
  lengths_.erase(std::unique(lengths_.begin(), lengths_.end()), lengths_.end());
}

std::optional<ControlTokens::Found> ControlTokens::at(std::string_view text, size_t at) const {
  if (!begins_[static_cast<unsigned char>(text[at])]) return std::nullopt;
  for (const size_t bytes : lengths_) {
    if (bytes > text.size() - at) continue;
    const std::string_view candidate = text.substr(at, bytes);
    if (const auto found = ids_.find(candidate); found != ids_.end()) return Found{found->second, bytes, first_character_bytes(candidate)};
  }
  return std::nullopt;
}

ChatPrompt::ChatPrompt(std::shared_ptr<const Tokenizer> tokenizer, ChatTemplate chat_template)
    : tokenizer_(std::move(tokenizer)), template_(std::move(chat_template)), tools_(template_), control_(*tokenizer_) {}

// Cuts `text` at control tokens that are spelled whole: those are the template's.
Result<std::vector<uint32_t>> ChatPrompt::encode_pieces(std::string_view text, const ControlMarker& marker, uint32_t tokens_max) const {
  std::vector<uint32_t> ids;
  const auto append_plain = [&](std::string_view piece) -> Result<void> {
    std::string plain(piece);
    take_out(plain, marker.raw);
    take_out(plain, marker.escaped);
    if (plain.empty()) return {};
    ACC_TRY(const std::vector<uint32_t> more, tokenizer_->encode(plain, {.add_special = false, .parse_special = false, .tokens_max = tokens_max}));
    ids.insert(ids.end(), more.begin(), more.end());
    return {};
  };
  size_t piece = 0;
  for (size_t at = 0; at < text.size();) {
    const auto found = control_.at(text, at);
    if (!found || found->first_bytes == found->bytes) {
      ++at;
      continue;
    }
    ACC_TRY_VOID(append_plain(text.substr(piece, at - piece)));
    ids.push_back(found->id);
    at += found->bytes;
    piece = at;
  }
  ACC_TRY_VOID(append_plain(text.substr(piece)));
  if (tokens_max != 0 && ids.size() > tokens_max) {
    return Error{ErrorCode::kOutOfRange, fmt::format("[engine] the messages fit into {} tokens; got {}; try shorter ones", tokens_max, ids.size())};
  }
  return ids;
}

Result<std::vector<uint32_t>> ChatPrompt::encode(std::span<const Message> messages, uint32_t tokens_max, bool add_generation_prompt) const {
  ACC_TRY(Encoded encoded, encode_with_tools(messages, {}, tokens_max, add_generation_prompt));
  return std::move(encoded.tokens);
}

Result<std::string> ChatPrompt::write(OrderedJson& messages, OrderedJson& tools, bool add_generation_prompt, std::vector<std::string>& notes) const {
  ACC_TRY_VOID(tools_.adapt(messages, tools, notes));
  return template_.render_json(dump_ordered_json(messages), {.add_generation_prompt = add_generation_prompt,
                                                             .tools_json = tools.empty() ? "" : dump_ordered_json(tools)});
}

Result<std::string> ChatPrompt::render(std::span<const Message> messages, const ToolOptions& tools, bool add_generation_prompt) const {
  ACC_TRY_VOID(check_texts(messages, tools));
  OrderedJson message_list = messages_document(messages), tool_list = tools_document(tools);
  std::vector<std::string> notes;
  return write(message_list, tool_list, add_generation_prompt, notes);
}

Result<ChatPrompt::Encoded> ChatPrompt::encode_with_tools(std::span<const Message> messages, const ToolOptions& tools, uint32_t tokens_max,
                                                          bool add_generation_prompt) const {
  ACC_TRY_VOID(check_texts(messages, tools));
  OrderedJson message_list = messages_document(messages), tool_list = tools_document(tools);
  const std::optional<ControlMarker> marker = unused_marker(dump_ordered_json(message_list) + dump_ordered_json(tool_list));
  if (!marker) return Error{ErrorCode::kInvalidArgument, "[engine] messages leave a noncharacter of U+FDD0..U+FDEF free; got all 32 used"};
  const bool broken_messages = break_control_tokens(message_list, control_, marker->raw);
  const bool broken_tools = break_control_tokens(tool_list, control_, marker->raw);
  Encoded encoded;
  ACC_TRY(const std::string text, write(message_list, tool_list, add_generation_prompt, encoded.notes));
  if (broken_messages || broken_tools) {
    ACC_TRY(encoded.tokens, encode_pieces(text, *marker, tokens_max));
  } else {
    ACC_TRY(encoded.tokens, tokenizer_->encode(text, {.add_special = false, .parse_special = true, .tokens_max = tokens_max}));
  }
  return encoded;
}

}  // namespace accelerate
