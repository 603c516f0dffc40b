#include <mutex>

#include <fmt/format.h>

#include "accelerate/core/graph.h"
#include "accelerate/engine/encoder_pool.h"
#include "accelerate/engine/endpoints.h"
#include "accelerate/engine/rerank.h"
#include "accelerate/text/tokenizer.h"

namespace accelerate {
namespace {

// Collects pooled rows in the order of the inputs.
class Collector final : public MatrixSink {
 public:
  explicit Collector(std::vector<std::vector<float>>& vectors) : vectors_(vectors) {}
  void matrix(size_t input, std::span<const float> values, size_t, size_t) override {
    vectors_[input].assign(values.begin(), values.end());
  }

 private:
  std::vector<std::vector<float>>& vectors_;
};

// Collects the one score of each pair, in order.
class ScoreCollector final : public MatrixSink {
 public:
  explicit ScoreCollector(std::vector<float>& scores) : scores_(scores) {}
  void matrix(size_t input, std::span<const float> values, size_t, size_t) override { scores_[input] = values.front(); }

 private:
  std::vector<float>& scores_;
};

class EncoderEndpoint final : public Endpoint {
 public:
  EncoderEndpoint(EndpointParts parts, std::shared_ptr<const Tokenizer> tokenizer, EndpointInfo info)
      : model_(std::move(parts.model)), tokenizer_(std::move(tokenizer)), info_(std::move(info)),
        pool_(parts.name, std::move(parts.candidates), {.target = parts.target, .program = std::move(parts.program), .notes = {}}, parts.fallback, parts.limits) {}

  const EndpointInfo& info() const override { return info_; }
  Result<std::shared_ptr<Stream>> generate(const Request&) override {
    return Error{ErrorCode::kUnimplemented,
                 scores() ? fmt::format("[engine] '{}' is a cross-encoder and generates no text; try /v1/rerank", info_.name)
                          : fmt::format("[engine] '{}' is an embedding model and generates no text; try /v1/embeddings or `embed`", info_.name)};
  }
  Result<EmbedReply> embed(std::span<const EmbedInput> inputs, const std::atomic<bool>* stop) override {
    Result<EmbedReply> reply = encode(inputs, stop);
    count(reply);
    return reply;
  }
  Result<RerankReply> rerank(const RerankInput& input, const std::atomic<bool>* stop) override {
    if (!scores()) return Endpoint::rerank(input, stop);
    Result<RerankReply> reply = score(input, stop);
    count(reply);
    return reply;
  }
  Result<std::vector<uint32_t>> tokenize(std::string_view text, const TokenizeOptions& options) const override {
    return tokenizer_->encode(text, {.add_special = options.add_special, .parse_special = options.parse_special});
  }
  Result<std::string> detokenize(std::span<const uint32_t> tokens, const DetokenizeOptions& options) const override {
    return detokenize_checked(*tokenizer_, tokens, options);
  }
  Result<std::vector<std::string>> token_pieces(std::span<const uint32_t> tokens) const override { return pieces_of(*tokenizer_, tokens); }
  Result<void> check_health() override {
    if (scores()) {
      ACC_TRY_VOID(score({.query = "canary", .documents = {"canary"}}, nullptr));
      return {};
    }
    const EmbedInput canary = std::string("canary");
    ACC_TRY_VOID(encode({&canary, 1}, nullptr));
    return {};
  }
  EndpointStats stats() const override {
    std::unique_lock lock(stats_mutex_);
    EndpointStats stats = stats_;
    lock.unlock();
    stats.targets = pool_.targets();
    stats.answers_moved = pool_.moved();
    return stats;
  }
  Result<void> switch_target(const std::string& target) override { return pool_.switch_to(target); }
  uint64_t memory_bytes() const override { return pool_.memory_bytes(); }
  void close() override { closed_ = true; }

 private:
  Result<std::vector<uint32_t>> tokens_of(const EmbedInput& input, size_t index) const;
  Result<EmbedReply> encode(std::span<const EmbedInput> inputs, const std::atomic<bool>* stop);
  Result<RerankReply> score(const RerankInput& input, const std::atomic<bool>* stop);
  Result<EncoderPool::Ran> run(std::span<const EncoderInput> inputs, EncodeOutput output, MatrixSink& sink, const std::atomic<bool>* stop);
  template <class Reply> void count(const Result<Reply>& reply);
  bool scores() const { return info_.embedding_width == 0; }

  std::shared_ptr<const Model> model_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  EndpointInfo info_;
  mutable std::mutex stats_mutex_;
  EndpointStats stats_;
  std::atomic<bool> closed_{false};
  EncoderPool pool_;
};

Result<std::vector<uint32_t>> EncoderEndpoint::tokens_of(const EmbedInput& input, size_t index) const {
  std::vector<uint32_t> tokens;
  if (const auto* text = std::get_if<std::string>(&input)) {
    Result<std::vector<uint32_t>> encoded = tokenizer_->encode(*text, {.add_special = true, .parse_special = false, .tokens_max = info_.context});
    if (!encoded) return Error{encoded.error().code, fmt::format("{} (input {})", encoded.error().message, index)};
    tokens = *std::move(encoded);
  } else {
    tokens = std::get<std::vector<uint32_t>>(input);
    for (const uint32_t token : tokens) {
      if (token >= tokenizer_->size()) {
        return Error{ErrorCode::kInvalidArgument, fmt::format("[engine] token ids are below {}; got {} in input {}",
                                                              tokenizer_->size(), token, index)};
      }
    }
  }
  if (tokens.empty()) return Error{ErrorCode::kInvalidArgument, fmt::format("[engine] inputs are not empty; got none in input {}", index)};
  if (tokens.size() > info_.context) {
    return Error{ErrorCode::kOutOfRange, fmt::format("[engine] an input has at most {} tokens for this model; got {} in input {}",
                                                     info_.context, tokens.size(), index)};
  }
  return tokens;
}

Result<EmbedReply> EncoderEndpoint::encode(std::span<const EmbedInput> inputs, const std::atomic<bool>* stop) {
  if (closed_) return Error{ErrorCode::kUnavailable, fmt::format("[engine] '{}' is being closed", info_.name)};
  if (scores()) {
    return Error{ErrorCode::kUnimplemented, fmt::format("[engine] '{}' is a cross-encoder and makes no embeddings; try /v1/rerank", info_.name)};
  }
  EmbedReply reply{.vectors = std::vector<std::vector<float>>(inputs.size()), .prompt_tokens = 0, .served_by = {}, .notes = {}};
  std::vector<std::vector<uint32_t>> tokens;
  std::vector<EncoderInput> spans;
  tokens.reserve(inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    ACC_TRY(std::vector<uint32_t> one, tokens_of(inputs[i], i));
    reply.prompt_tokens += static_cast<uint32_t>(one.size());
    tokens.push_back(std::move(one));
    spans.emplace_back(TokenSpan(tokens.back()));
  }
  Collector collector(reply.vectors);
  ACC_TRY(EncoderPool::Ran ran, run(spans, EncodeOutput::kPooled, collector, stop));
  reply.served_by = std::move(ran.target);
  reply.notes = std::move(ran.notes);
  return reply;
}

Result<RerankReply> EncoderEndpoint::score(const RerankInput& input, const std::atomic<bool>* stop) {
  if (closed_) return Error{ErrorCode::kUnavailable, fmt::format("[engine] '{}' is being closed", info_.name)};
  ACC_TRY(RerankPairs pairs, make_rerank_pairs(*tokenizer_, input, info_.context, stop));
  std::vector<EncoderInput> spans;
  for (const PairTokens& pair : pairs.pairs) spans.emplace_back(TokenSpan(pair.tokens), pair.second_begin);
  const ScoreFunction function = model_->score_function;
  RerankReply reply{.scores = std::vector<float>(spans.size()), .prompt_tokens = pairs.prompt_tokens, .served_by = {},
                    .score = function == ScoreFunction::kSigmoid ? "sigmoid of a cross-encoder's logit" : "a cross-encoder's logit",
                    .notes = std::move(pairs.notes)};
  ScoreCollector collector(reply.scores);
  ACC_TRY(EncoderPool::Ran ran, run(spans, EncodeOutput::kHead, collector, stop));
  reply.served_by = std::move(ran.target);
  reply.notes.insert(reply.notes.end(), ran.notes.begin(), ran.notes.end());
  for (float& one : reply.scores) one = rerank_score(one, function);
  return reply;
}

// A call that failed half-way begins again elsewhere: its matrices overwrite those of the first try.
Result<EncoderPool::Ran> EncoderEndpoint::run(std::span<const EncoderInput> inputs, EncodeOutput output, MatrixSink& sink, const std::atomic<bool>* stop) {
  return pool_.run([&](EncoderProgram& program) { return program.encode(inputs, output, sink, {.deadline = std::nullopt, .stop = stop}); }, stop);
}

template <class Reply> void EncoderEndpoint::count(const Result<Reply>& reply) {
  std::lock_guard lock(stats_mutex_);
  ++stats_.requests;
  if (reply) stats_.prompt_tokens += reply->prompt_tokens;
  else if (reply.error().code == ErrorCode::kCancelled) ++stats_.cancelled;
  else ++stats_.failed;
}

}  // namespace

Result<std::shared_ptr<Endpoint>> make_encoder_endpoint(EndpointParts parts) {
  ACC_TRY(std::shared_ptr<const Tokenizer> tokenizer, Tokenizer::create(*parts.model->tokenizer));
  EndpointInfo info = describe_endpoint(parts);
  const EncoderLimits limits = static_cast<const EncoderProgram&>(*parts.program).limits();
  info.context = limits.tokens_max;
  info.embedding_width = limits.width;
  return std::shared_ptr<Endpoint>(
      std::make_shared<EncoderEndpoint>(std::move(parts), std::move(tokenizer), std::move(info)));
}

}  // namespace accelerate
