// libFuzzer: the bodies of the three POST routes from arbitrary bytes. What parses is checked against its promises.
//
//   build/asan/request_fuzz -max_total_time=60 tests/serve/corpus/request
#include <cmath>
#include <cstdint>
#include <string_view>

#include "accelerate/base/check.h"
#include "accelerate/serve/openai_parse.h"

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
}

template <class T>
void check_refusal(const Parsed<T>& parsed) {
  if (parsed.ok()) return;
  CHECK(parsed.error().status == 400 || parsed.error().status == 413, "a refusal has its status");
  CHECK(!parsed.error().message.empty(), "a refusal says why");
  CHECK(!error_json(parsed.error()).empty(), "a refusal can be written");
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
}

}  // namespace
}  // namespace accelerate

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  accelerate::one({reinterpret_cast<const char*>(data), size});
  return 0;
}
