#include "accelerate/engine/rerank.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace accelerate {
namespace {

Result<PairTokens> fitting_pair(const Tokenizer& tokenizer, const RerankInput& input, size_t index, uint32_t tokens_max) {
  PairOptions options;
  if (input.document_tokens_max) options.second_tokens_max = *input.document_tokens_max;
  ACC_TRY(PairTokens pair, tokenizer.encode_pair(input.query, input.documents[index], options));
  if (pair.tokens.size() <= tokens_max) return pair;
  if (!input.truncate) {
    return Error{ErrorCode::kOutOfRange,
                 fmt::format("[engine] a query and a document have at most {} tokens together for this model; got {} with document {}; try a "
                             "shorter one, or \"truncate\": true", tokens_max, pair.tokens.size(), index)};
  }
  const size_t over = pair.tokens.size() - tokens_max, kept = std::min(pair.second_tokens, options.second_tokens_max);
  if (kept <= over) {
    return Error{ErrorCode::kOutOfRange,
                 fmt::format("[engine] a query leaves room for a document in this model's {} tokens; got a query that leaves none; try a shorter "
                             "query", tokens_max)};
  }
  return tokenizer.encode_pair(input.query, input.documents[index], {.second_tokens_max = static_cast<uint32_t>(kept - over)});
}

double cosine(std::span<const float> a, std::span<const float> b) {
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    ab += double{a[i]} * b[i];
    aa += double{a[i]} * a[i];
    bb += double{b[i]} * b[i];
  }
  const double lengths = std::sqrt(aa) * std::sqrt(bb);
  return lengths > 0 ? ab / lengths : 0;
}

}  // namespace

Result<RerankPairs> make_rerank_pairs(const Tokenizer& tokenizer, const RerankInput& input, uint32_t tokens_max, const std::atomic<bool>* stop) {
  RerankPairs out;
  std::vector<std::string> cuts;
  // The parts around the texts do not depend on them: what a pair has besides the document's tokens tells its cut.
  std::optional<size_t> around;
  for (size_t i = 0; i < input.documents.size(); ++i) {
    if (stop != nullptr && *stop) return Error{ErrorCode::kCancelled, "[engine] documents are tokenized to the last; got a stop between two"};
    ACC_TRY(PairTokens pair, fitting_pair(tokenizer, input, i, tokens_max));
    if (!around) {
      ACC_TRY(const PairTokens bare, tokenizer.encode_pair(input.query, ""));
      around = bare.tokens.size();
    }
    const size_t kept = pair.tokens.size() - *around;
    if (kept < pair.second_tokens) cuts.push_back(fmt::format("{} ({} of {} tokens)", i, kept, pair.second_tokens));
    out.prompt_tokens += static_cast<uint32_t>(pair.tokens.size());
    out.pairs.push_back(std::move(pair));
  }
  if (!cuts.empty()) out.notes.push_back(fmt::format("documents cut: {}", fmt::join(cuts, ", ")));
  return out;
}

float rerank_score(float logit, ScoreFunction function) {
  if (function == ScoreFunction::kIdentity) return logit;
  return static_cast<float>(1.0 / (1.0 + std::exp(-double{logit})));
}

Result<RerankReply> rerank_by_embeddings(Endpoint& endpoint, const RerankInput& input, const std::atomic<bool>* stop) {
  if (input.truncate || input.document_tokens_max) {
    return Error{ErrorCode::kInvalidArgument,
                 "[engine] documents are cut for a cross-encoder only; got an option that cuts and embeddings; try it without"};
  }
  std::vector<EmbedInput> inputs;
  inputs.emplace_back(input.query);
  for (const std::string& document : input.documents) inputs.emplace_back(document);
  ACC_TRY(const EmbedReply embedded, endpoint.embed(inputs, stop));
  RerankReply reply{.scores = {}, .prompt_tokens = embedded.prompt_tokens, .served_by = embedded.served_by, .score = "cosine of embeddings",
                    .notes = {"no cross-encoder read the pairs: a score is the cosine of two embeddings, as asked for"}};
  for (size_t i = 1; i < embedded.vectors.size(); ++i) {
    reply.scores.push_back(static_cast<float>(cosine(embedded.vectors.front(), embedded.vectors[i])));
  }
  return reply;
}

}  // namespace accelerate
