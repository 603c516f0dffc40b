// FakeEndpoint - a scripted model for the tests of the doors: real Streams, fed by real threads, no engine behind.
//
// A chat or text prompt is answered with the prompt's words, one a token (the last message's for a chat), so that a
// mixed-up answer shows. Some prompts are orders: "!fail" fails before its first token, "!fail 2" after two tokens,
// "!moved" is computed by a, b and c in turn, "!call" says "Well." and calls the first tool twice (with "!call only" without a word),
// "!forever" never ends by itself, "!cancelled" is ended by the server, "!long" is beyond the context.
#pragma once

#include <atomic>
#include <chrono>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "accelerate/engine/endpoint.h"
#include "accelerate/serve/server.h"

namespace accelerate::testing {

class FakeEndpoint final : public Endpoint {
 public:
  explicit FakeEndpoint(std::string name, ProgramKind kind = ProgramKind::kDecoder) {
    info_.name = std::move(name);
    info_.path = "/models/" + info_.name;
    info_.family = "fake";
    info_.quantization = "f32";
    info_.target = "fake@cpu:0";
    info_.created_unix_s = 1700000000;
    info_.context = 4096;
    info_.chat = true;
    info_.kind = kind;
  }
  ~FakeEndpoint() override { close(); }

  std::chrono::milliseconds token_time{0};
  std::chrono::milliseconds embed_time{0};
  std::chrono::milliseconds canary_time{0};
  std::atomic<bool> healthy{true};
  std::atomic<int> canaries{0};

  const EndpointInfo& info() const override { return info_; }
  EndpointInfo& info_to_change() { return info_; }  // before it is served

  Result<std::shared_ptr<Stream>> generate(const Request& request) override {
    if (info_.kind == ProgramKind::kEncoder) return Error{ErrorCode::kUnimplemented, "[fake] an encoder generates no text"};
    if (busy_.load()) return Error{ErrorCode::kResourceExhausted, "[fake] the queue is full"};
    std::lock_guard lock(mutex_);
    requests_.push_back(request);
    std::string prompt = request.text.value_or("");
    if (!request.messages.empty()) prompt = request.messages.back().content;
    if (request.tokens) {
      for (const uint32_t token : *request.tokens) prompt += fmt::format("t{} ", token);
    }
    if (prompt == "!long") return Error{ErrorCode::kOutOfRange, "[fake] the context is 4096 tokens; got 5000"};
    auto stream = std::make_shared<Stream>();
    ++running_;
    threads_.emplace_back([this, stream, prompt, request] { answer(*stream, prompt, request); });
    return stream;
  }

  Result<EmbedReply> embed(std::span<const EmbedInput> inputs, const std::atomic<bool>* stop) override {
    if (info_.kind != ProgramKind::kEncoder) return Error{ErrorCode::kUnimplemented, "[fake] a decoder makes no embeddings"};
    ++running_;
    const auto end = std::chrono::steady_clock::now() + embed_time;
    while (std::chrono::steady_clock::now() < end && !(stop != nullptr && *stop)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    --running_;
    if (stop != nullptr && *stop) {
      ++cancelled_;
      return Error{ErrorCode::kCancelled, "[fake] stopped"};
    }
    EmbedReply reply{.vectors = {}, .prompt_tokens = 0, .served_by = "fake@cpu:0"};
    for (size_t i = 0; i < inputs.size(); ++i) {
      const auto* text = std::get_if<std::string>(&inputs[i]);
      if (text != nullptr && *text == "!long") return Error{ErrorCode::kOutOfRange, fmt::format("[fake] input {} is too long", i)};
      if (text != nullptr && *text == "!nan") {
        reply.vectors.push_back({std::numeric_limits<float>::quiet_NaN()});
        continue;
      }
      const float size = text != nullptr ? static_cast<float>(text->size()) : static_cast<float>(std::get<1>(inputs[i]).size());
      reply.vectors.push_back({size, 0.1f, -1.5e-7f});
      reply.prompt_tokens += 2;
    }
    return reply;
  }

  // One token a byte; 256 in front with add_special, 257 behind where control tokens are not parsed.
  Result<std::vector<uint32_t>> tokenize(std::string_view text, const TokenizeOptions& options) const override {
    std::vector<uint32_t> tokens;
    if (options.add_special) tokens.push_back(256);
    for (const char c : text) tokens.push_back(static_cast<unsigned char>(c));
    if (!options.parse_special) tokens.push_back(257);
    return tokens;
  }
  Result<std::string> detokenize(std::span<const uint32_t> tokens, const DetokenizeOptions& options) const override {
    std::string text;
    for (const uint32_t token : tokens) {
      if (token > 257) return Error{ErrorCode::kInvalidArgument, fmt::format("[fake] token ids are below 258; got {}", token)};
      if (token < 256) text += static_cast<char>(token);
      else if (!options.skip_special) text += "<special>";
    }
    return text;
  }
  Result<std::vector<std::string>> token_pieces(std::span<const uint32_t> tokens) const override {
    std::vector<std::string> pieces;
    for (const uint32_t token : tokens) pieces.push_back(token < 256 ? std::string(1, static_cast<char>(token)) : "<special>");
    return pieces;
  }
  Result<std::string> apply_template(std::span<const Message> messages, const TemplateOptions& options) const override {
    if (!info_.chat) return Endpoint::apply_template(messages, options);
    std::string text;
    for (const Message& message : messages) text += message.role + ":" + message.content + ";";
    for (const Tool& tool : options.tools.tools) text += "tool:" + tool.name + ";";
    return text + (options.add_generation_prompt ? "assistant:" : "");
  }
  Result<std::vector<uint32_t>> tokenize_chat(std::span<const Message> messages, const TemplateOptions& options) const override {
    ACC_TRY(const std::string text, apply_template(messages, options));
    return tokenize(text, {.add_special = false, .parse_special = true});
  }
  // A document's score is its length, in a cross-encoder (no embedding width).
  Result<RerankReply> rerank(const RerankInput& input, const std::atomic<bool>* stop) override {
    if (info_.kind != ProgramKind::kEncoder || info_.embedding_width != 0) return Endpoint::rerank(input, stop);
    RerankReply reply{.scores = {}, .prompt_tokens = 0, .served_by = info_.target, .score = "fake", .notes = {}};
    for (const std::string& document : input.documents) {
      if (document == "!long") return Error{ErrorCode::kOutOfRange, "[fake] a document is too long"};
      reply.scores.push_back(static_cast<float>(document.size()));
      reply.prompt_tokens += 5;
    }
    if (input.truncate) reply.notes.push_back("documents cut: none, but it was asked for");
    return reply;
  }
  Result<void> check_health() override {
    ++canaries;
    const auto end = std::chrono::steady_clock::now() + canary_time;
    while (std::chrono::steady_clock::now() < end && !closed_) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (!healthy) return Error{ErrorCode::kInternal, "[fake] the canary died"};
    return {};
  }
  EndpointStats stats() const override {
    EndpointStats stats;
    stats.running = running_;
    stats.cancelled = cancelled_;
    stats.requests = moves;
    return stats;
  }
  void close() override {
    closed_ = true;
    std::vector<std::thread> threads;
    {
      std::lock_guard lock(mutex_);
      threads.swap(threads_);
    }
    for (std::thread& thread : threads) thread.join();
  }

  std::atomic<uint64_t> moves{0};
  void set_busy(bool busy) { busy_ = busy; }
  uint32_t running() const { return running_; }
  uint32_t cancelled() const { return cancelled_; }
  Request last_request() const {
    std::lock_guard lock(mutex_);
    return requests_.empty() ? Request{} : requests_.back();
  }

 private:
  void answer(Stream& stream, const std::string& prompt, const Request& request) {
    std::vector<std::string> words;
    std::istringstream in(prompt);
    for (std::string word; in >> word;) words.push_back(word);
    const bool forever = prompt == "!forever";
    const bool fails = !words.empty() && words[0] == "!fail";
    const size_t fail_after = fails && words.size() > 1 ? std::stoul(words[1]) : 0;
    const size_t most = request.max_tokens.value_or(1000000);
    Reply reply;
    reply.served_by = info_.target;
    reply.seed = request.sampling.seed.value_or(7);
    reply.usage.prompt_tokens = 3;
    reply.usage.cached_tokens = 1;
    reply.notes = {"a note"};
    size_t said = 0;
    Result<Reply> result = reply;
    if (prompt.starts_with("!call") && !request.tools.tools.empty()) return call(stream, request, prompt == "!call only", reply);
    if (prompt == "!moved") return moved(stream, reply);
    while (forever || fails || said < words.size()) {
      if ((fails && said == fail_after) || prompt == "!cancelled") break;
      if (said == most) break;
      std::this_thread::sleep_for(forever ? std::max(token_time, std::chrono::milliseconds(1)) : token_time);
      const std::string word = forever || fails ? fmt::format("w{}", said) : words[said];
      Part part{.text = (said == 0 ? "" : " ") + word, .tokens = {static_cast<uint32_t>(said)}, .logprobs = {}};
      if (request.top_logprobs) part.logprobs = {{.token = static_cast<uint32_t>(said), .logprob = -0.5f, .bytes = part.text, .top = {}}};
      if (closed_ || !stream.push(std::move(part))) break;
      ++said;
    }
    reply.usage.completion_tokens = static_cast<uint32_t>(said);
    reply.finish_reason = !forever && !fails && said == words.size() ? FinishReason::kStop : FinishReason::kLength;
    result = reply;
    if (stream.cancelled() || closed_ || prompt == "!cancelled") {
      if (stream.cancelled()) ++cancelled_;
      result = Error{ErrorCode::kCancelled, "[fake] cancelled"};
    } else if (fails && said == fail_after) {
      result = Error{ErrorCode::kInternal, "[fake] broken on purpose"};
    }
    --running_;
    stream.finish(result);
  }

  // a fails before its first token, b after one.
  void moved(Stream& stream, Reply reply) {
    const auto notice = [&](std::string text) {
      Part part;
      part.notice = std::move(text);
      stream.push(std::move(part));
    };
    notice("moved from a@cpu:0 to b@cpu:0 after token 0: killed");
    stream.push({.text = "one", .tokens = {1}, .logprobs = {}, .target = "b@cpu:0"});
    notice("moved from b@cpu:0 to c@cpu:0 after token 1: hung\nup");
    stream.push({.text = " two", .tokens = {2}, .logprobs = {}});
    reply.served_by = "b@cpu:0";
    reply.served = {{.target = "b@cpu:0", .first_token = 0, .tokens = 1}, {.target = "c@cpu:0", .first_token = 1, .tokens = 1}};
    reply.usage.completion_tokens = 2;
    --running_;
    stream.finish(reply);
  }

  void call(Stream& stream, const Request& request, bool only, Reply reply) {
    const std::string name = request.tools.tools.front().name;
    if (!only) stream.push({.text = "Well.", .tokens = {1}, .logprobs = {}});
    for (uint32_t i = 0; i < 2; ++i) {
      stream.push({.text = "", .tokens = {2}, .logprobs = {}, .tool_calls = {{.index = i, .id = fmt::format("call_{}", i), .name = name, .arguments = ""},
                                                                             {.index = i, .id = "", .name = "", .arguments = "{\"x\":"}}});
      stream.push({.text = "", .tokens = {3}, .logprobs = {}, .tool_calls = {{.index = i, .id = "", .name = "", .arguments = fmt::format("{}}}", i)}}});
    }
    reply.finish_reason = FinishReason::kToolCalls;
    reply.usage.completion_tokens = 5;
    --running_;
    stream.finish(reply);
  }

  EndpointInfo info_;
  mutable std::mutex mutex_;
  std::vector<std::thread> threads_;
  std::vector<Request> requests_;
  std::atomic<uint32_t> running_{0}, cancelled_{0};
  std::atomic<bool> closed_{false}, busy_{false};
};

/// Fixed endpoints as a ModelSource.
inline ModelSource source_of(std::vector<std::shared_ptr<Endpoint>> endpoints) {
  return {.find =
              [endpoints](const std::string& name) -> Result<std::shared_ptr<Endpoint>> {
                for (const auto& endpoint : endpoints) {
                  if (endpoint->info().name == name) return endpoint;
                }
                return Error{ErrorCode::kNotFound, "[fake] no such model"};
              },
          .list = [endpoints] { return endpoints; }};
}

inline bool within(std::chrono::milliseconds limit, const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

}  // namespace accelerate::testing
