// TextAnswer - the Answer of a text request: samples, detokenizes, watches for stops, fills a Stream.
//
// With a grammar only what it allows is sampled, whatever penalties and biases say, an end token only where it may end; the
// answer ends by itself (kStop) where nothing can follow. Logprobs stay the model's own.
//
// Made by the decoder endpoint, then owned and called by the scheduler's thread only; the Stream is shared with the client.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "accelerate/core/request.h"
#include "accelerate/engine/job.h"
#include "accelerate/engine/tool_answer.h"
#include "accelerate/text/detokenizer.h"
#include "accelerate/text/grammar.h"
#include "accelerate/text/logit_shaper.h"
#include "accelerate/text/sampler.h"
#include "accelerate/text/stop_strings.h"

namespace accelerate {

struct TextAnswerParts {
  std::shared_ptr<Stream> stream;
  std::shared_ptr<const Tokenizer> tokenizer;
  LogitShaper shaper;
  Sampler sampler;
  StopMatcher stop;
  std::unique_ptr<GrammarMatcher> grammar;   // null = any text; not with ignore_end
  std::vector<std::string> stop_strings;     // for Reply::stop_string
  bool continues_text = false;               // a raw prompt: the answer goes on where the prompt ended
  bool ignore_end = false;
  std::optional<uint32_t> top_logprobs;      // as Request::top_logprobs
  std::optional<ToolAnswer> tools = {};      // calls are looked for in the text
  std::optional<std::string> echo = {};      // the prompt's text, to be sent first
  std::vector<uint32_t> prompt = {};         // its tokens, where it is echoed
  uint32_t tokens_max = 1;
  std::chrono::steady_clock::time_point called = std::chrono::steady_clock::now();  // Reply::ttft_ms counts from here
  Reply reply;                               // served_by, seed, notes, usage.prompt_tokens filled by the endpoint
  std::function<void(const Result<Reply>&)> on_end;  // before the stream finishes; for the endpoint's counters
};

class TextAnswer final : public Answer {
 public:
  explicit TextAnswer(TextAnswerParts parts);
  bool take(std::span<const float> logits) override;
  uint32_t last_token() const override { return last_token_; }
  bool cancelled() const override { return parts_.stream->cancelled(); }
  void computed_by(const std::string& target, const JobMove* move) override;
  void take_prompt(size_t index, std::span<const float> logits) override;
  void started(uint32_t cached) override;
  void fail(Error error) override;

 private:
  using Clock = std::chrono::steady_clock;
  Result<uint32_t> choose(std::span<const float> logits);
  bool end(FinishReason reason, Part part);
  void put(Part& part, const std::string& text);
  void send_prompt();
  void push(Part part);

  TextAnswerParts parts_;
  Detokenizer detokenizer_;
  std::vector<ServedRange> served_;
  std::vector<float> masked_;  // a row with a grammar's mask
  std::vector<TokenLogprob> prompt_logprobs_;
  uint32_t last_token_ = 0;
  const Clock::time_point queued_;
  Clock::time_point first_token_;
  bool has_started_ = false, target_told_ = false;
};

}  // namespace accelerate
