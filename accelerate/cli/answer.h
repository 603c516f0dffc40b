// Answer - one request on the terminal: text as it comes, Ctrl-C stops it, one line of figures afterwards.
//
//   ACC_TRY(AnswerReport report, stream_answer(console, *endpoint, request, {.show = true}));
//   console.say(summary_line(report));
#pragma once

#include <string>
#include <vector>

#include "accelerate/cli/console.h"
#include "accelerate/engine/endpoint.h"

namespace accelerate {

struct AnswerOptions {
  bool show = true;  // write the text to stdout as it comes
};
struct AnswerReport {
  Reply reply;
  std::string text;
  std::vector<uint32_t> tokens;
  bool interrupted = false;  // by a signal: the text is what came until then, and of `reply` the prompt tokens are unknown
};

/// Errors: the request's; output_error() when stdout takes no more (the request is cancelled then).
Result<AnswerReport> stream_answer(Console& console, Endpoint& endpoint, const Request& request, const AnswerOptions& options);

/// Tokens a second after the first one; NaN for answers of fewer than two tokens.
double decode_tokens_per_s(const Reply& reply);

/// "cpu@cpu:0: 37 prompt + 8 answer tokens, first after 85 ms, then 95.3 tokens/s, peak memory 210.4 MB".
std::string summary_line(const AnswerReport& report);

}  // namespace accelerate
