// Request, Reply, Stream - the native types between the doors (HTTP, CLI, Python) and the engine. JSON stops at the door.
//
//   auto stream = endpoint->generate({.messages = {{"user", "Hello"}}});
//   while (auto part = (*stream)->next()) print(part->text);
//   print((*stream)->result()->usage.completion_tokens);
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "accelerate/base/result.h"

namespace accelerate {

inline constexpr size_t kStopStringsMax = 4;  // as the OpenAI API has it
inline constexpr size_t kLogitBiasMax = 1024;   // biased tokens of one request: each costs an addition a step
inline constexpr uint32_t kTopLogprobsMax = 20;  // as the OpenAI API has it

/// A tool the model asks to be called.
struct ToolCall {
  std::string id;         // "call_..."
  std::string name;
  std::string arguments;  // JSON text
};

struct Message {
  std::string role;                  // system | user | assistant | tool
  std::string content;               // UTF-8
  std::vector<ToolCall> tool_calls;  // of an assistant
  std::string tool_call_id, name;    // of a tool's answer
};

/// A tool the model may call.
struct Tool {
  std::string name, description;
  std::string parameters;  // JSON Schema text of the arguments' object; empty = any object
  bool strict = false;     // arguments match `parameters`, enforced by masks
};
enum class ToolChoice : uint8_t { kAuto, kNone, kRequired, kNamed };
struct ToolOptions {
  std::vector<Tool> tools;
  ToolChoice choice = ToolChoice::kAuto;
  std::string name;      // of the tool that kNamed demands
  bool parallel = true;  // several calls in one answer
};

/// What the text of an answer must match: enforced by masks at every step, never checked afterwards (text/grammar.h).
struct Grammar {
  enum class Kind : uint8_t { kJsonSchema, kLark, kRegex } kind = Kind::kJsonSchema;
  std::string text;
};

struct SamplingOptions {
  float temperature = 1.0f;   // 0 = greedy
  float top_p = 1.0f;         // (0, 1]
  float min_p = 0.0f;         // [0, 1]
  uint32_t top_k = 0;         // 0 = all
  float frequency_penalty = 0.0f, presence_penalty = 0.0f;  // [-2, 2]; text/logit_shaper.h has the formulas
  float repetition_penalty = 1.0f;                          // (0, 10]
  std::vector<std::pair<uint32_t, float>> logit_bias;       // token id, [-100, 100]; at most kLogitBiasMax
  std::optional<uint64_t> seed;  // nothing = drawn by the endpoint and told in the Reply
};

/// Exactly one of messages, text, tokens is the prompt.
struct Request {
  std::vector<Message> messages;              // through the model's chat template
  std::optional<std::string> text;            // as it is (completions, --raw)
  std::optional<std::vector<uint32_t>> tokens;
  SamplingOptions sampling;
  std::optional<uint32_t> max_tokens;         // nothing = what the context leaves; 0 = the prompt is computed only
  std::vector<std::string> stop;              // at most kStopStringsMax, none empty
  std::optional<uint32_t> top_logprobs;       // Part::logprobs with so many alternatives, at most kTopLogprobsMax
  std::optional<Grammar> grammar;
  ToolOptions tools;                          // of a chat; kNone or an empty list = no tools
  bool echo = false;                          // the prompt comes first, as a Part of its own
  bool ignore_end = false;                    // go on past end-of-generation tokens (benchmarks)
  std::string client;                         // whose request it is, for fairness between clients; empty = nobody's in particular
  int32_t priority = 0;                       // smaller is served earlier, as in vLLM
  std::string id;                             // what logs call it; may be empty
};

enum class FinishReason : uint8_t { kStop, kLength, kToolCalls, kCancelled };
std::string_view finish_reason_name(FinishReason reason);  // as OpenAI has it: "stop", "length", "tool_calls"; "cancelled"

struct Usage {
  uint32_t prompt_tokens = 0, completion_tokens = 0, cached_tokens = 0;
};

/// How probable the model found a token, before any option of sampling.
struct TokenLogprob {
  uint32_t token = 0;
  float logprob = 0;              // natural logarithm; NaN for a prompt's first token, which nothing comes before
  std::string bytes;              // what the token adds to the text; may begin or end inside a character
  std::vector<TokenLogprob> top;  // the likeliest tokens, best first; these have no `top` of their own
};

/// More of one tool call: id and name come first and once, arguments piece by piece.
struct ToolCallDelta {
  uint32_t index = 0;  // of the call in the answer
  std::string id, name, arguments;
};

/// A piece of an answer: complete UTF-8 characters only; may be empty when a token ends inside a character.
struct Part {
  std::string text;
  std::vector<uint32_t> tokens;
  std::chrono::steady_clock::time_point pushed_at{};  // set by Stream::push
  std::vector<TokenLogprob> logprobs;                 // one a token, where Request::top_logprobs asked for them
  std::vector<ToolCallDelta> tool_calls;
  bool of_prompt = false;                             // the echoed prompt, whole
  std::string target;                                 // who answers; of the first part that comes of a step
  std::string notice;                                 // for people: the answer moved to another Target, and why; no text then
};

/// Which Target made which tokens of an answer.
struct ServedRange {
  std::string target;                   // "cpu@cpu:0"
  uint32_t first_token = 0, tokens = 0;  // of the completion
};

/// What is known when an answer is over.
struct Reply {
  FinishReason finish_reason = FinishReason::kStop;
  std::string stop_string;      // the stop string that ended it, if one did
  Usage usage;
  std::string served_by;        // the first Target, "cpu@cpu:0"
  std::vector<ServedRange> served;  // all of them in order, where an answer moved; else empty
  uint64_t seed = 0;            // the one used
  double queue_ms = 0, ttft_ms = 0, decode_ms = 0;  // from admission; ttft counts from the call
  std::vector<std::string> notes;                   // casts, truncations, fallbacks: whatever the caller should know
};

/// One answer on its way. One producer, one consumer, each on its own thread; both may cancel. The queue holds at most
/// the answer itself, which max_tokens and the context bound.
class Stream {
 public:
  /// Consumer: the next part; nothing when the answer is over, failed, or `timeout` passed (then done() is false).
  std::optional<Part> next(std::chrono::milliseconds timeout = std::chrono::hours(24 * 365));
  /// Consumer: after the end: how it went. failed_precondition while it is still running.
  Result<Reply> result() const;
  bool done() const;
  /// Any thread: asks the producer to stop at the next token; its slot is freed then.
  void cancel() { cancelled_.store(true, std::memory_order_relaxed); }
  bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }

  /// Producer: appends a part. False once the consumer cancelled.
  bool push(Part part);
  /// Producer, once: ends the stream.
  void finish(Result<Reply> result);

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Part> parts_;
  std::optional<Result<Reply>> result_;
  std::atomic<bool> cancelled_{false};
};

}  // namespace accelerate
