// OpenAI's request bodies, parsed into native types: JSON stops here.
//
//   Parsed<ChatRequest> chat = parse_chat(R"({"model":"smollm2","messages":[{"role":"user","content":"Hello"}]})");
//   if (!chat.ok()) refuse(chat.error());
//
// Field names, defaults and ranges are those of OpenAI's API reference (chat, completions, embeddings). What is known there and
// would change the answer but is not done here is refused by name, unless it says what happens anyway ("best_of": 1).
// Unknown members are ignored. Extensions: top_k, min_p, repetition_penalty and grammar (parse_format.h). Never throws, whatever the bytes (tests/serve/request_fuzz.cc).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "accelerate/core/request.h"
#include "accelerate/engine/endpoint.h"
#include "accelerate/serve/api_error.h"

namespace accelerate {

inline constexpr int kJsonDepthMax = 64;                 // a chat nests 5 levels
inline constexpr size_t kJsonValuesMax = size_t{1} << 21;  // 16 bytes each once parsed; 2048 inputs of 1000 token ids
inline constexpr uint32_t kChoicesMax = 128;             // of one request, over all its prompts: each is a sequence of its own
inline constexpr uint32_t kCompletionTokensDefault = 16;  // as OpenAI has it for /v1/completions

inline constexpr uint32_t kLegacyLogprobsMax = 5;         // "logprobs" of /v1/completions, as OpenAI has it

struct ChatRequest {
  std::string model;
  Request request;
  uint32_t n = 1;  // answers; the i-th has the seed given plus i
  bool stream = false;
  bool include_usage = false;
};

struct CompletionRequest {
  std::string model;
  std::vector<Request> prompts;
  uint32_t n = 1;  // answers to each prompt; the i-th has the seed given plus i
  bool stream = false;
  bool include_usage = false;
};

struct EmbeddingsRequest {
  std::string model;
  std::vector<EmbedInput> inputs;
  bool base64 = false;  // else numbers
  std::optional<uint32_t> dimensions;  // numbers of a vector that are kept; engine/matryoshka.h
};

Parsed<ChatRequest> parse_chat(std::string_view body);
Parsed<CompletionRequest> parse_completion(std::string_view body);
Parsed<EmbeddingsRequest> parse_embeddings(std::string_view body);

}  // namespace accelerate
