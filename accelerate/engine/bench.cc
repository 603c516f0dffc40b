#include "accelerate/engine/bench.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <random>

#include <fmt/format.h>

#include "accelerate/base/cpu.h"

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

Result<std::vector<Decoded>> drain(std::span<const std::shared_ptr<Stream>> streams) {
  std::vector<Decoded> decoded;
  for (const std::shared_ptr<Stream>& stream : streams) {
    Decoded one;
    while (!stream->done()) {
      const std::optional<Part> part = stream->next();
      if (part) one.tokens.insert(one.tokens.end(), part->tokens.size(), part->pushed_at);
    }
    ACC_TRY_VOID(stream->result());
    decoded.push_back(std::move(one));
  }
  return decoded;
}

Result<void> decoder_round(Endpoint& endpoint, const BenchOptions& options, uint32_t vocabulary, std::mt19937_64& random,
                           BenchSamples& samples) {
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
  ACC_TRY(const std::vector<Decoded> decoded, drain(streams));
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
                           BenchSamples& samples) {
  std::vector<EmbedInput> inputs;
  for (uint32_t i = 0; i < options.batch; ++i) inputs.emplace_back(random_tokens(random, options.prompt_tokens, vocabulary));
  const auto start = Clock::now();
  ACC_TRY_VOID(endpoint.embed(inputs));
  const double taken = seconds(Clock::now() - start);
  samples.texts_per_s.push_back(options.batch / taken);
  samples.prefill_tokens_per_s.push_back(double(options.batch) * options.prompt_tokens / taken);
  return {};
}

Result<void> check_options(const BenchOptions& options) {
  if (options.batch == 0 || options.rounds == 0 || options.prompt_tokens == 0) {
    return Error{ErrorCode::kInvalidArgument, "[bench] prompt, batch and rounds are at least 1; got 0"};
  }
  return {};
}

Result<void> check_context(const BenchOptions& options, const EndpointInfo& info) {
  const uint64_t needed = options.prompt_tokens + (info.kind == ProgramKind::kDecoder ? uint64_t{options.generate_tokens} + 1 : 0);
  if (needed > info.context) {
    return Error{ErrorCode::kOutOfRange,
                 fmt::format("[bench] prompt and answer fit the context of {} tokens; got {}; try smaller --prompt or --generate",
                             info.context, needed)};
  }
  return {};
}

// Closes what run_bench opened, however it ends.
class OpenedHere {
 public:
  OpenedHere(Engine& engine, std::string name) : engine_(engine), name_(std::move(name)) {}
  ~OpenedHere() { (void)engine_.close(name_); }
  OpenedHere(const OpenedHere&) = delete;
  OpenedHere& operator=(const OpenedHere&) = delete;

 private:
  Engine& engine_;
  std::string name_;
};

}  // namespace

double median(std::vector<double> samples) {
  if (samples.empty()) return std::numeric_limits<double>::quiet_NaN();
  const size_t middle = samples.size() / 2;
  std::nth_element(samples.begin(), samples.begin() + middle, samples.end());
  if (samples.size() % 2 == 1) return samples[middle];
  return (samples[middle] + *std::max_element(samples.begin(), samples.begin() + middle)) / 2;
}

Result<BenchReport> run_bench(Engine& engine, const std::string& model, const BenchOptions& options, Progress& progress) {
  ACC_TRY_VOID(check_options(options));
  OpenOptions open = options.open;
  if (open.compile.slots == 0) open.compile.slots = options.batch;
  if (open.compile.kv_tokens == 0 && options.batch > 1) {
    open.compile.kv_tokens = uint64_t{options.batch} * (uint64_t{options.prompt_tokens} + options.generate_tokens + 64);
  }
  ACC_TRY(const ModelDescription description, engine.describe(model, open));
  ACC_TRY(const std::shared_ptr<Endpoint> endpoint, engine.open(model, open, progress));
  const EndpointInfo& info = endpoint->info();
  const OpenedHere closing(engine, info.name);
  ACC_TRY_VOID(check_context(options, info));
  BenchReport report{.model = info.name, .quantization = info.quantization, .target = info.target,
                     .threads = open.compile.threads ? open.compile.threads : engine.context().threads,
                     .prompt_tokens = options.prompt_tokens, .generate_tokens = options.generate_tokens, .batch = options.batch,
                     .rounds = 0, .load_ms = info.load_ms, .memory_program_bytes = info.memory_bytes,
                     .weight_bytes = description.memory_weights_bytes, .samples = {}, .notes = info.notes};
  report.flops_per_token = description.flops_per_token;
  report.flops_per_logits = description.flops_per_logits;
  std::mt19937_64 random(20240229);
  BenchSamples warm_up;
  const auto round = [&](BenchSamples& samples) {
    return info.kind == ProgramKind::kDecoder ? decoder_round(*endpoint, options, description.vocabulary, random, samples)
                                              : encoder_round(*endpoint, options, description.vocabulary, random, samples);
  };
  ACC_TRY_VOID(round(warm_up));
  while (report.rounds < options.rounds) {
    if (!progress.update("rounds", report.rounds, options.rounds, "rounds")) {
      report.cancelled = true;
      break;
    }
    ACC_TRY_VOID(round(report.samples));
    ++report.rounds;
  }
  report.memory_peak_bytes = resident_peak_bytes();
  return report;
}

}  // namespace accelerate
