// Chat prompt - messages through the model's template to tokens, with the text of users kept text.
//
//   const ChatPrompt chat(tokenizer, chat_template);
//   ACC_TRY(std::vector<uint32_t> tokens, chat.encode(messages));
//   ACC_TRY(ChatPrompt::Encoded encoded, chat.encode_with_tools(messages, request.tools));
//
// The template writes control tokens ("<|im_start|>") that must become ids, and pastes user text that may contain the
// same spelling and must not: a user could otherwise end his turn and speak as the system. So before rendering, every
// control token spelled in a message or a tool, whichever member or key it stands in, is broken by a marker character
// behind its first character (a Unicode noncharacter that occurs in none of them); after rendering, the text is cut at the
// template's own control tokens, the markers, raw and as JSON escapes them, are taken out of the pieces between, and those
// pieces are encoded as plain text. Linear in the length of the messages. Tools: engine/tool_template.h. Immutable and
// thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "accelerate/core/request.h"
#include "accelerate/engine/tool_template.h"
#include "accelerate/text/chat_template.h"
#include "accelerate/text/tokenizer.h"

namespace accelerate {

/// The control tokens of a vocabulary, found in text: Gemma has 6,400 of them, so none is looked for one by one.
class ControlTokens {
 public:
  explicit ControlTokens(const Tokenizer& tokenizer);
  struct Found {
    uint32_t id = 0;
    size_t bytes = 0;
    size_t first_bytes = 0;  // of its first character; equal to `bytes` for a token of one character
  };
  /// The longest one that `text` spells at `at`.
  std::optional<Found> at(std::string_view text, size_t at) const;

 private:
  struct Hash : std::hash<std::string_view> { using is_transparent = void; };
  std::unordered_map<std::string, uint32_t, Hash, std::equal_to<>> ids_;
  std::vector<size_t> lengths_;                // bytes; longest first
  std::array<bool, 256> begins_{};             // by first byte
};

/// The character that breaks control tokens in text of users.
struct ControlMarker {
  std::string raw, escaped;  // U+FDD0 in UTF-8; "\ufdd0", as JSON in ASCII has it
};

class ChatPrompt {
 public:
  ChatPrompt(std::shared_ptr<const Tokenizer> tokenizer, ChatTemplate chat_template);
  /// Errors are the template's and the tokenizer's own; invalid_argument when messages use up all 32 noncharacters;
  /// out_of_range beyond `tokens_max` (0 = no limit), for the limit of the context.
  Result<std::vector<uint32_t>> encode(std::span<const Message> messages, uint32_t tokens_max = 0, bool add_generation_prompt = true) const;
  /// The text that encode_with_tools() stands for, as the template writes it.
  Result<std::string> render(std::span<const Message> messages, const ToolOptions& tools = {}, bool add_generation_prompt = true) const;
  /// encode() with tools on offer. ToolChoice::kNone offers none, as in vLLM: a model that sees tools calls them.
  struct Encoded {
    std::vector<uint32_t> tokens;
    std::vector<std::string> notes;  // what was done for a template without tools
  };
  Result<Encoded> encode_with_tools(std::span<const Message> messages, const ToolOptions& tools, uint32_t tokens_max = 0,
                                    bool add_generation_prompt = true) const;
  const ToolTemplate& tool_template() const { return tools_; }

 private:
  Result<std::string> write(nlohmann::ordered_json& messages, nlohmann::ordered_json& tools, bool add_generation_prompt,
                            std::vector<std::string>& notes) const;
  Result<std::vector<uint32_t>> encode_pieces(std::string_view text, const ControlMarker& marker, uint32_t tokens_max) const;

  std::shared_ptr<const Tokenizer> tokenizer_;
  ChatTemplate template_;
  ToolTemplate tools_;
  ControlTokens control_;
};

}  // namespace accelerate
