#include "accelerate/text/token_logprobs.h"

#include <algorithm>

#include "accelerate/base/check.h"
#include "accelerate/text/sampler.h"

namespace accelerate {
namespace {

struct Ranked {
  float logit;
  uint32_t token;
  bool operator<(const Ranked& other) const { return logit != other.logit ? logit > other.logit : token < other.token; }
};

/// The best `count`, best first. One pass: most logits lose against the worst kept one.
std::vector<Ranked> best_of(std::span<const float> logits, size_t count) {
  std::vector<Ranked> best;  // a heap whose front is the worst
  for (uint32_t token = 0; token < logits.size(); ++token) {
    const Ranked one{logits[token], token};
    if (best.size() < count) {
      best.push_back(one);
      std::push_heap(best.begin(), best.end());
    } else if (count > 0 && one < best.front()) {
      std::pop_heap(best.begin(), best.end());
      best.back() = one;
      std::push_heap(best.begin(), best.end());
    }
  }
  std::sort_heap(best.begin(), best.end());
  return best;
}

}  // namespace

TokenLogprob token_logprob(std::span<const float> logits, uint32_t token, uint32_t top, const Tokenizer& tokenizer) {
  CHECK(token < logits.size(), "a sampled token is in the row");
  const double total = log_sum_exp(logits);
  const auto entry = [&](uint32_t id) {
    return TokenLogprob{.token = id, .logprob = static_cast<float>(double{logits[id]} - total), .bytes = std::string(tokenizer.token_bytes(id)), .top = {}};
  };
  TokenLogprob result = entry(token);
  for (const Ranked& ranked : best_of(logits, top)) result.top.push_back(entry(ranked.token));
  return result;
}

}  // namespace accelerate
