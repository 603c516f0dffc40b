#include "accelerate/engine/text_answer.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "accelerate/text/token_logprobs.h"

namespace accelerate {
namespace {

double ms_between(std::chrono::steady_clock::time_point from, std::chrono::steady_clock::time_point to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

void add(Part& part, ToolCallParser::Step step) {
  part.text += step.text;
  std::move(step.calls.begin(), step.calls.end(), std::back_inserter(part.tool_calls));
}

}  // namespace

TextAnswer::TextAnswer(TextAnswerParts parts)
    : parts_(std::move(parts)),
      detokenizer_(parts_.tokenizer, {.skip_special = true, .continues_text = parts_.continues_text,
                                      .kept_special = parts_.tools ? parts_.tools->marker_tokens : std::vector<uint32_t>()}),
      queued_(Clock::now()) {
  if (!parts_.prompt.empty() && parts_.top_logprobs) {
    const uint32_t first = parts_.prompt.front();
    prompt_logprobs_.push_back({.token = first, .logprob = std::numeric_limits<float>::quiet_NaN(),
                                .bytes = std::string(parts_.tokenizer->token_bytes(first)), .top = {}});
  }
}

// A row that comes again after the job stepped back is already there.
void TextAnswer::take_prompt(size_t index, std::span<const float> logits) {
  if (index + 1 != prompt_logprobs_.size()) return;
  prompt_logprobs_.push_back(token_logprob(logits, parts_.prompt[index + 1], *parts_.top_logprobs, *parts_.tokenizer));
}

// The first part says who answers: doors name it before anything else.
void TextAnswer::push(Part part) {
  if (!std::exchange(target_told_, true)) part.target = parts_.reply.served_by;
  parts_.stream->push(std::move(part));
}

void TextAnswer::send_prompt() {
  Part part{.text = std::move(*parts_.echo), .tokens = std::move(parts_.prompt), .logprobs = std::move(prompt_logprobs_), .tool_calls = {}, .of_prompt = true};
  parts_.echo.reset();
  push(std::move(part));
}

void TextAnswer::started(uint32_t cached) {
  if (has_started_) return;  // preempted and started again: the wait was the first one
  has_started_ = true;
  parts_.reply.usage.cached_tokens = cached;
  parts_.reply.queue_ms = ms_between(queued_, Clock::now());
}

void TextAnswer::computed_by(const std::string& target, const JobMove* move) {
  if (target.empty()) return;
  Reply& reply = parts_.reply;
  const uint32_t tokens = reply.usage.completion_tokens;
  if (!served_.empty() && served_.back().tokens == 0) served_.pop_back();  // it made none of them
  if (served_.empty() || served_.back().target != target) served_.push_back({.target = target, .first_token = tokens, .tokens = 0});
  reply.served_by = served_.front().target;
  if (move == nullptr) return;
  std::string said = move->from == target ? fmt::format("{} began again after token {}: {}", target, tokens, move->why)
                                          : fmt::format("moved from {} to {} after token {}: {}", move->from, target, tokens, move->why);
  std::replace_if(said.begin(), said.end(), [](unsigned char c) { return c < 0x20; }, ' ');  // one line for logs and SSE comments
  reply.notes.push_back(said);
  if (!move->announce) return;
  Part part;
  part.notice = std::move(said);
  parts_.stream->push(std::move(part));
}

Result<uint32_t> TextAnswer::choose(std::span<const float> logits) {
  const std::span<const float> row = parts_.shaper.shaped(logits);
  if (!parts_.grammar) return parts_.sampler.sample(row);
  masked_.assign(row.begin(), row.end());
  ACC_TRY_VOID(parts_.grammar->mask(masked_));
  ACC_TRY(const uint32_t token, parts_.sampler.sample(masked_));
  // An end token is the answer's end where the mask allows it.
  if (!parts_.tokenizer->is_end_of_generation(token)) ACC_TRY_VOID(parts_.grammar->accept(token));
  return token;
}

bool TextAnswer::take(std::span<const float> logits) {
  Reply& reply = parts_.reply;
  if (parts_.echo) send_prompt();
  if (parts_.tokens_max == 0) {
    first_token_ = Clock::now();
    return end(FinishReason::kLength, {});
  }
  const Result<uint32_t> sampled = choose(logits);
  if (!sampled) {
    fail(sampled.error());
    return false;
  }
  last_token_ = *sampled;
  parts_.shaper.took(last_token_);
  if (!served_.empty()) ++served_.back().tokens;
  if (++reply.usage.completion_tokens == 1) {
    first_token_ = Clock::now();
    reply.ttft_ms = ms_between(parts_.called, first_token_);
  }
  if (!parts_.ignore_end && parts_.tokenizer->is_end_of_generation(last_token_)) return end(FinishReason::kStop, {});
  StopMatcher::Step step = parts_.stop.push(detokenizer_.push(last_token_));
  Part part{.text = "", .tokens = {last_token_}, .logprobs = {}};
  put(part, step.text);
  if (parts_.top_logprobs) part.logprobs.push_back(token_logprob(logits, last_token_, *parts_.top_logprobs, *parts_.tokenizer));
  if (step.matched) {
    reply.stop_string = parts_.stop_strings[*step.matched];
    return end(FinishReason::kStop, std::move(part));
  }
  if (parts_.grammar && parts_.grammar->must_end()) return end(FinishReason::kStop, std::move(part));
  if (parts_.tools && parts_.tools->single_call && parts_.tools->parser.completed() > 0) return end(FinishReason::kStop, std::move(part));
  if (reply.usage.completion_tokens >= parts_.tokens_max) return end(FinishReason::kLength, std::move(part));
  push(std::move(part));
  return true;  // a cancelled stream is dropped by the scheduler before the next step
}

// Adds text of the answer to `part`: where tools are offered, as what it is, text or calls.
void TextAnswer::put(Part& part, const std::string& text) {
  if (parts_.tools) add(part, parts_.tools->parser.push(text));
  else part.text += text;
}

// What is held back comes out, unless a stop string cut it off.
bool TextAnswer::end(FinishReason reason, Part part) {
  Reply& reply = parts_.reply;
  if (reply.stop_string.empty()) {
    const StopMatcher::Step last = parts_.stop.push(detokenizer_.finish());
    put(part, last.text);
    if (last.matched) reply.stop_string = parts_.stop_strings[*last.matched];
    else put(part, parts_.stop.finish());
  }
  reply.finish_reason = reply.stop_string.empty() ? reason : FinishReason::kStop;
  if (parts_.tools) {
    add(part, parts_.tools->parser.finish());
    if (parts_.tools->parser.begun() > 0 && reason == FinishReason::kStop && reply.stop_string.empty()) reply.finish_reason = FinishReason::kToolCalls;
  }
  reply.decode_ms = ms_between(first_token_, Clock::now());
  if (served_.size() > 1) reply.served = served_;
  if (!part.text.empty() || !part.tokens.empty() || !part.tool_calls.empty()) push(std::move(part));
  const Result<Reply> result = reply;
  if (parts_.on_end) parts_.on_end(result);
  parts_.stream->finish(result);
  return false;
}

void TextAnswer::fail(Error error) {
  const Result<Reply> result = std::move(error);
  if (parts_.on_end) parts_.on_end(result);
  parts_.stream->finish(result);
}

}  // namespace accelerate
