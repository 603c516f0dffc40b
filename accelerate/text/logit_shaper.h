// LogitShaper - what a request asks to be done to logits before a token is sampled: penalties and biases.
//
//   LogitShaper shaper(options, prompt_tokens);
//   ACC_TRY(uint32_t next, sampler.sample(shaper.shaped(logits)));
//   shaper.took(next);
//
// In this order, for token j that was generated c_j times so far:
//   1. repetition_penalty p (Keskar et al., arXiv 1909.05858, as in Transformers): of tokens in the prompt or generated,
//      logit / p where it is positive, logit * p where it is not. 1 = nothing.
//   2. logit - c_j * frequency_penalty - (c_j > 0) * presence_penalty: the formula of OpenAI's API reference.
//   3. logit + logit_bias[j].
// Where nothing is asked for, shaped() is the row itself. Not thread-safe; one a sequence. The buffer grows once.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "accelerate/core/request.h"

namespace accelerate {

class LogitShaper {
 public:
  /// `options` passed check_sampling. `prompt` is read where a repetition penalty is asked for.
  LogitShaper(const SamplingOptions& options, std::span<const uint32_t> prompt);

  /// Valid until the next call; `logits` itself is left as it is. Ids beyond the row are ignored.
  std::span<const float> shaped(std::span<const float> logits);
  /// The token that was generated.
  void took(uint32_t token);

 private:
  bool penalizes_generated() const;

  float frequency_penalty_, presence_penalty_, repetition_penalty_;
  std::vector<std::pair<uint32_t, float>> bias_;
  std::unordered_map<uint32_t, uint32_t> counts_;  // token -> times generated; 0 = in the prompt only
  std::vector<float> row_;
};

}  // namespace accelerate
