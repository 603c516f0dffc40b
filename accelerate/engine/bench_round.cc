#include "accelerate/engine/bench_round.h"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>

namespace accelerate {
namespace {

using Clock = std::chrono::steady_clock;

double seconds(Clock::duration time) { return std::chrono::duration<double>(time).count(); }

// Random ids below every family's special range would need the tokenizer; any id is as good for speed, so skip the
// first few, where most vocabularies keep their control tokens.
std::vector<uint32_t> random_tokens(std::mt19937_64& random, uint32_t count, uint32_t vocabulary) {
  constexpr uint32_t kSkipped = 64;
  const uint32_t first = vocabulary > 4 * kSkipped ? kSkipped : 0;
  std::uniform_int_distribution<uint32_t> pick(first, vocabulary - 1);
  std::vector<uint32_t> tokens(count);
  for (uint32_t& token : tokens) token = pick(random);
  return tokens;
}

// When the tokens of one answer came. A part may carry several tokens, or text of none.
struct Decoded {
  std::vector<Clock::time_point> tokens;
};

Error stopped() { return {ErrorCode::kCancelled, "[bench] the round was asked to stop"}; }

Result<std::vector<Decoded>> drain(std::span<const std::shared_ptr<Stream>> streams, const StepControl& control) {
  std::vector<Decoded> decoded;
  for (const std::shared_ptr<Stream>& stream : streams) {
    Decoded one;
    while (!stream->done()) {
      const std::optional<Part> part = stream->next(kBenchStopPoll);
      if (control.should_stop()) {
        for (const std::shared_ptr<Stream>& each : streams) each->cancel();
      }
      if (part) one.tokens.insert(one.tokens.end(), part->tokens.size(), part->pushed_at);
    }
    ACC_TRY_VOID(stream->result());
    decoded.push_back(std::move(one));
  }
  if (control.should_stop()) return stopped();
  return decoded;
}

Result<void> decoder_round(Endpoint& endpoint, const BenchOptions& options, uint32_t vocabulary, std::mt19937_64& random,
                           BenchSamples& samples, const StepControl& control) {
  std::vector<std::shared_ptr<Stream>> streams;
  const Clock::time_point start = Clock::now();
  for (uint32_t i = 0; i < options.batch; ++i) {
    Request request;
    request.tokens = random_tokens(random, options.prompt_tokens, vocabulary);
    request.sampling.temperature = 0;
    request.max_tokens = options.generate_tokens + 1;  // the first comes from the prefill
    request.ignore_end = true;
    ACC_TRY(auto stream, endpoint.generate(request));
    streams.push_back(std::move(stream));
  }
  ACC_TRY(const std::vector<Decoded> decoded, drain(streams, control));
  // Together the sequences are prefilled when the last has its first token, and decode from then to the last token. What
  // the first ones said while others were prefilled is counted in neither.
  Clock::time_point prefilled = start, finished = start;
  for (const Decoded& one : decoded) {
    if (one.tokens.empty()) return Error{ErrorCode::kInternal, "[bench] every answer has tokens; got none"};
    prefilled = std::max(prefilled, one.tokens.front());
    finished = std::max(finished, one.tokens.back());
    samples.ttft_ms.push_back(seconds(one.tokens.front() - start) * 1e3);
  }
  uint64_t tokens = 0;
  for (const Decoded& one : decoded) tokens += static_cast<uint64_t>(one.tokens.end() - std::upper_bound(one.tokens.begin(), one.tokens.end(), prefilled));
  samples.prefill_tokens_per_s.push_back(double(options.prompt_tokens) * options.batch / seconds(prefilled - start));
  if (tokens > 0 && finished > prefilled) samples.decode_tokens_per_s.push_back(double(tokens) / seconds(finished - prefilled));
  return {};
}

Result<void> encoder_round(Endpoint& endpoint, const BenchOptions& options, uint32_t vocabulary, std::mt19937_64& random,
                           BenchSamples& samples, const StepControl& control) {
  std::vector<EmbedInput> inputs;
  for (uint32_t i = 0; i < options.batch; ++i) inputs.emplace_back(random_tokens(random, options.prompt_tokens, vocabulary));
  const auto start = Clock::now();
  ACC_TRY_VOID(endpoint.embed(inputs, control.stop));
  if (control.should_stop()) return stopped();
  const double taken = seconds(Clock::now() - start);
  samples.texts_per_s.push_back(options.batch / taken);
  samples.prefill_tokens_per_s.push_back(double(options.batch) * options.prompt_tokens / taken);
  return {};
}

}  // namespace

Result<void> check_bench_options(const BenchOptions& options) {
  if (options.batch == 0 || options.rounds == 0 || options.prompt_tokens == 0) {
    return Error{ErrorCode::kInvalidArgument, "[bench] prompt, batch and rounds are at least 1; got 0"};
  }
  return {};
}

Result<void> check_bench_context(const BenchOptions& options, const EndpointInfo& info) {
  const uint64_t needed = options.prompt_tokens + (info.kind == ProgramKind::kDecoder ? uint64_t{options.generate_tokens} + 1 : 0);
  if (needed > info.context) {
    return Error{ErrorCode::kOutOfRange,
                 fmt::format("[bench] prompt and answer fit the context of {} tokens; got {}; try smaller --prompt or --generate",
                             info.context, needed)};
  }
  return {};
}

OpenOptions bench_open_options(const BenchOptions& options, OpenOptions open) {
  if (open.compile.slots == 0) open.compile.slots = options.batch;
  if (open.compile.kv_tokens == 0 && options.batch > 1) {
    open.compile.kv_tokens = uint64_t{options.batch} * (uint64_t{options.prompt_tokens} + options.generate_tokens + 64);
  }
  return open;
}

BenchReport begin_report(const Engine& engine, const ModelDescription& description, const EndpointInfo& info, const BenchOptions& options,
                         const OpenOptions& open) {
  BenchReport report{.model = info.name, .quantization = info.quantization, .target = info.target,
                     .threads = open.compile.threads ? open.compile.threads : engine.context().threads,
                     .prompt_tokens = options.prompt_tokens, .generate_tokens = options.generate_tokens, .batch = options.batch,
                     .rounds = 0, .load_ms = info.load_ms, .memory_program_bytes = info.memory_bytes,
                     .weight_bytes = description.memory_weights_bytes, .samples = {}, .notes = info.notes};
  report.flops_per_token = description.flops_per_token;
  report.flops_per_logits = description.flops_per_logits;
  return report;
}

Result<void> BenchRounds::warm_up(const StepControl& control) {
  BenchSamples thrown_away;
  return run(thrown_away, control);
}

Result<void> BenchRounds::run(BenchSamples& samples, const StepControl& control) {
  return endpoint_->info().kind == ProgramKind::kDecoder ? decoder_round(*endpoint_, options_, vocabulary_, random_, samples, control)
                                                         : encoder_round(*endpoint_, options_, vocabulary_, random_, samples, control);
}

}  // namespace accelerate
