// The body of /v1/rerank, in the shape that Jina, Cohere and vLLM share.
//
//   Parsed<RerankRequest> request = parse_rerank(R"({"model":"ms-marco","query":"what is a panda?","documents":["hi","a bear"]})");
//
// Never throws (tests/serve/request_fuzz.cc).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "accelerate/base/limits.h"
#include "accelerate/engine/endpoint.h"
#include "accelerate/serve/api_error.h"

namespace accelerate {

inline constexpr uint32_t kRerankDocumentsMax = limits::kEmbeddingInputsMax;

struct RerankRequest {
  std::string model;  // empty = the only one
  RerankInput input;
  std::optional<uint32_t> top_n;  // results kept, the best ones; nothing = all
  bool return_documents = true;
  bool by_embeddings = false;     // the cosine of an embedding model, as "method" asks for
};

Parsed<RerankRequest> parse_rerank(std::string_view body);

}  // namespace accelerate
