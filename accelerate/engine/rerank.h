// Rerank - scores of documents against a query: pairs of tokens for a cross-encoder, or cosines of embeddings where asked for.
//
//   ACC_TRY(RerankPairs pairs, make_rerank_pairs(tokenizer, input, context, stop));   // then EncodeOutput::kHead
//   reply.scores.push_back(rerank_score(logit, model.score_function));
//
// Nothing is cut unless the input asks for it, and every cut is in the notes. Thread-safe: no state.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "accelerate/core/model.h"
#include "accelerate/engine/endpoint.h"
#include "accelerate/text/tokenizer.h"

namespace accelerate {

struct RerankPairs {
  std::vector<PairTokens> pairs;  // one a document, in order
  uint32_t prompt_tokens = 0;     // of all pairs
  std::vector<std::string> notes;
};

/// out_of_range naming the document whose pair has more than `tokens_max` tokens and may not be cut, or the query that
/// leaves no room for a document; cancelled by `stop` between two documents; else the tokenizer's errors.
Result<RerankPairs> make_rerank_pairs(const Tokenizer& tokenizer, const RerankInput& input, uint32_t tokens_max, const std::atomic<bool>* stop);

/// 1 / (1 + exp(-logit)), or the logit itself.
float rerank_score(float logit, ScoreFunction function);

/// Cosines between the embeddings of the query and of each document, by any embedding model. invalid_argument for options
/// that cut, which embed() has not; else embed()'s errors, whose input 0 is the query.
Result<RerankReply> rerank_by_embeddings(Endpoint& endpoint, const RerankInput& input, const std::atomic<bool>* stop);

}  // namespace accelerate
