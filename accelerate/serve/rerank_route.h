// /v1/rerank - documents in the order of their scores against a query.
//
//   rerank_route(models, request.body, responder);
//
// {"id", "model", "results": [{"index", "relevance_score", "document": {"text"}}], "usage"}, best first; "ipfs_accelerate"
// says what a score is and what was cut. Thread-safe; no state.
#pragma once

#include <string>
#include <string_view>

#include "accelerate/serve/openai.h"
#include "accelerate/serve/parse_rerank.h"

namespace accelerate {

void rerank_route(const ModelSource& models, std::string_view body, const Responder& to);

/// The reply's JSON; equal scores stay in the order of their documents.
std::string rerank_json(const RerankRequest& request, const RerankReply& reply, std::string_view model);

}  // namespace accelerate
