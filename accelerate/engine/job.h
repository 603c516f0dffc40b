// Job - one sequence on its way through a scheduler, and the Answer that takes its logits. What an answer is lies here and
// in its Answer, never in a Program: a Job can go on with any Program of the same model.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "accelerate/core/program.h"

namespace accelerate {

/// Why a Job goes on somewhere else.
struct JobMove {
  std::string from;          // the Target that failed it
  std::string why;
  bool announce = false;     // in the stream, too
};

/// What becomes of the logits of one sequence: made by the endpoint, called by one scheduler's thread at a time.
class Answer {
 public:
  virtual ~Answer() = default;
  /// Chooses the next token from a row of logits, emits text, and says whether to go on (false = over, finished).
  virtual bool take(std::span<const float> logits) = 0;
  /// The token chosen last: the next input.
  virtual uint32_t last_token() const = 0;
  /// The logits after token `index` of the prompt (not of its last one: take() gets that), where Job::prompt_rows asked for
  /// them; in order, but a second time after the job stepped back.
  virtual void take_prompt([[maybe_unused]] size_t index, [[maybe_unused]] std::span<const float> logits) {}
  virtual bool cancelled() const = 0;
  /// From here on `target` computes it; `move`: since another one failed (null: as planned). Before started().
  virtual void computed_by([[maybe_unused]] const std::string& target, [[maybe_unused]] const JobMove* move) {}
  /// The first step of its prompt begins now; the first `cached` tokens of it need not be computed.
  virtual void started(uint32_t cached) = 0;
  /// Ends the answer early; called at most once and not after take() returned false.
  virtual void fail(Error error) = 0;
};

struct Job {
  std::vector<uint32_t> tokens;     // prompt; grows by the answer
  std::unique_ptr<Answer> answer;
  std::string id, client;           // core/request.h
  int32_t priority = 0;
  bool prompt_rows = false;         // Answer::take_prompt is wanted
  uint32_t answer_tokens = 0;       // at most; 0 = not known
  // the pool's own:
  std::optional<JobMove> move = {};         // until the next Target begins with it
  uint32_t moves = 0;
  std::vector<std::string> faulted_on = {}; // Targets that gave it no numbers
  // the scheduler's own:
  std::optional<Slot> slot = {};
  std::chrono::steady_clock::time_point submitted_at = {};
  size_t prompt = 0;                // tokens of the prompt; 0 = never submitted
  size_t computed = 0;              // tokens whose KV is in the slot
  uint64_t arrived = 0;             // order of arrival; 0 = not yet
  uint64_t admitted = 0;            // order of the first admission; preemption takes the largest; 0 = never
};

}  // namespace accelerate
