// libFuzzer: the bodies of the POST routes from arbitrary bytes. What parses is checked against its promises.
//
//   build/asan/request_fuzz -max_total_time=60 tests/serve/corpus/request
#include <cmath>
#include <cstdint>
#include <string_view>

#include "accelerate/base/check.h"
#include "accelerate/base/json.h"
#include "accelerate/engine/tool_answer.h"
#include "accelerate/serve/openai_parse.h"
#include "accelerate/serve/parse_rerank.h"
#include "accelerate/serve/parse_text.h"

namespace accelerate {
namespace {

void check_request(const Request& request) {
  const int prompts = !request.messages.empty() + request.text.has_value() + request.tokens.has_value();
  CHECK(prompts == 1, "exactly one prompt");
  const SamplingOptions& sampling = request.sampling;
  CHECK(sampling.temperature >= 0 && sampling.temperature <= 2, "temperature in range");
  CHECK(sampling.top_p > 0 && sampling.top_p <= 1, "top_p in range");
  CHECK(sampling.min_p >= 0 && sampling.min_p <= 1, "min_p in range");
  CHECK(!request.max_tokens || *request.max_tokens > 0, "max_tokens in range");
  CHECK(request.stop.size() <= kStopStringsMax, "stop strings counted");
  for (const std::string& stop : request.stop) CHECK(!stop.empty(), "no empty stop string");
  CHECK(request.tools.tools.size() <= kToolsMax, "tools counted");
  for (const Tool& tool : request.tools.tools) {
    CHECK(!tool.name.empty(), "tools have names");
    CHECK(tool.parameters.empty() || parse_json(tool.parameters).ok(), "schemas are JSON");
  }
}

template <class T>
void check_refusal(const Parsed<T>& parsed) {
  if (parsed.ok()) return;
  CHECK(parsed.error().status == 400 || parsed.error().status == 413, "a refusal has its status");
  CHECK(!parsed.error().message.empty(), "a refusal says why");
  CHECK(!error_json(parsed.error()).empty(), "a refusal can be written");
}

void other_routes(std::string_view body) {
  Parsed<TokenizeRequest> tokenize = parse_tokenize(body);
  check_refusal(tokenize);
  if (tokenize.ok()) CHECK(tokenize->text.has_value() != !tokenize->messages.empty(), "a text or messages");
  if (tokenize.ok() && tokenize->text) CHECK(tokenize->text->size() <= kTokenizeBytesMax, "a text of bounded size");
  check_refusal(parse_detokenize(body));
  Parsed<ApplyTemplateRequest> chat = parse_apply_template(body);
  check_refusal(chat);
  if (chat.ok()) CHECK(!chat->messages.empty(), "messages");
  Parsed<RerankRequest> rerank = parse_rerank(body);
  check_refusal(rerank);
  if (!rerank.ok()) return;
  CHECK(!rerank->input.query.empty(), "a query");
  CHECK(!rerank->input.documents.empty() && rerank->input.documents.size() <= kRerankDocumentsMax, "documents counted");
  CHECK(rerank->top_n.value_or(1) > 0 && rerank->input.document_tokens_max.value_or(1) > 0, "counts in range");
}

void one(std::string_view body) {
  Parsed<ChatRequest> chat = parse_chat(body);
  check_refusal(chat);
  if (chat.ok()) check_request(chat->request);
  Parsed<CompletionRequest> completion = parse_completion(body);
  check_refusal(completion);
  if (completion.ok()) {
    CHECK(!completion->prompts.empty() && completion->prompts.size() <= kChoicesMax, "prompts counted");
    for (const Request& request : completion->prompts) check_request(request);
  }
  Parsed<EmbeddingsRequest> embeddings = parse_embeddings(body);
  check_refusal(embeddings);
  if (embeddings.ok()) CHECK(!embeddings->inputs.empty(), "something to embed");
  if (embeddings.ok()) CHECK(embeddings->dimensions.value_or(1) > 0, "dimensions in range");
  other_routes(body);
}

}  // namespace
}  // namespace accelerate

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  accelerate::one({reinterpret_cast<const char*>(data), size});
  return 0;
}
