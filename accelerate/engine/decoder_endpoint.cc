#include <iterator>
#include <mutex>
#include <random>

#include <fmt/format.h>

#include "accelerate/core/graph.h"
#include "accelerate/engine/chat_prompt.h"
#include "accelerate/engine/decoder_pool.h"
#include "accelerate/engine/endpoints.h"
#include "accelerate/engine/text_answer.h"
#include "accelerate/text/grammar.h"
#include "accelerate/text/tokenizer.h"

namespace accelerate {
namespace {

struct Prompt {
  std::vector<uint32_t> tokens;
  bool continues_text = false;
  std::optional<ToolAnswer> tools;
  std::vector<std::string> notes;
  std::chrono::steady_clock::time_point called;  // generate()
};

class DecoderEndpoint final : public Endpoint {
 public:
  DecoderEndpoint(std::shared_ptr<const Model> model, std::shared_ptr<const Tokenizer> tokenizer, std::optional<ChatPrompt> chat_prompt,
                  EndpointInfo info, PoolParts pool)
      : model_(std::move(model)), tokenizer_(std::move(tokenizer)), grammars_(GrammarEngine::create(tokenizer_)),
        chat_prompt_(std::move(chat_prompt)), info_(std::move(info)), pool_(std::move(pool)) {}
  ~DecoderEndpoint() override { close(); }

  const EndpointInfo& info() const override { return info_; }
  Result<std::shared_ptr<Stream>> generate(const Request& request) override;
  Result<EmbedReply> embed(std::span<const EmbedInput>, const std::atomic<bool>*) override {
    return Error{ErrorCode::kUnimplemented,
                 fmt::format("[engine] '{}' generates text and makes no embeddings; try an embedding model such as minilm", info_.name)};
  }
  Result<std::vector<uint32_t>> tokenize(std::string_view text, const TokenizeOptions& options) const override {
    return tokenizer_->encode(text, {.add_special = options.add_special, .parse_special = options.parse_special});
  }
  Result<std::string> detokenize(std::span<const uint32_t> tokens, const DetokenizeOptions& options) const override {
    return detokenize_checked(*tokenizer_, tokens, options);
  }
  Result<std::vector<std::string>> token_pieces(std::span<const uint32_t> tokens) const override { return pieces_of(*tokenizer_, tokens); }
  Result<std::string> apply_template(std::span<const Message> messages, const TemplateOptions& options) const override {
    return chat_prompt_ ? chat_prompt_->render(messages, options.tools, options.add_generation_prompt) : Endpoint::apply_template(messages, options);
  }
  Result<std::vector<uint32_t>> tokenize_chat(std::span<const Message> messages, const TemplateOptions& options) const override {
    if (!chat_prompt_) return Endpoint::tokenize_chat(messages, options);
    ACC_TRY(ChatPrompt::Encoded encoded, chat_prompt_->encode_with_tools(messages, options.tools, 0, options.add_generation_prompt));
    return std::move(encoded.tokens);
  }
  Result<void> check_health() override;
  EndpointStats stats() const override;
  Result<void> switch_target(const std::string& target) override { return pool_.switch_to(target); }
  uint64_t memory_bytes() const override { return pool_.memory_bytes(); }
  void close() override { pool_.close(); }

 private:
  Result<Prompt> make_prompt(const Request& request) const;
  Result<void> check_outputs(const Request& request) const;
  Result<std::unique_ptr<GrammarMatcher>> make_matcher(const Request& request, Prompt& prompt) const;
  Result<uint32_t> tokens_max(const Request& request, size_t prompt_tokens) const;
  Result<std::shared_ptr<Stream>> start(const Request& request, Prompt prompt, bool counted);
  void count_end(const Result<Reply>& result);

  std::shared_ptr<const Model> model_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::shared_ptr<GrammarEngine> grammars_;
  std::optional<ChatPrompt> chat_prompt_;
  EndpointInfo info_;
  mutable std::mutex stats_mutex_;
  EndpointStats stats_;  // guarded by stats_mutex_
  DecoderPool pool_;     // last: its threads use what is above
};

Result<Prompt> DecoderEndpoint::make_prompt(const Request& request) const {
  const int given = !request.messages.empty() + request.text.has_value() + request.tokens.has_value();
  if (given != 1) {
    return Error{ErrorCode::kInvalidArgument, fmt::format("[engine] a prompt is messages, text or tokens, one of them; got {}", given)};
  }
  if (!request.messages.empty()) {
    if (!chat_prompt_) {
      return Error{ErrorCode::kFailedPrecondition,
                   fmt::format("[engine] chat takes a chat template, and '{}' has none; try a raw prompt (--raw, /v1/completions)", info_.name)};
    }
    ACC_TRY(std::optional<ToolAnswer> tools, plan_tool_answer(request, chat_prompt_->tool_template(), *tokenizer_));
    ACC_TRY(ChatPrompt::Encoded encoded, chat_prompt_->encode_with_tools(request.messages, request.tools, info_.context));
    if (tools) std::move(tools->notes.begin(), tools->notes.end(), std::back_inserter(encoded.notes));
    return Prompt{std::move(encoded.tokens), false, std::move(tools), std::move(encoded.notes), {}};
  }
  if (!request.tools.tools.empty()) return Error{ErrorCode::kInvalidArgument, "[engine] tools go with messages; got another prompt"};
  if (request.text) {
    ACC_TRY(std::vector<uint32_t> tokens, tokenizer_->encode(*request.text, {.add_special = true, .parse_special = false, .tokens_max = info_.context}));
    return Prompt{std::move(tokens), true, {}, {}, {}};
  }
  return Prompt{*request.tokens, true, {}, {}, {}};
}

Result<void> DecoderEndpoint::check_outputs(const Request& request) const {
  if (request.echo && !request.messages.empty()) {
    return Error{ErrorCode::kInvalidArgument, "[engine] echo sends a raw prompt back; got messages"};
  }
  if (request.top_logprobs.value_or(0) > kTopLogprobsMax) {
    return Error{ErrorCode::kInvalidArgument, fmt::format("[engine] at most {} top logprobs are given; got {}", kTopLogprobsMax, *request.top_logprobs)};
  }
  if (request.grammar && request.ignore_end) {
    return Error{ErrorCode::kInvalidArgument, "[engine] an answer with a grammar ends where the grammar does; got ignore_end as well"};
  }
  for (const auto& [token, bias] : request.sampling.logit_bias) {
    if (token >= pool_.vocabulary()) {
      return Error{ErrorCode::kInvalidArgument, fmt::format("[engine] logit_bias names tokens below {}; got {}", pool_.vocabulary(), token)};
    }
  }
  return {};
}

Result<uint32_t> DecoderEndpoint::tokens_max(const Request& request, size_t prompt_tokens) const {
  const uint32_t context = pool_.context();  // of the Target that answers now
  if (prompt_tokens == 0) return Error{ErrorCode::kInvalidArgument, "[engine] a prompt has at least one token; got none"};
  // The last token of an answer needs no KV, but clients count it as part of the context: so do we.
  if (prompt_tokens + (request.max_tokens == 0u ? 0 : 1) > context) {
    return Error{ErrorCode::kOutOfRange,
                 fmt::format("[engine] this model's context is {} tokens, prompt and answer together; got a prompt of {}; try a "
                             "shorter prompt", context, prompt_tokens)};
  }
  const auto left = static_cast<uint32_t>(context - prompt_tokens);
  return std::min(request.max_tokens.value_or(left), left);
}

Result<std::shared_ptr<Stream>> DecoderEndpoint::generate(const Request& request) {
  const auto called = std::chrono::steady_clock::now();
  ACC_TRY_VOID(check_sampling(request.sampling));
  ACC_TRY_VOID(check_outputs(request));
  ACC_TRY(Prompt prompt, make_prompt(request));
  prompt.called = called;
  // Tokenizers may know more tokens than the model has rows for (Gemma 3's for images).
  for (const uint32_t token : prompt.tokens) {
    if (token >= pool_.vocabulary()) {
      return Error{ErrorCode::kInvalidArgument, fmt::format("[engine] token ids of this model are below {}; got {}", pool_.vocabulary(), token)};
    }
  }
  return start(request, std::move(prompt), true);
}

// Null where the answer is any text.
Result<std::unique_ptr<GrammarMatcher>> DecoderEndpoint::make_matcher(const Request& request, Prompt& prompt) const {
  const std::optional<Grammar>& wanted = prompt.tools ? prompt.tools->grammar : request.grammar;
  if (!wanted) return std::unique_ptr<GrammarMatcher>();
  Result<std::unique_ptr<GrammarMatcher>> matcher = grammars_->matcher(*wanted);
  const bool loosened = !matcher && matcher.error().code == ErrorCode::kInvalidArgument && prompt.tools && prompt.tools->loose_grammar;
  if (!loosened) return matcher;
  prompt.notes.push_back("the arguments of tools that are not strict are any JSON object: " + matcher.error().message);
  return grammars_->matcher(*prompt.tools->loose_grammar);
}

Result<std::shared_ptr<Stream>> DecoderEndpoint::start(const Request& request, Prompt prompt, bool counted) {
  ACC_TRY(const uint32_t most, tokens_max(request, prompt.tokens.size()));
  ACC_TRY(StopMatcher stop, StopMatcher::create(request.stop));
  ACC_TRY(std::unique_ptr<GrammarMatcher> grammar, make_matcher(request, prompt));
  const uint64_t seed = request.sampling.seed ? *request.sampling.seed : uint64_t{std::random_device{}()} << 32 | std::random_device{}();
  auto stream = std::make_shared<Stream>();
  Reply reply{.stop_string = "", .usage = {.prompt_tokens = static_cast<uint32_t>(prompt.tokens.size())}, .served_by = info_.target,
              .seed = seed, .notes = info_.notes};
  std::move(prompt.notes.begin(), prompt.notes.end(), std::back_inserter(reply.notes));
  if (request.max_tokens && *request.max_tokens > most) {
    reply.notes.push_back(fmt::format("max_tokens {} is beyond the context: at most {} tokens are left", *request.max_tokens, most));
  }
  LogitShaper shaper(request.sampling, prompt.tokens);
  auto job = std::make_unique<Job>();
  std::optional<std::string> echo;
  if (request.echo) echo = request.text ? *request.text : tokenizer_->decode(prompt.tokens);
  job->prompt_rows = request.echo && request.top_logprobs;
  job->id = request.id;
  job->client = request.client;
  job->priority = request.priority;
  job->tokens = prompt.tokens;
  job->answer_tokens = most;
  const uint32_t prompt_tokens = reply.usage.prompt_tokens;
  TextAnswerParts parts{.stream = stream, .tokenizer = tokenizer_, .shaper = std::move(shaper),
                        .sampler = Sampler(request.sampling, seed), .stop = std::move(stop), .grammar = std::move(grammar),
                        .stop_strings = request.stop, .continues_text = prompt.continues_text, .ignore_end = request.ignore_end,
                        .top_logprobs = request.top_logprobs, .tools = std::move(prompt.tools), .echo = std::move(echo),
                        .prompt = request.echo ? std::move(prompt.tokens) : std::vector<uint32_t>(), .tokens_max = most, .called = prompt.called,
                        .reply = std::move(reply), .on_end = {}};
  if (counted) parts.on_end = [this](const Result<Reply>& result) { count_end(result); };
  job->answer = std::make_unique<TextAnswer>(std::move(parts));
  if (const Result<void> queued = pool_.submit(std::move(job)); !queued) {
    std::lock_guard lock(stats_mutex_);
    if (counted) ++stats_.rejected;
    return queued.error();
  }
  if (counted) {
    std::lock_guard lock(stats_mutex_);
    ++stats_.requests;
    stats_.prompt_tokens += prompt_tokens;
  }
  return stream;
}

void DecoderEndpoint::count_end(const Result<Reply>& result) {
  std::lock_guard lock(stats_mutex_);
  if (!result) {
    ++(result.error().code == ErrorCode::kCancelled ? stats_.cancelled : stats_.failed);
    return;
  }
  const uint32_t tokens = result->usage.completion_tokens;
  stats_.completion_tokens += tokens;
  stats_.cached_tokens += result->usage.cached_tokens;
  ++stats_.finished[std::string(finish_reason_name(result->finish_reason))];
  if (tokens > 0) stats_.ttft_s.observe(result->ttft_ms / 1000);
  if (tokens > 1) stats_.tpot_s.observe(result->decode_ms / 1000 / (tokens - 1));
}

Result<void> DecoderEndpoint::check_health() {
  Request canary;
  canary.sampling.temperature = 0;
  canary.max_tokens = 1;
  // Any token will do: what is proven is the path, from the queue to a finite row of logits and back.
  ACC_TRY(const std::shared_ptr<Stream> stream, start(canary, {.tokens = {0}, .continues_text = true, .tools = {}, .notes = {}, .called = std::chrono::steady_clock::now()}, false));
  while (!stream->done()) stream->next();
  ACC_TRY_VOID(stream->result());
  return {};
}

EndpointStats DecoderEndpoint::stats() const {
  std::unique_lock lock(stats_mutex_);
  EndpointStats stats = stats_;
  lock.unlock();
  PoolStats pool = pool_.stats(kQueueShownMax);
  stats.scheduler = std::move(pool.scheduler);
  stats.queue = std::move(pool.queue);
  stats.targets = std::move(pool.targets);
  stats.answers_moved = pool.answers_moved;
  stats.running = stats.scheduler.running;
  stats.queued = stats.scheduler.queued;
  stats.kv_tokens_total = stats.scheduler.capacity.kv_tokens_total;
  // What is kept for reuse is given up as soon as somebody needs it.
  stats.kv_tokens_free = stats.kv_tokens_total - std::min(stats.kv_tokens_total, stats.scheduler.kv_tokens_active);
  return stats;
}

}  // namespace

Result<std::shared_ptr<Endpoint>> make_decoder_endpoint(EndpointParts parts) {
  ACC_TRY(std::shared_ptr<const Tokenizer> tokenizer, Tokenizer::create(*parts.model->tokenizer));
  std::optional<ChatPrompt> chat_prompt;
  if (!parts.model->chat_template.empty()) {
    ACC_TRY(ChatTemplate chat_template, ChatTemplate::create(parts.model->chat_template, *tokenizer));
    chat_prompt.emplace(tokenizer, std::move(chat_template));
  }
  EndpointInfo info = describe_endpoint(parts);
  const auto& program = static_cast<const DecoderProgram&>(*parts.program);
  info.context = static_cast<uint32_t>(std::min<uint64_t>(program.limits().context_max, program.capacity().kv_tokens_total));
  info.chat = chat_prompt.has_value();
  PoolParts pool{.name = parts.name, .candidates = std::move(parts.candidates), .running = {}, .fallback = parts.fallback, .shrink = parts.shrink,
                 .reuse_prefixes = parts.reuse_prefixes, .limits = parts.limits};
  pool.running.push_back({.target = parts.target, .program = std::move(parts.program), .notes = {}});
  for (StartedProgram& further : parts.together) {
    info.memory_bytes += further.program->memory_bytes();
    pool.running.push_back(std::move(further));
  }
  return std::shared_ptr<Endpoint>(std::make_shared<DecoderEndpoint>(std::move(parts.model), std::move(tokenizer), std::move(chat_prompt), std::move(info),
                                                                     std::move(pool)));
}

}  // namespace accelerate
