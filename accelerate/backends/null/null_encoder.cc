#include "accelerate/backends/null/null_encoder.h"

#include <cmath>
#include <numeric>

#include <fmt/format.h>

namespace accelerate {
namespace {

void fill_vector(uint64_t seed, std::span<float> out) {
  double squares = 0;
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<float>(std::sin(1.0 + static_cast<double>(i) + static_cast<double>(seed)));
    squares += double{out[i]} * out[i];
  }
  for (float& value : out) value = static_cast<float>(value / std::sqrt(squares));
}

}  // namespace

EncoderLimits NullEncoder::limits() const {
  return {.tokens_max = script_.context, .batch_tokens_max = script_.context, .width = kNullVectorWidth};
}

Result<void> NullEncoder::encode(std::span<const EncoderInput> inputs, EncodeOutput output, MatrixSink& sink, const StepControl& control) {
  ACC_TRY_VOID(faults_.begin(control));
  if (faults_.now() == NullFault::kSlotError || faults_.now() == NullFault::kNan) {
    return Error{ErrorCode::kInternal, "[null] scripted fault of an input"};
  }
  if (output == EncodeOutput::kHead) return Error{ErrorCode::kUnimplemented, "[null] no head is scripted"};
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].tokens.empty()) return Error{ErrorCode::kInvalidArgument, fmt::format("[null] a text has at least one token; got none in input {}", i)};
    if (inputs[i].tokens.size() > script_.context) {
      return Error{ErrorCode::kOutOfRange, fmt::format("[null] a text has at most {} tokens; got {} in input {}", script_.context, inputs[i].tokens.size(), i)};
    }
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    const size_t count = output == EncodeOutput::kPooled ? 1 : inputs[i].tokens.size();
    rows_.resize(count * kNullVectorWidth);
    for (size_t row = 0; row < count; ++row) {
      const TokenSpan seen = inputs[i].tokens.first(output == EncodeOutput::kPooled ? inputs[i].tokens.size() : row + 1);
      fill_vector(std::accumulate(seen.begin(), seen.end(), uint64_t{0}), std::span(rows_).subspan(row * kNullVectorWidth, kNullVectorWidth));
    }
    sink.matrix(i, rows_, count, kNullVectorWidth);
  }
  return {};
}

}  // namespace accelerate
