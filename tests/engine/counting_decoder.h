// A DecoderProgram for tests: after token t of a sequence comes t + 1 (mod vocabulary); KV is a plain count of tokens.
#pragma once

#include <functional>
#include <map>
#include <vector>

#include "accelerate/core/program.h"

namespace accelerate {

class CountingDecoder final : public DecoderProgram {
 public:
  static constexpr uint32_t kVocabulary = 1000;
  uint32_t vocabulary_value = kVocabulary;
  std::function<uint32_t(std::span<const uint32_t> held)> next_token;  // empty: the last one and 1
  DecoderLimits limits_value{.slots_max = 4, .context_max = 512, .batch_tokens_max = 64, .truncate_exact = true, .fork = ForkKind::kNone};
  uint64_t kv_tokens = 1 << 20;
  uint64_t memory_value = 0;
  std::shared_ptr<void> lifetime;        // of the test, ends with the program
  std::optional<Error> step_error;       // returned by every step
  std::optional<Error> late_error;       // the same, after the rows were given
  std::chrono::microseconds step_time{0};
  std::atomic<uint64_t> steps{0}, tokens_computed{0}, batched_max{0};

  uint64_t memory_bytes() const override { return memory_value; }
  uint32_t vocabulary() const override { return vocabulary_value; }
  DecoderLimits limits() const override { return limits_value; }
  Capacity capacity() const override {
    uint64_t used = 0;
    for (const auto& [index, tokens] : slots_) used += tokens.size();
    return {kv_tokens - used, kv_tokens, limits_value.slots_max + limits_value.slots_kept_max - static_cast<uint32_t>(slots_.size())};
  }
  Result<Slot> open() override {
    if (slots_.size() >= limits_value.slots_max + limits_value.slots_kept_max) return Error{ErrorCode::kResourceExhausted, "[test] no slot"};
    slots_[++next_] = {};
    return Slot{next_, 1};
  }
  void close(Slot slot) override { CHECK(slots_.erase(slot.index) == 1, "closed once"); }
  uint32_t length(Slot slot) const override { return static_cast<uint32_t>(slots_.at(slot.index).size()); }
  Result<void> truncate(Slot slot, uint32_t tokens) override {
    slots_.at(slot.index).resize(tokens);
    return {};
  }
  Result<Slot> fork(Slot slot, uint32_t tokens) override {
    if (limits_value.fork == ForkKind::kNone) return Error{ErrorCode::kUnimplemented, "[test] no fork"};
    ACC_TRY(const Slot copy, open());
    const auto& from = slots_.at(slot.index);
    slots_[copy.index].assign(from.begin(), from.begin() + tokens);
    return copy;
  }
  const std::vector<uint32_t>& held(Slot slot) const { return slots_.at(slot.index); }
  size_t open_slots() const { return slots_.size(); }

  Result<void> step(std::span<const SlotInput> inputs, std::span<SlotStatus> statuses, LogitsSink& sink,
                    const StepControl& control) override {
    ++steps;
    if (step_error) return *step_error;
    if (step_time.count() > 0) {
      const auto until = std::chrono::steady_clock::now() + step_time;
      while (std::chrono::steady_clock::now() < until) {
        if (control.should_stop()) return Error{ErrorCode::kCancelled, "[test] stopped"};
      }
    }
    size_t total = 0;
    for (size_t i = 0; i < inputs.size(); ++i) total += inputs[i].tokens.size();
    CHECK(total <= limits_value.batch_tokens_max, "the scheduler keeps the batch limit");
    batched_max = std::max<uint64_t>(batched_max, inputs.size());
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (inputs[i].tokens.size() > capacity().kv_tokens_free) {
        statuses[i].error = Error{ErrorCode::kResourceExhausted, "[test] no KV"};
        continue;
      }
      auto& held = slots_.at(inputs[i].slot.index);
      held.insert(held.end(), inputs[i].tokens.begin(), inputs[i].tokens.end());
      tokens_computed += inputs[i].tokens.size();
      for (size_t t = 0; t < inputs[i].tokens.size(); ++t) {
        const bool last = t + 1 == inputs[i].tokens.size();
        if (inputs[i].want == Want::kNone || (inputs[i].want == Want::kLast && !last)) continue;
        const std::span<const uint32_t> so_far = std::span(held).first(held.size() - inputs[i].tokens.size() + t + 1);
        std::vector<float> logits(vocabulary_value, 0.0f);
        logits[next_token ? next_token(so_far) : (so_far.back() + 1) % vocabulary_value] = 1.0f;
        sink.row(i, t, logits);
      }
    }
    if (late_error) return *late_error;
    return {};
  }

 private:
  std::map<uint32_t, std::vector<uint32_t>> slots_;  // the scheduler's thread only; tests look when it is idle
  uint32_t next_ = 0;
};

}  // namespace accelerate
