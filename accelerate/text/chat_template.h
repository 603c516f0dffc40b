// ChatTemplate - messages to prompt text, as Transformers' apply_chat_template renders them.
//
//   ACC_TRY(ChatTemplate chat, ChatTemplate::create(model.chat_template, *tokenizer));
//   ACC_TRY(std::string prompt, chat.render(messages, {.add_generation_prompt = true}));
//   ACC_TRY(auto ids, tokenizer->encode(prompt, {.add_special = false, .parse_special = true}));
//
// Jinja2 with trim_blocks and lstrip_blocks, Python's string and dict methods, loop controls, raise_exception,
// strftime_now, tojson in Python's formatting, {% generation %} read as its body. A template comes with the model, so it
// is not trusted: each rendering has limits of steps, time and memory (limits::kRender*), and a template that ran into
// those of time or memory three times is refused from then on.
//
// A value; copies share one compiled template. Immutable but for that mark; thread-safe. A rendering costs one short-lived
// thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "accelerate/base/result.h"
#include "accelerate/core/request.h"
#include "accelerate/text/limits.h"

namespace accelerate {

class Tokenizer;

struct ChatTemplateTokens {
  std::optional<std::string> bos_token, eos_token;  // nothing = undefined in the template
};

/// Of one rendering. Tests and fuzzers ask for less, so that a hostile template costs them milliseconds.
struct RenderLimits {
  uint64_t steps = limits::kRenderStepsMax;
  size_t memory_bytes = limits::kRenderMemoryBytes;  // besides 24 bytes for each byte of the context
  uint64_t ms = limits::kRenderMs;                   // wall time
};

struct RenderOptions {
  bool add_generation_prompt = true;  // end with the words that begin the assistant's turn
  std::string tools_json;             // a JSON array of tool definitions; empty = none
  std::string extra_json;             // a JSON object of further variables (enable_thinking ...); they win over ours
  std::optional<int64_t> now_unix_s;  // for strftime_now; nothing = the clock
  RenderLimits limits;
};

class ChatTemplate {
 public:
  /// failed_precondition for an empty template; invalid_argument for one that is not Jinja.
  static Result<ChatTemplate> create(std::string_view source, const ChatTemplateTokens& tokens);
  /// With the BOS and EOS of `tokenizer`.
  static Result<ChatTemplate> create(std::string_view source, const Tokenizer& tokenizer);

  /// The template's own text, which says what it knows (tools, roles).
  std::string_view source() const;

  /// invalid_argument: the template refuses these messages (its own words), or tools or extra are not JSON;
  /// deadline_exceeded, resource_exhausted: the limits.
  Result<std::string> render(std::span<const Message> messages, const RenderOptions& options = {}) const;
  /// The same for messages as a JSON array, with whatever members the template reads (tool_calls, content parts).
  Result<std::string> render_json(std::string_view messages_json, const RenderOptions& options = {}) const;

 private:
  struct State;
  explicit ChatTemplate(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

}  // namespace accelerate
