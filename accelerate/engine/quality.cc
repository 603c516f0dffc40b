#include "accelerate/engine/quality.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include <fmt/format.h>

#include "accelerate/core/graph.h"
#include "accelerate/engine/parity_gate.h"
#include "accelerate/engine/parity_probe.h"
#include "accelerate/engine/parity_reference.h"
#include "accelerate/text/tokenizer.h"

namespace accelerate {
namespace {

constexpr uint32_t kChunkTokens = 64;
constexpr ParityBounds kNoBounds{"measured", INFINITY, INFINITY, INFINITY, 0.0, "nothing is refused here: it is measured"};

using OnRow = std::function<void(size_t position, std::span<const float> logits)>;

class RowSink final : public LogitsSink {
 public:
  RowSink(const OnRow& on_row, size_t begin) : on_row_(on_row), begin_(begin) {}
  void row(size_t, size_t token, std::span<const float> logits) override { on_row_(begin_ + token, logits); }

 private:
  const OnRow& on_row_;
  size_t begin_;
};

Result<void> each_row(DecoderProgram& program, std::span<const uint32_t> tokens, const OnRow& on_row, const StepControl& control) {
  ACC_TRY(const Slot slot, program.open());
  const size_t chunk = std::clamp<uint32_t>(program.limits().batch_tokens_max, 1, kChunkTokens);
  for (size_t begin = 0; begin < tokens.size(); begin += chunk) {
    const SlotInput input{.slot = slot, .tokens = tokens.subspan(begin, std::min(chunk, tokens.size() - begin)), .want = Want::kAll};
    SlotStatus status;
    RowSink sink(on_row, begin);
    Result<void> stepped = program.step({&input, 1}, {&status, 1}, sink, control);
    if (stepped && status.error) stepped = *status.error;
    if (!stepped) {
      program.close(slot);
      return stepped;
    }
  }
  program.close(slot);
  return {};
}

double negative_log_likelihood(std::span<const float> logits, uint32_t token) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float value : logits) sum += std::exp(value - top);
  return top + std::log(sum) - logits[token];
}

struct Text {
  std::vector<uint32_t> tokens;
  bool real = false;  // not drawn
};

Text tokens_of(const Model& model, uint32_t vocabulary, uint32_t context, std::vector<std::string>& notes) {
  const uint64_t rows_max = std::max<uint64_t>(kReferenceBytesMax / sizeof(float) / vocabulary, 2);
  const auto most = static_cast<uint32_t>(std::min<uint64_t>({kQualityTokensMax, context, rows_max}));
  if (model.tokenizer) {
    if (const auto tokenizer = Tokenizer::create(*model.tokenizer)) {
      Result<std::vector<uint32_t>> tokens = (*tokenizer)->encode(parity_text(), {.add_special = true, .parse_special = false});
      if (tokens && std::all_of(tokens->begin(), tokens->end(), [&](uint32_t token) { return token < vocabulary; })) {
        tokens->resize(std::min<size_t>(tokens->size(), most));
        return {*std::move(tokens), true};
      }
    }
  }
  notes.emplace_back("no tokenizer reads the text: drawn tokens stand in, and perplexity says nothing of them");
  ParityProbe probe = make_decoder_probe({.vocabulary = vocabulary, .context = most});
  return {std::move(probe.sequences.front()), false};
}

Result<std::unique_ptr<Program>> exact_program(const QualityRequest& request, const std::shared_ptr<const Model>& model, uint32_t context, Progress& progress) {
  const CompileOptions options{.precision = Precision::kExact, .threads = request.threads, .context = context, .kv_tokens = context, .slots = 1};
  ACC_TRY(Compiled compiled, request.backend->compile(model, request.device, options, progress));
  return std::move(compiled.program);
}

Error other_output() { return Error{ErrorCode::kUnimplemented, "[quality] logits and embeddings are compared; got a program of another kind"}; }

Result<QualityChange> compare_decoders(const QualityRequest& request, Progress& progress, const StepControl& control) {
  QualityChange change;
  const Graph& graph = *request.before->graph;
  const uint32_t context = graph.context != 0 ? graph.context : kQualityTokensMax;
  const Text text = tokens_of(*request.before, graph.vocabulary, context, change.notes);
  const auto slot_context = static_cast<uint32_t>(text.tokens.size());
  std::vector<float> rows;
  double nll_before = 0, nll_after = 0;
  const auto likelihood = [&](size_t position, std::span<const float> logits) {
    return position + 1 < text.tokens.size() ? negative_log_likelihood(logits, text.tokens[position + 1]) : 0.0;
  };
  for (const bool before : {true, false}) {  // one after the other: the weights never stand side by side
    ACC_TRY(const std::unique_ptr<Program> program, exact_program(request, before ? request.before : request.after, slot_context, progress));
    auto* decoder = dynamic_cast<DecoderProgram*>(program.get());
    if (!decoder || decoder->vocabulary() != graph.vocabulary) return other_output();
    LogitsComparator comparator;
    ACC_TRY_VOID(each_row(*decoder, text.tokens, [&](size_t position, std::span<const float> logits) {
      (before ? nll_before : nll_after) += likelihood(position, logits);
      if (before) rows.insert(rows.end(), logits.begin(), logits.end());
      else comparator.add(std::span(rows).subspan(position * logits.size(), logits.size()), logits);
    }, control));
    if (!before) change.numbers = comparator.result();
  }
  if (!text.real || text.tokens.size() < 2) return change;
  const auto scored = static_cast<double>(text.tokens.size() - 1);
  change.perplexity_before = std::exp(nll_before / scored);
  change.perplexity_after = std::exp(nll_after / scored);
  return change;
}

Result<QualityChange> compare_encoders(const QualityRequest& request, Progress& progress, const StepControl& control) {
  QualityChange change;
  ACC_TRY(std::unique_ptr<Program> program, exact_program(request, request.before, 0, progress));
  if (!dynamic_cast<EncoderProgram*>(program.get())) return other_output();
  ACC_TRY(const ParityReference reference, compute_reference(*program, *request.before, control));
  program.reset();
  ACC_TRY(program, exact_program(request, request.after, 0, progress));
  ACC_TRY(ParityVerdict verdict, compare_with_reference(*program, reference, kNoBounds, control));
  if (verdict.state != ParityVerdict::State::kPass) return Error{ErrorCode::kFailedPrecondition, "[quality] both models give the same kind of rows; got: " + verdict.reason};
  change.numbers = verdict.numbers;
  change.notes = std::move(verdict.notes);
  return change;
}

}  // namespace

Result<QualityChange> measure_quality(const QualityRequest& request, Progress& progress, const StepControl& control) {
  CHECK(request.before && request.before->graph && request.after && request.after->graph && request.backend, "two models with graphs and a backend");
  return request.before->graph->vocabulary != 0 ? compare_decoders(request, progress, control) : compare_encoders(request, progress, control);
}

}  // namespace accelerate
