// The routes that show what a model makes of text: /tokenize, /detokenize, /apply-template.
//
//   tokenize_route(models, request.body, responder);
//
// Replies have the members of llama.cpp's server and of vLLM side by side: {"tokens", "count", "max_model_len"},
// {"content", "prompt"}, {"prompt"}. Thread-safe; no state.
#pragma once

#include <string_view>

#include "accelerate/serve/openai.h"

namespace accelerate {

void tokenize_route(const ModelSource& models, std::string_view body, const Responder& to);
void detokenize_route(const ModelSource& models, std::string_view body, const Responder& to);
void apply_template_route(const ModelSource& models, std::string_view body, const Responder& to);

}  // namespace accelerate
