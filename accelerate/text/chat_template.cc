#include "accelerate/text/chat_template.h"

#include <algorithm>

#include <fmt/format.h>

#include "accelerate/base/json.h"
#include "accelerate/text/ffi/received.h"
#include "accelerate/text/limits.h"
#include "accelerate/text/tokenizer.h"

namespace accelerate {
namespace {

struct HandleDeleter {
  void operator()(text_template* handle) const { text_template_free(handle); }
};

/// `text` without JSON whitespace and then `brackets` characters at both ends.
std::string_view trimmed(std::string_view text, size_t brackets) {
  constexpr std::string_view kSpace = " \t\r\n";
  text.remove_prefix(std::min(text.find_first_not_of(kSpace), text.size()));
  text = text.substr(0, text.find_last_not_of(kSpace) + 1);
  return text.substr(brackets, text.size() - 2 * brackets);
}

/// The text goes into the context as it is, in its own order of members, so it must be one whole value.
Result<void> check_json(std::string_view text, char first, std::string_view what) {
  if (Json::accept(text) && trimmed(text, 0).front() == first) return {};
  return Error{ErrorCode::kInvalidArgument, fmt::format("[text] {} must be a JSON {}; got something else", what,
                                                        first == '[' ? "array" : "object")};
}

Error render_error(const Received& received, const RenderLimits& limits) {
  switch (received.status) {
    case TEXT_RAISED:
      return {ErrorCode::kInvalidArgument,
              fmt::format("[text] the chat template refuses these messages; got: {}", received.bytes)};
    case TEXT_OUT_OF_FUEL:
    case TEXT_OUT_OF_MEMORY:
      return {ErrorCode::kResourceExhausted,
              fmt::format("[text] a chat template may take {} steps and {} MiB; got: {}; try --raw or /v1/completions",
                          limits.steps, limits.memory_bytes >> 20, received.bytes)};
    case TEXT_DEADLINE_EXCEEDED:
      return {ErrorCode::kDeadlineExceeded,
              fmt::format("[text] a chat template may take {} ms; got: {}; try --raw or /v1/completions",
                          limits.ms, received.bytes)};
    case TEXT_PANICKED:
      return {ErrorCode::kInternal, fmt::format("[text] a chat template must render; got: {}", received.bytes)};
    default:
      return {ErrorCode::kInvalidArgument,
              fmt::format("[text] the chat template must render these messages; got: {}", received.bytes)};
  }
}

}  // namespace

struct ChatTemplate::State {
  std::unique_ptr<text_template, HandleDeleter> handle;
  ChatTemplateTokens tokens;
  std::string source;
};

std::string_view ChatTemplate::source() const { return state_->source; }

Result<ChatTemplate> ChatTemplate::create(std::string_view source, const Tokenizer& tokenizer) {
  return create(source, ChatTemplateTokens{.bos_token = tokenizer.bos_text(), .eos_token = tokenizer.eos_text()});
}

Result<ChatTemplate> ChatTemplate::create(std::string_view source, const ChatTemplateTokens& tokens) {
  if (source.empty()) {
    return Error{ErrorCode::kFailedPrecondition,
                 "[text] model has no chat template; got messages, which need one; try --raw or /v1/completions"};
  }
  if (source.size() > limits::kChatTemplateBytesMax) {
    return Error{ErrorCode::kResourceExhausted, fmt::format("[text] a chat template may have {} bytes; got {}",
                                                            limits::kChatTemplateBytesMax, source.size())};
  }
  auto state = std::make_shared<State>();
  Received received;
  state->handle.reset(text_template_new(bytes_of(source), source.size(), receive, &received));
  if (!state->handle) {
    return Error{received.status == TEXT_PANICKED ? ErrorCode::kInternal : ErrorCode::kInvalidArgument,
                 fmt::format("[text] a chat template must be Jinja; got: {}; try --raw or /v1/completions", received.bytes)};
  }
  state->tokens = tokens;
  state->source = source;
  return ChatTemplate(std::move(state));
}

Result<std::string> ChatTemplate::render(std::span<const Message> messages, const RenderOptions& options) const {
  std::string json = "[";
  for (const Message& message : messages) {
    // Written by hand to keep role before content: templates print whole messages now and then.
    if (json.size() > 1) json += ',';
    json += R"({"role":)" + dump_json(message.role) + R"(,"content":)" + dump_json(message.content) + '}';
    if (json.size() > limits::kChatContextBytesMax) break;  // render_json refuses it with the limit's name
  }
  return render_json(json + ']', options);
}

Result<std::string> ChatTemplate::render_json(std::string_view messages_json, const RenderOptions& options) const {
  std::string context = "{";
  const auto add = [&](std::string_view name, std::string_view json) {
    fmt::format_to(std::back_inserter(context), R"({}"{}":{})", context.size() > 1 ? "," : "", name, json);
  };
  if (messages_json.size() + options.tools_json.size() + options.extra_json.size() > limits::kChatContextBytesMax) {
    return Error{ErrorCode::kResourceExhausted, fmt::format("[text] messages and tools may have {} bytes; got more",
                                                            limits::kChatContextBytesMax)};
  }
  ACC_TRY_VOID(check_json(messages_json, '[', "messages"));
  add("messages", messages_json);
  if (!options.tools_json.empty()) ACC_TRY_VOID(check_json(options.tools_json, '[', "tools"));
  add("tools", options.tools_json.empty() ? "null" : options.tools_json);
  add("documents", "null");
  add("add_generation_prompt", options.add_generation_prompt ? "true" : "false");
  if (state_->tokens.bos_token) add("bos_token", dump_json(*state_->tokens.bos_token));
  if (state_->tokens.eos_token) add("eos_token", dump_json(*state_->tokens.eos_token));
  if (!options.extra_json.empty()) {
    ACC_TRY_VOID(check_json(options.extra_json, '{', "extra template variables"));
    const std::string_view members = trimmed(trimmed(options.extra_json, 1), 0);
    if (!members.empty()) context.append(",").append(members);
  }
  context += '}';
  const text_render_limits render_limits{.fuel = options.limits.steps,
                                         .memory_bytes = options.limits.memory_bytes + 24 * context.size(),
                                         .deadline_ms = options.limits.ms,
                                         .now_s = options.now_unix_s.value_or(INT64_MIN)};
  Received received;
  text_template_render(state_->handle.get(), bytes_of(context), context.size(), &render_limits, receive, &received);
  if (received.status != TEXT_OK) return render_error(received, options.limits);
  return std::move(received.bytes);
}

}  // namespace accelerate
