// What tests of fail-over need: a decoder that dies as told, candidates that make them, and an answer that remembers.
#pragma once

#include <algorithm>
#include <atomic>
#include <future>
#include <limits>
#include <memory>
#include <mutex>
#include <thread>

#include "accelerate/engine/candidates.h"
#include "accelerate/engine/job.h"
#include "tests/engine/counting_decoder.h"
#include "tests/engine/faulty_backends.h"

namespace accelerate {

/// What becomes of the programs of one candidate; shared with the test.
struct Fate {
  enum class End : uint8_t { kError, kLateError, kHang, kNan } end = End::kError;
  std::atomic<int64_t> dies_at{-1};       // step of one program, counted from 0 without the canary; -1 = never
  std::atomic<bool> every_program{false}; // else only the first one dies
  std::atomic<bool> gone{false};          // alive() says no until the next start
  std::atomic<int> starts{0}, living{0}, steps{0};
  std::atomic<int> starts_that_fail{0};
  std::optional<Error> start_error;       // of those
  std::chrono::microseconds step_time{0};
  uint32_t context = 512;
  DecoderLimits limits{.slots_max = 4, .slots_kept_max = 8, .context_max = 512, .batch_tokens_max = 64, .truncate_exact = true, .fork = ForkKind::kCopy};
};

/// Next token: a hash of all tokens before it, so that one lost or repeated token changes all that follow.
inline uint32_t hash_token(std::span<const uint32_t> held) {
  uint64_t hash = 1469598103934665603ull;
  for (const uint32_t token : held) hash = (hash ^ token) * 1099511628211ull;
  return static_cast<uint32_t>(hash >> 20) % 280;
}
inline std::vector<uint32_t> hash_answer(std::vector<uint32_t> prompt, size_t count) {
  const size_t begin = prompt.size();
  for (size_t i = 0; i < count; ++i) prompt.push_back(hash_token(prompt));
  return {prompt.begin() + static_cast<std::ptrdiff_t>(begin), prompt.end()};
}

class MortalDecoder final : public PassThroughDecoder {
 public:
  MortalDecoder(std::shared_ptr<Fate> fate, bool mortal) : PassThroughDecoder(make(*fate)), fate_(std::move(fate)), mortal_(mortal) { ++fate_->living; }
  ~MortalDecoder() override { --fate_->living; }
  bool alive() const override { return !dead_ && !fate_->gone; }
  Result<void> step(std::span<const SlotInput> inputs, std::span<SlotStatus> statuses, LogitsSink& sink, const StepControl& control) override {
    if (dead_) return Error{ErrorCode::kUnavailable, "[test] dead"};
    ++fate_->steps;
    const bool fatal = (mortal_ || fate_->every_program) && fate_->dies_at >= 0 && steps_ >= fate_->dies_at;
    ++steps_;
    if (!fatal) return inner_->step(inputs, statuses, sink, control);
    switch (fate_->end) {
      case Fate::End::kError: break;
      case Fate::End::kLateError: ACC_TRY_VOID(inner_->step(inputs, statuses, sink, control)); break;
      case Fate::End::kHang:
        while (!control.should_stop()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        dead_ = true;
        return Error{control.stop && control.stop->load() ? ErrorCode::kCancelled : ErrorCode::kDeadlineExceeded, "[test] hung"};
      case Fate::End::kNan: {
        struct Spoiled final : LogitsSink {
          LogitsSink* to = nullptr;
          void row(size_t input, size_t token, std::span<const float> logits) override {
            std::vector<float> copy(logits.begin(), logits.end());
            copy[copy.size() / 2] = std::numeric_limits<float>::quiet_NaN();
            to->row(input, token, copy);
          }
        } spoiled;
        spoiled.to = &sink;
        return inner_->step(inputs, statuses, spoiled, control);
      }
    }
    dead_ = true;
    return Error{ErrorCode::kUnavailable, "[test] killed"};
  }

 private:
  static std::unique_ptr<CountingDecoder> make(const Fate& fate) {
    auto inner = std::make_unique<CountingDecoder>();
    inner->vocabulary_value = 280;
    inner->next_token = hash_token;
    inner->limits_value = fate.limits;
    inner->limits_value.context_max = fate.context;
    inner->step_time = fate.step_time;
    return inner;
  }
  std::shared_ptr<Fate> fate_;
  const bool mortal_;
  int64_t steps_ = 0;
  std::atomic<bool> dead_{false};
};

/// The first start made by hand, as the engine does it before there is a pool; not counted in Fate::starts.
inline StartedProgram started_program(const std::string& target, const std::shared_ptr<Fate>& fate) {
  return {.target = target, .program = std::make_unique<MortalDecoder>(fate, true), .notes = {}};
}
inline Candidate mortal_candidate(const std::string& target, std::shared_ptr<Fate> fate) {
  return {.target = target,
          .start = [fate](const StartRequest&) -> Result<std::unique_ptr<Program>> {
            ++fate->starts;
            if (fate->starts_that_fail > 0) {
              --fate->starts_that_fail;
              return fate->start_error.value_or(Error{ErrorCode::kUnavailable, "[test] does not start"});
            }
            fate->gone = false;
            return std::unique_ptr<Program>(std::make_unique<MortalDecoder>(fate, false));
          },
          .speed = {}};
}

/// How an answer went.
struct Told {
  std::vector<uint32_t> tokens;
  std::optional<Error> error;
  std::vector<std::pair<std::string, size_t>> targets;  // who, and from which token on
  std::vector<JobMove> moves;
  uint32_t cached = 0;
};

/// Greedy; ends after `count` tokens.
class TellingAnswer final : public Answer {
 public:
  TellingAnswer(size_t count, std::promise<Told> done, const std::atomic<bool>* cancel) : count_(count), done_(std::move(done)), cancel_(cancel) {}
  bool take(std::span<const float> logits) override {
    told_.tokens.push_back(static_cast<uint32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin()));
    if (told_.tokens.size() < count_) return true;
    done_.set_value(told_);
    return false;
  }
  uint32_t last_token() const override { return told_.tokens.back(); }
  bool cancelled() const override { return cancel_ && cancel_->load(); }
  void computed_by(const std::string& target, const JobMove* move) override {
    told_.targets.emplace_back(target, told_.tokens.size());
    if (move) told_.moves.push_back(*move);
  }
  void started(uint32_t cached) override { told_.cached = cached; }
  void fail(Error error) override {
    told_.error = std::move(error);
    done_.set_value(told_);
  }

 private:
  size_t count_;
  Told told_;
  std::promise<Told> done_;
  const std::atomic<bool>* cancel_;
};

inline std::unique_ptr<Job> telling_job(std::vector<uint32_t> prompt, size_t count, std::future<Told>& told, const std::atomic<bool>* cancel = nullptr) {
  std::promise<Told> promise;
  told = promise.get_future();
  auto job = std::make_unique<Job>();
  job->tokens = std::move(prompt);
  job->answer_tokens = static_cast<uint32_t>(count);
  job->answer = std::make_unique<TellingAnswer>(count, std::move(promise), cancel);
  return job;
}

}  // namespace accelerate
