#include "accelerate/engine/chat_prompt.h"

#include <algorithm>

#include <fmt/format.h>

#include "accelerate/text/utf8.h"

namespace accelerate {
namespace {

// U+FDD0 .. U+FDEF are noncharacters: never assigned, never in interchanged text.
std::optional<std::string> unused_marker(std::span<const Message> messages) {
  for (int i = 0; i < 32; ++i) {
    const std::string marker = {'\xEF', '\xB7', static_cast<char>(0x90 + i)};
    const bool used = std::any_of(messages.begin(), messages.end(), [&](const Message& message) {
      return message.content.find(marker) != std::string::npos || message.role.find(marker) != std::string::npos;
    });
    if (!used) return marker;
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

std::string without(std::string_view text, std::string_view part) {
  std::string result;
  for (size_t at = text.find(part); at != std::string_view::npos; at = text.find(part)) {
    result.append(text.substr(0, at));
    text.remove_prefix(at + part.size());
  }
  return result.append(text);
}

Result<void> check_utf8(std::span<const Message> messages) {
  for (const Message& message : messages) {
    for (const std::string* text : {&message.content, &message.role}) {
      if (const size_t valid = utf8_valid_prefix(*text); valid != text->size()) {
        return Error{ErrorCode::kInvalidArgument, fmt::format("[engine] messages are UTF-8; got ill-formed bytes at offset {}", valid)};
      }
    }
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
    : tokenizer_(std::move(tokenizer)), template_(std::move(chat_template)), control_(*tokenizer_) {}

// Cuts `text` at control tokens that are spelled whole: those are the template's.
Result<std::vector<uint32_t>> ChatPrompt::encode_pieces(std::string_view text, std::string_view marker, uint32_t tokens_max) const {
  std::vector<uint32_t> ids;
  const auto append_plain = [&](std::string_view piece) -> Result<void> {
    const std::string plain = without(piece, marker);
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

Result<std::string> ChatPrompt::render(std::span<const Message> messages, bool add_generation_prompt) const {
  ACC_TRY_VOID(check_utf8(messages));
  return template_.render(messages, {.add_generation_prompt = add_generation_prompt});
}

Result<std::vector<uint32_t>> ChatPrompt::encode(std::span<const Message> messages, uint32_t tokens_max, bool add_generation_prompt) const {
  ACC_TRY_VOID(check_utf8(messages));
  const std::optional<std::string> marker = unused_marker(messages);
  if (!marker) return Error{ErrorCode::kInvalidArgument, "[engine] messages leave a noncharacter of U+FDD0..U+FDEF free; got all 32 used"};
  std::vector<Message> safe(messages.begin(), messages.end());
  bool broken = false;
  for (Message& message : safe) {
    for (std::string* text : {&message.content, &message.role}) {
      std::optional<std::string> changed = broken_control_tokens(*text, control_, *marker);
      if (!changed) continue;
      *text = std::move(*changed);
      broken = true;
    }
  }
  ACC_TRY(const std::string text, template_.render(safe, {.add_generation_prompt = add_generation_prompt}));
  if (broken) return encode_pieces(text, *marker, tokens_max);
  return tokenizer_->encode(text, {.add_special = false, .parse_special = true, .tokens_max = tokens_max});
}

}  // namespace accelerate
