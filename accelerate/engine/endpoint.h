// Endpoint - one model, ready to answer.
//
//   ACC_TRY(std::shared_ptr<Stream> stream, endpoint->generate({.messages = {{"user", "Hello"}}}));
//   while (auto part = stream->next()) print(part->text);
//
// An endpoint owns its tokenizer, template, Programs and the queues before them; it tokenizes, checks limits and hands the
// request to a scheduler. When a Program fails it goes on with the next Target of its Plan (engine/decoder_pool.h). Thread-safe. Lives as long as somebody holds it; close() ends outstanding Streams with
// Error{cancelled}. At most limits::kQueuedRequestsMax wait; the next one gets Error{resource_exhausted} at once.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "accelerate/core/backend.h"
#include "accelerate/core/request.h"
#include "accelerate/engine/telemetry.h"

namespace accelerate {

struct EndpointInfo {
  std::string name;              // what clients call it: alias, or file name without extension
  std::string path, family, quantization;
  std::string target;            // that it was opened on; EndpointStats::targets has those that answer now
  uint64_t created_unix_s = 0, parameters = 0, memory_bytes = 0;
  uint32_t context = 0;          // tokens of prompt and answer together
  uint32_t embedding_width = 0;  // encoders; 0 = a cross-encoder, which scores pairs
  bool matryoshka = false;       // the front of a vector is a vector
  std::vector<uint32_t> matryoshka_dimensions;  // of these lengths; empty = any
  bool chat = false;             // has a chat template
  ProgramKind kind = ProgramKind::kDecoder;
  double load_ms = 0;
  std::vector<std::string> notes;  // casts and defaults that matter
};

using EmbedInput = std::variant<std::string, std::vector<uint32_t>>;  // text, or token ids as they are
struct EmbedReply {
  std::vector<std::vector<float>> vectors;  // one an input, in order
  uint32_t prompt_tokens = 0;
  std::string served_by;
  std::vector<std::string> notes;           // moves to another Target
};

/// A query and documents to be scored against it.
struct RerankInput {
  std::string query;
  std::vector<std::string> documents;
  std::optional<uint32_t> document_tokens_max;  // longer documents are cut to so many tokens, which the reply notes
  bool truncate = false;                        // documents are cut to what the model takes behind the query, which the reply notes
};
struct RerankReply {
  std::vector<float> scores;  // one a document, in order
  uint32_t prompt_tokens = 0;
  std::string served_by, score;  // score: what was computed, "sigmoid of a cross-encoder's logit"
  std::vector<std::string> notes;
};

struct EndpointStats {
  uint32_t running = 0, queued = 0;
  uint64_t kv_tokens_free = 0, kv_tokens_total = 0;
  uint64_t requests = 0, prompt_tokens = 0, completion_tokens = 0, cached_tokens = 0, cancelled = 0, failed = 0, rejected = 0;
  std::map<std::string, uint64_t> finished;  // by finish reason
  Histogram ttft_s{kLatencyBounds_s}, tpot_s{kTokenBounds_s};
  SchedulerStats scheduler;                  // decoders
  std::vector<TargetStats> targets;          // in the order of the Plan; those that run now, ran, or may be started
  uint64_t answers_moved = 0;                // to another Target, or to their own after it was started again
  std::vector<QueuedRequest> queue;          // the first kQueueShownMax, in the order of service
};
inline constexpr size_t kQueueShownMax = 16;

struct TokenizeOptions {
  bool add_special = false;    // BOS and the like, as the model wants them
  bool parse_special = false;  // control tokens written out in the text become control tokens
};
struct DetokenizeOptions {
  bool skip_special = true;  // control tokens give no text
};
struct TemplateOptions {
  bool add_generation_prompt = true;  // the template opens the assistant's turn
  ToolOptions tools{};                // on offer, as in a chat
};

class Endpoint {
 public:
  virtual ~Endpoint() = default;
  virtual const EndpointInfo& info() const = 0;
  /// Checks, tokenizes and queues `request`; the Stream yields parts as they come. Never waits for the model.
  /// invalid_argument for a bad request; out_of_range for a prompt that the context cannot hold (never cut);
  /// failed_precondition for messages without a chat template; unimplemented for an encoder.
  virtual Result<std::shared_ptr<Stream>> generate(const Request& request) = 0;
  /// Encoders: one vector an input; blocks. An input longer than the model takes is out_of_range naming its index.
  virtual Result<EmbedReply> embed(std::span<const EmbedInput> inputs, const std::atomic<bool>* stop = nullptr) = 0;
  virtual Result<std::vector<uint32_t>> tokenize(std::string_view text, const TokenizeOptions& options) const = 0;
  /// invalid_argument for ids outside the vocabulary.
  virtual Result<std::string> detokenize(std::span<const uint32_t> tokens, const DetokenizeOptions& options = {}) const = 0;
  /// The bytes that each token adds to a text; the stored text for control tokens.
  virtual Result<std::vector<std::string>> token_pieces(std::span<const uint32_t> tokens) const;
  /// Messages through the chat template, as text for people and as the tokens that generate() would begin with.
  /// failed_precondition without a template. User text stays text in both.
  virtual Result<std::string> apply_template(std::span<const Message> messages, const TemplateOptions& options) const;
  virtual Result<std::vector<uint32_t>> tokenize_chat(std::span<const Message> messages, const TemplateOptions& options) const;
  /// Cross-encoders: a score for each document; blocks. out_of_range for a pair that is too long, naming its document;
  /// unimplemented for other models.
  virtual Result<RerankReply> rerank(const RerankInput& input, const std::atomic<bool>* stop = nullptr);
  /// Runs a one-token canary through the whole path (an embedding for encoders); how it went.
  virtual Result<void> check_health() = 0;
  virtual EndpointStats stats() const = 0;
  /// From now on the Target of this name answers, started first if it stands by; what has begun ends where it is. Blocks.
  /// not_found listing those there are; any error leaves all as it was. unimplemented where an endpoint has one Program.
  virtual Result<void> switch_target(const std::string& target);
  /// Of all Programs that run now; EndpointInfo has what was loaded first.
  virtual uint64_t memory_bytes() const { return info().memory_bytes; }
  /// Ends outstanding streams with cancelled and stops the scheduler. Idempotent.
  virtual void close() = 0;
};

}  // namespace accelerate
