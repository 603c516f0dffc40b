// ResponseWriting - an answer of /v1/responses as it grows: its items, its events, the object that it is in the end.
//
//   ResponseBuilder response(info, parsed->echo);
//   std::string events = response.begin();          // response.created, response.in_progress
//   events += response.part(part);                  // ... output_item.added, output_text.delta, function_call_arguments.delta ...
//   events += response.end(reply);                  // ... done, response.completed or response.incomplete
//   response.json();                                // for those who do not stream: the same object
//
// Events are server-sent events with OpenAI's names, numbered from 0. Text is a "message" item with one "output_text"; each tool
// call is a "function_call" item. Each piece is written as it comes; items close when the next one begins, or at the end.
// One thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "accelerate/core/request.h"
#include "accelerate/engine/endpoint.h"
#include "accelerate/serve/api_error.h"

namespace accelerate {

class ResponseBuilder {
 public:
  /// `echo`: the members that the reply repeats, as JSON (serve/responses_parse.h).
  ResponseBuilder(const EndpointInfo& info, std::string_view echo, bool logprobs_wanted);
  ~ResponseBuilder();

  std::string begin();
  std::string part(const Part& part);
  std::string end(const Reply& reply);
  /// response.failed: what goes wrong once events are on their way.
  std::string fail(const ApiError& error);
  std::string json() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace accelerate
