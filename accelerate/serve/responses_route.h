// POST /v1/responses: parse, ask the engine, write; serve/responses_parse.h has what is taken.
//
//   responses_route(models, request.body, responder);
//
// A streamed answer begins with its first token, so what fails before that still has a proper status; what fails after it is
// response.failed. Thread-safe; no state.
#pragma once

#include <string_view>

#include "accelerate/serve/openai.h"

namespace accelerate {

void responses_route(const ModelSource& models, std::string_view body, const Responder& to);

}  // namespace accelerate
