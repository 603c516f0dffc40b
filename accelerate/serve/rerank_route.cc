#include "accelerate/serve/rerank_route.h"

#include <algorithm>
#include <numeric>

#include "accelerate/base/json.h"
#include "accelerate/engine/rerank.h"
#include "accelerate/serve/find_model.h"
#include "accelerate/serve/openai_write.h"
#include "accelerate/serve/watched.h"

namespace accelerate {

std::string rerank_json(const RerankRequest& request, const RerankReply& reply, std::string_view model) {
  std::vector<size_t> order(reply.scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  // Equal scores keep the order of the request; std::stable_sort of libstdc++ 12 does not compile under clang's -Werror.
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return std::pair(-reply.scores[a], a) < std::pair(-reply.scores[b], b); });
  if (request.top_n && *request.top_n < order.size()) order.resize(*request.top_n);
  Json results = Json::array();
  for (const size_t index : order) {
    Json result = {{"index", index}, {"relevance_score", reply.scores[index]}};
    if (request.return_documents) result["document"] = {{"text", request.input.documents[index]}};
    results.push_back(std::move(result));
  }
  Json own = {{"served_by", reply.served_by}, {"score", reply.score}};
  if (!reply.notes.empty()) own["notes"] = reply.notes;
  return dump_json({{"id", random_id("rerank-")},
                    {"object", "list"},
                    {"model", model},
                    {"results", std::move(results)},
                    {"usage", {{"prompt_tokens", reply.prompt_tokens}, {"total_tokens", reply.prompt_tokens}}},
                    {"ipfs_accelerate", std::move(own)}});
}

void rerank_route(const ModelSource& models, std::string_view body, const Responder& to) {
  Parsed<RerankRequest> parsed = parse_rerank(body);
  if (!parsed.ok()) return void(to.fail(parsed.error()));
  const std::shared_ptr<Endpoint> endpoint = find_model_for(models, parsed->model, to);
  if (endpoint == nullptr) return;
  const auto reply = watched(to.writer, [&](const std::atomic<bool>& stop) {
    return parsed->by_embeddings ? rerank_by_embeddings(*endpoint, parsed->input, &stop) : endpoint->rerank(parsed->input, &stop);
  });
  if (!reply) return;
  if (!*reply) return void(to.fail(api_error(reply->error(), "documents")));
  to.json(rerank_json(*parsed, **reply, endpoint->info().name), {{std::string(kTargetHeader), (*reply)->served_by}});
}

}  // namespace accelerate
