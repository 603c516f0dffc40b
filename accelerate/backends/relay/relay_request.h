// A Request as the OpenAI API has it: the body that is sent to an upstream.
//
//   ACC_TRY(RelayBody body, relay_body(request, "llama-3.1-8b"));   // {"/chat/completions", {"model": ...}}
//
// What the API has a field for is passed on in it; what it has none for and would change the answer is refused by name
// (unimplemented), since an upstream that ignores a field would give another answer in silence. Pure functions.
#pragma once

#include <string>

#include "accelerate/base/result.h"
#include "accelerate/core/request.h"

namespace accelerate {

struct RelayBody {
  std::string route;  // "/chat/completions" or "/completions", below the base URL
  std::string json;   // always a streamed answer, with its usage at the end
};
/// invalid_argument for a prompt that is none, and for tools or schemas that are no JSON.
Result<RelayBody> relay_body(const Request& request, const std::string& model);

}  // namespace accelerate
