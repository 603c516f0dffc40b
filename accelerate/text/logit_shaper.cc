#include "accelerate/text/logit_shaper.h"

namespace accelerate {

LogitShaper::LogitShaper(const SamplingOptions& options, std::span<const uint32_t> prompt)
    : frequency_penalty_(options.frequency_penalty), presence_penalty_(options.presence_penalty),
      repetition_penalty_(options.repetition_penalty), bias_(options.logit_bias) {
  if (repetition_penalty_ == 1) return;
  for (const uint32_t token : prompt) counts_.emplace(token, 0);
}

bool LogitShaper::penalizes_generated() const { return frequency_penalty_ != 0 || presence_penalty_ != 0 || repetition_penalty_ != 1; }

std::span<const float> LogitShaper::shaped(std::span<const float> logits) {
  if (counts_.empty() && bias_.empty()) return logits;
  row_.assign(logits.begin(), logits.end());
  for (const auto& [token, count] : counts_) {
    if (token >= row_.size()) continue;
    float& logit = row_[token];
    if (repetition_penalty_ != 1) logit = logit > 0 ? logit / repetition_penalty_ : logit * repetition_penalty_;
    logit -= static_cast<float>(count) * frequency_penalty_ + (count > 0 ? presence_penalty_ : 0.0f);
  }
  for (const auto& [token, bias] : bias_) {
    if (token < row_.size()) row_[token] += bias;
  }
  return row_;
}

void LogitShaper::took(uint32_t token) {
  if (penalizes_generated()) ++counts_[token];
}

}  // namespace accelerate
