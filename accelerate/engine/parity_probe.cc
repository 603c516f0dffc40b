#include "accelerate/engine/parity_probe.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "accelerate/base/log.h"
#include "accelerate/text/tokenizer.h"

namespace accelerate {
namespace {

// Everyday prose, numbers, a list, code and other scripts: what models are asked for.
constexpr std::string_view kText =
    "The ferry left the island at half past six, when the harbour was still grey and the first lamps went out one by one. "
    "Anna had packed bread, cheese and a thermos of tea for the crossing. \"We will be there by noon,\" she said, although the "
    "timetable promised 11:40 and the wind was against them. A train of 14 wagons waited on the mainland: 3 for passengers, 11 "
    "for timber. To find the mean speed, divide the distance, 84 km, by the time, 2.5 hours, which gives 33.6 km/h. "
    "def mean_speed(distance_km, hours):\n    if hours <= 0:\n        raise ValueError(\"hours must be positive\")\n"
    "    return distance_km / hours\n\n"
    "1. Check the tickets.\n2. Load the bicycles.\n3. Close the doors.\n"
    "Le capitaine parle un peu fran\u00e7ais, sein Bruder spricht Deutsch, y su hija aprende espa\u00f1ol. "
    "Nobody noticed the second boat until its horn sounded twice in the fog, and then everybody talked at once.";

constexpr size_t kDecoderTokens[] = {128, 64, 24, 20, 20};
constexpr size_t kEncoderTokens[] = {100, 64, 40, 28, 24};
constexpr bool kFromText[] = {true, false, true, false, true};
constexpr size_t kUnevenChunks[] = {1, 13, 3, 29, 2, 7, 9};
constexpr size_t kPairChunks[][3] = {{7, 3, 1}, {5, 3, 1}};

// SplitMix64 (Steele, Lea, Flood 2014): the same numbers on every machine, which std distributions do not promise.
class Numbers {
 public:
  uint64_t next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

 private:
  uint64_t state_ = 0x5eed;
};

// Most vocabularies keep their control tokens at the front.
uint32_t random_token(Numbers& numbers, uint32_t vocabulary) {
  constexpr uint32_t kSkipped = 64;
  const uint32_t first = vocabulary > 4 * kSkipped ? kSkipped : 0;
  return first + static_cast<uint32_t>(numbers.next() % (vocabulary - first));
}

std::vector<uint32_t> encoded(const ProbeSource& source, std::string_view text, bool special) {
  if (!source.tokenizer) return {};
  Result<std::vector<uint32_t>> tokens = source.tokenizer->encode(text, {.add_special = special, .parse_special = false});
  const bool usable = tokens && std::all_of(tokens->begin(), tokens->end(), [&](uint32_t token) { return token < source.vocabulary; });
  if (usable) return *std::move(tokens);
  log_warning("parity: the tokenizer makes no tokens of this model of a plain text; drawn ones stand in" + (tokens ? std::string() : ": " + tokens.error().message));
  return {};
}

ParityProbe make_probe(const ProbeSource& source, std::span<const size_t> lengths) {
  CHECK(source.vocabulary > 0, "a vocabulary to draw from");
  const std::vector<uint32_t> text = encoded(source, kText, false);
  // What stands around an empty text: models were never trained without their BOS or [CLS], and some say nothing sane then.
  const std::vector<uint32_t> around = encoded(source, "", true);
  Numbers numbers;
  ParityProbe probe;
  size_t at = 0;
  for (size_t s = 0; s < lengths.size(); ++s) {
    std::vector<uint32_t> tokens(std::min<size_t>(lengths[s], source.context));
    for (uint32_t& token : tokens) token = kFromText[s] && !text.empty() ? text[at++ % text.size()] : random_token(numbers, source.vocabulary);
    if (!around.empty() && !tokens.empty()) tokens.front() = around.front();
    if (around.size() > 1 && tokens.size() > 1) tokens.back() = around.back();
    probe.sequences.push_back(std::move(tokens));
  }
  return probe;
}

struct Walk {
  size_t sequence = 0;
  std::span<const uint32_t> tokens;
  std::span<const size_t> chunks;  // repeated
  size_t done = 0, chunk = 0;
  std::optional<Slot> slot;
};

class RowSink final : public LogitsSink {
 public:
  RowSink(std::span<Walk* const> walks, std::string_view way, const OnProbeRow& on_row) : walks_(walks), way_(way), on_row_(on_row) {}
  void row(size_t input, size_t token, std::span<const float> logits) override {
    const Walk& walk = *walks_[input];
    if (is_compared(walk.done + token, walk.tokens.size())) on_row_(way_, walk.sequence, walk.done + token, logits);
  }

 private:
  std::span<Walk* const> walks_;
  std::string_view way_;
  const OnProbeRow& on_row_;
};

class ClosedAtEnd {
 public:
  ClosedAtEnd(DecoderProgram& program, std::span<Walk> walks) : program_(program), walks_(walks) {}
  ~ClosedAtEnd() {
    for (Walk& walk : walks_) {
      if (walk.slot) program_.close(*walk.slot);
    }
  }
  ClosedAtEnd(const ClosedAtEnd&) = delete;
  ClosedAtEnd& operator=(const ClosedAtEnd&) = delete;

 private:
  DecoderProgram& program_;
  std::span<Walk> walks_;
};

// All walks side by side, or in turns where the program steps one slot at a time.
Result<void> walk(DecoderProgram& program, std::span<Walk> walks, std::string_view way, const OnProbeRow& on_row, const StepControl& control) {
  const DecoderLimits limits = program.limits();
  const size_t together = std::max<size_t>(1, std::min<size_t>(limits.slots_max, walks.size()));
  const size_t most = std::max<size_t>(1, limits.batch_tokens_max / together);
  const ClosedAtEnd closing(program, walks);
  for (Walk& one : walks) { ACC_TRY(one.slot, program.open()); }
  for (size_t turn = 0;; ++turn) {
    std::vector<Walk*> stepped;
    std::vector<SlotInput> inputs;
    for (size_t i = 0; i < walks.size() && inputs.size() < together; ++i) {
      Walk& one = walks[(turn + i) % walks.size()];
      if (one.done == one.tokens.size()) continue;
      const size_t count = std::min({one.chunks[one.chunk++ % one.chunks.size()], most, one.tokens.size() - one.done});
      inputs.push_back({.slot = *one.slot, .tokens = one.tokens.subspan(one.done, count), .want = Want::kAll});
      stepped.push_back(&one);
    }
    if (inputs.empty()) return {};
    std::vector<SlotStatus> statuses(inputs.size());
    RowSink sink(stepped, way, on_row);
    ACC_TRY_VOID(program.step(inputs, statuses, sink, control));
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (statuses[i].error) return *statuses[i].error;
      stepped[i]->done += inputs[i].tokens.size();
    }
  }
}

class EncoderSink final : public MatrixSink {
 public:
  EncoderSink(std::span<const size_t> sequences, std::string_view way, EncodeOutput output, const OnProbeRow& on_row)
      : sequences_(sequences), way_(way), output_(output), on_row_(on_row) {}
  void matrix(size_t input, std::span<const float> values, size_t rows, size_t columns) override {
    for (size_t row = 0; row < rows; ++row) {
      if (output_ == EncodeOutput::kHidden && !is_compared(row, rows)) continue;
      on_row_(way_, sequences_[input], row, values.subspan(row * columns, columns));
    }
  }

 private:
  std::span<const size_t> sequences_;
  std::string_view way_;
  EncodeOutput output_;
  const OnProbeRow& on_row_;
};

}  // namespace

std::string_view parity_text() { return kText; }

bool is_compared(size_t position, size_t tokens) { return position % kParityRowStride == kParityRowStride - 1 || position + 1 == tokens; }

ParityProbe make_decoder_probe(const ProbeSource& source) { return make_probe(source, kDecoderTokens); }
ParityProbe make_encoder_probe(const ProbeSource& source) { return make_probe(source, kEncoderTokens); }

Result<void> run_decoder_probe(DecoderProgram& program, const ParityProbe& probe, ParityRun run, const OnProbeRow& on_row,
                               std::vector<std::string>& notes, const StepControl& control) {
  static constexpr size_t kWhole[] = {SIZE_MAX}, kOne[] = {1};
  struct Way { std::string_view name; std::vector<std::pair<size_t, std::span<const size_t>>> sequences; };
  const std::vector<Way> candidate = {{"one chunk", {{0, kWhole}}}, {"uneven chunks", {{1, kUnevenChunks}}}, {"token by token", {{2, kOne}}},
                                      {"two interleaved slots", {{3, kPairChunks[0]}, {4, kPairChunks[1]}}}};
  const std::vector<Way> reference = {{"reference", {{0, kWhole}}}, {"reference", {{1, kWhole}}}, {"reference", {{2, kWhole}}},
                                      {"reference", {{3, kWhole}}}, {"reference", {{4, kWhole}}}};
  for (const Way& way : run == ParityRun::kCandidate ? candidate : reference) {
    const Capacity capacity = program.capacity();
    if (way.sequences.size() > capacity.slots_free) {
      notes.push_back(fmt::format("{}: not tried, {} slots", way.name, capacity.slots_free));
      continue;
    }
    std::vector<Walk> walks;
    for (const auto& [sequence, chunks] : way.sequences) {
      const std::vector<uint32_t>& tokens = probe.sequences.at(sequence);
      // A multiple of the stride keeps the last row among those that the reference has.
      size_t count = std::min<uint64_t>({tokens.size(), program.limits().context_max, capacity.kv_tokens_free / way.sequences.size()});
      if (count < tokens.size()) {
        count -= count % kParityRowStride;
        notes.push_back(fmt::format("{}: {} of {} tokens, as the context and KV of this program allow", way.name, count, tokens.size()));
      }
      if (count > 0) walks.push_back({.sequence = sequence, .tokens = std::span(tokens).first(count), .chunks = chunks, .slot = {}});
    }
    if (walks.empty()) continue;
    const Result<void> walked = walk(program, walks, way.name, on_row, control);
    if (!walked && walked.error().code == ErrorCode::kResourceExhausted && run == ParityRun::kCandidate) {
      notes.push_back(fmt::format("{}: not finished: {}", way.name, walked.error().message));
      continue;
    }
    ACC_TRY_VOID(walked);
  }
  return {};
}

Result<void> run_encoder_probe(EncoderProgram& program, const ParityProbe& probe, EncodeOutput output, ParityRun run,
                               const OnProbeRow& on_row, const StepControl& control) {
  const EncoderLimits limits = program.limits();
  std::vector<size_t> order;
  std::vector<EncoderInput> inputs;
  for (size_t s = 0; s < probe.sequences.size(); ++s) {
    const std::vector<uint32_t>& tokens = probe.sequences[s];
    if (tokens.empty() || (limits.tokens_max != 0 && tokens.size() > limits.tokens_max)) continue;
    order.push_back(s);
    inputs.emplace_back(TokenSpan(tokens), output == EncodeOutput::kHead ? static_cast<uint32_t>(tokens.size() / 2) : EncoderInput::kNoSecond);
  }
  const auto call = [&](std::string_view way, std::span<const EncoderInput> some, std::span<const size_t> sequences) {
    EncoderSink sink(sequences, way, output, on_row);
    return program.encode(some, output, sink, control);
  };
  if (run == ParityRun::kCandidate) {
    ACC_TRY_VOID(call("all at once", inputs, order));
    const std::vector<EncoderInput> backwards(inputs.rbegin(), inputs.rend());
    const std::vector<size_t> backwards_order(order.rbegin(), order.rend());
    ACC_TRY_VOID(call("all at once in reverse", backwards, backwards_order));
  }
  for (size_t i = 0; i < inputs.size(); ++i) ACC_TRY_VOID(call("one by one", {&inputs[i], 1}, {&order[i], 1}));
  return {};
}

}  // namespace accelerate
