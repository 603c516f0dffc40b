// token_logprobs - how probable the model found a token, and which it found most probable.
//
//   TokenLogprob one = token_logprob(logits, token, /*top=*/5, *tokenizer);
//
// Natural logarithms of softmax(logits): the model's own distribution, before temperature, penalties, biases and
// truncation. Sums in double. Thread-safe.
#pragma once

#include <cstdint>
#include <span>

#include "accelerate/core/request.h"
#include "accelerate/text/tokenizer.h"

namespace accelerate {

/// The `top` likeliest tokens stand in order of probability, of equals the lowest id first; fewer if the row is shorter.
TokenLogprob token_logprob(std::span<const float> logits, uint32_t token, uint32_t top, const Tokenizer& tokenizer);

}  // namespace accelerate
