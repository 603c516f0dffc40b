// Bodies of /tokenize, /detokenize and /apply-template, in the words of llama.cpp's server and of vLLM.
//
//   Parsed<TokenizeRequest> request = parse_tokenize(R"({"model":"smollm2","content":"Hello"})");
//
// Where the two disagree the member that holds the text decides: "content" is llama.cpp's and adds no special tokens unless
// told, "prompt" is vLLM's and adds them; "text" is read as "prompt". Both read control tokens written out in the text.
// Messages and tools are those of a chat, read by the same parsers.
// "model" may be left out where one model is served. Never throws (tests/serve/request_fuzz.cc).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "accelerate/core/request.h"
#include "accelerate/engine/endpoint.h"
#include "accelerate/serve/api_error.h"

namespace accelerate {

inline constexpr size_t kTokenizeBytesMax = size_t{1} << 20;  // a context of 200,000 tokens; takes a second and 400 MB at most

struct TokenizeRequest {
  std::string model;                // empty = the only one
  std::optional<std::string> text;  // nothing = messages
  std::vector<Message> messages;
  TokenizeOptions options;
  TemplateOptions chat;
  bool with_pieces = false;         // llama.cpp's: {"id", "piece"} in place of ids
  bool return_token_strs = false;   // vLLM's: a list of pieces beside them
};

struct DetokenizeRequest {
  std::string model;
  std::vector<uint32_t> tokens;
};

struct ApplyTemplateRequest {
  std::string model;
  std::vector<Message> messages;
  TemplateOptions chat;
};

Parsed<TokenizeRequest> parse_tokenize(std::string_view body);
Parsed<DetokenizeRequest> parse_detokenize(std::string_view body);
Parsed<ApplyTemplateRequest> parse_apply_template(std::string_view body);

}  // namespace accelerate
