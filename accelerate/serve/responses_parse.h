// OpenAI's /v1/responses, its stateless core: the request's body parsed into native types.
//
//   Parsed<ResponsesRequest> parsed = parse_responses(R"({"model":"smollm2","input":"Hello"})");
//
// input (a text, or messages, function_call and function_call_output items), instructions, max_output_tokens, temperature, top_p,
// top_logprobs, tools (functions), tool_choice, parallel_tool_calls, text.format, metadata, stream; and the extensions top_k, min_p,
// seed. As OpenAI has it, a function's strict is true unless said otherwise. Nothing is stored here: "store": true,
// previous_response_id, conversation and background are refused by name, and replies say "store": false. Never throws.
#pragma once

#include <string>
#include <string_view>

#include "accelerate/core/request.h"
#include "accelerate/serve/api_error.h"

namespace accelerate {

struct ResponsesRequest {
  std::string model;
  Request request;
  bool stream = false;
  std::string echo;  // a JSON object: the members that a reply repeats (instructions, tools, text ...)
};

Parsed<ResponsesRequest> parse_responses(std::string_view body);

}  // namespace accelerate
