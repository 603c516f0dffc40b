// Log-probabilities of tokens in OpenAI's two shapes.
//
//   choice["logprobs"] = chat_logprobs(part.logprobs);          // {"content": [{token, logprob, bytes, top_logprobs}], "refusal": null}
//   choice["logprobs"] = text_logprobs(part.logprobs, offset);  // {"tokens", "token_logprobs", "top_logprobs", "text_offset"}
//
// Includes the JSON library: for .cc files only.
#pragma once

#include <span>

#include "accelerate/base/json.h"
#include "accelerate/core/request.h"

namespace accelerate {

/// "token" is valid UTF-8 (a part of a character reads U+FFFD); "bytes" are exact.
Json chat_logprobs(std::span<const TokenLogprob> tokens);

/// The legacy shape: a token that is no whole UTF-8 is written "bytes:\\xe4\\xbd". `top_logprobs` holds the alternatives asked
/// for and the token itself, and is null where none were asked for. `text_offset` counts characters from the start of the
/// answer; `offset` is where `tokens` begin and is moved behind them.
Json text_logprobs(std::span<const TokenLogprob> tokens, size_t& offset);

}  // namespace accelerate
