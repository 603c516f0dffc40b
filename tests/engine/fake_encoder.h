// An EncoderProgram for tests: a vector that follows from the tokens, and a look at how it is called.
#pragma once

#include <atomic>
#include <thread>
#include <vector>

#include "accelerate/core/program.h"

namespace accelerate {

class FakeEncoder final : public EncoderProgram {
 public:
  static constexpr uint32_t kWidth = 3, kTokensMax = 64;
  std::atomic<int> calls{0}, overlaps{0};
  std::optional<Error> error;

  static std::vector<float> vector_of(const std::vector<uint32_t>& tokens) {
    float sum = 0;
    for (const uint32_t token : tokens) sum += static_cast<float>(token);
    return {sum, static_cast<float>(tokens.size()), 1};
  }

  uint64_t memory_bytes() const override { return 0; }
  EncoderLimits limits() const override { return {.tokens_max = kTokensMax, .batch_tokens_max = 256, .width = kWidth}; }
  Result<void> encode(std::span<const EncoderInput> inputs, EncodeOutput, MatrixSink& sink, const StepControl& control) override {
    if (inside_.exchange(true)) ++overlaps;
    ++calls;
    std::this_thread::yield();
    inside_ = false;
    if (error) return *error;
    if (control.should_stop()) return Error{ErrorCode::kCancelled, "[test] stopped"};
    for (size_t i = 0; i < inputs.size(); ++i) {
      const std::vector<float> vector = vector_of({inputs[i].tokens.begin(), inputs[i].tokens.end()});
      sink.matrix(i, vector, 1, kWidth);
    }
    return {};
  }

 private:
  std::atomic<bool> inside_{false};
};

}  // namespace accelerate
