#include "accelerate/host/encoder.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <fmt/format.h>

namespace accelerate {

Result<std::unique_ptr<HostEncoder>> HostEncoder::create(HostParts parts) {
  std::unique_ptr<HostEncoder> encoder(new HostEncoder(std::move(parts)));
  const HostParts& own = encoder->parts_;
  ACC_TRY(encoder->pages_, PagePool::create(own.plan->kv_layers, own.sizing.kv_tokens / kKvPageTokens));
  ACC_TRY(encoder->executor_, Executor::create(*own.plan, *own.weights, encoder->pages_, *own.kernels, *own.threads, own.sizing.executor));
  encoder->tokens_.reserve(own.sizing.executor.rows_max);
  encoder->sequences_.reserve(own.sizing.executor.sequences_max);
  encoder->page_numbers_.resize(encoder->pages_.pages());
  std::iota(encoder->page_numbers_.begin(), encoder->page_numbers_.end(), 0u);
  return encoder;
}

uint64_t HostEncoder::memory_bytes() const { return parts_.weights->bytes() + pages_.bytes() + executor_->bytes(); }

EncoderLimits HostEncoder::limits() const {
  const bool scores = parts_.plan->output == Output::Kind::kHead;
  const uint32_t width = parts_.plan->result.width;
  return {.tokens_max = parts_.sizing.executor.context_max, .batch_tokens_max = parts_.sizing.executor.rows_max, .width = scores ? 0 : width, .labels = scores ? width : 0};
}

Result<void> HostEncoder::check(std::span<const EncoderInput> inputs, EncodeOutput output) const {
  const bool scores = parts_.plan->output == Output::Kind::kHead;
  if (output == EncodeOutput::kHead && !scores) {
    return Error{ErrorCode::kUnimplemented, "[host] scores come from a classification head; got a model without one; try pooled vectors"};
  }
  if (output != EncodeOutput::kHead && scores) {
    return Error{ErrorCode::kUnimplemented, "[host] vectors are hidden states; got a model whose head turns them into scores; try the head's scores"};
  }
  if (output == EncodeOutput::kPooled && parts_.model->graph->pooling == Pooling::kNone) {
    return Error{ErrorCode::kUnimplemented, "[host] a vector for each text takes a pooling, which the model's files do not name; got none; try hidden states"};
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].tokens.empty()) return Error{ErrorCode::kInvalidArgument, fmt::format("[host] a text has at least one token; got none in input {}", i)};
    if (inputs[i].tokens.size() > parts_.sizing.executor.context_max) {
      return Error{ErrorCode::kOutOfRange, fmt::format("[host] a text has at most {} tokens; got {} in input {}; try a shorter text",
                                                       parts_.sizing.executor.context_max, inputs[i].tokens.size(), i)};
    }
    for (const uint32_t token : inputs[i].tokens) {
      if (token >= parts_.plan->tokens_known) {
        return Error{ErrorCode::kInvalidArgument, fmt::format("[host] token ids are below {}; got {} in input {}", parts_.plan->tokens_known, token, i)};
      }
    }
  }
  return {};
}

/// Fills tokens_ and sequences_ with the inputs from `begin` that fit one batch; returns the first that does not.
size_t HostEncoder::take_batch(std::span<const EncoderInput> inputs, size_t begin) {
  tokens_.clear();
  sequences_.clear();
  size_t page = 0, next = begin;
  for (; next < inputs.size() && sequences_.size() < parts_.sizing.executor.sequences_max; ++next) {
    const TokenSpan input = inputs[next].tokens;
    if (tokens_.size() + input.size() > parts_.sizing.executor.rows_max) break;
    const size_t pages = (input.size() + kKvPageTokens - 1) / kKvPageTokens;
    sequences_.push_back({.row_begin = static_cast<uint32_t>(tokens_.size()), .rows = static_cast<uint32_t>(input.size()), .position = 0,
                          .pages = std::span(page_numbers_).subspan(page, pages), .second_begin = inputs[next].second_begin});
    tokens_.insert(tokens_.end(), input.begin(), input.end());
    page += pages;
  }
  return next;
}

void HostEncoder::pool(const Sequence& sequence, std::span<float> out) const {
  const Graph& graph = *parts_.model->graph;
  const uint32_t last = sequence.row_begin + sequence.rows - 1;
  if (graph.pooling == Pooling::kMean) {
    std::vector<double> sums(out.size(), 0.0);
    for (uint32_t row = sequence.row_begin; row <= last; ++row) {
      const std::span<const float> x = executor_->hidden_row(row);
      for (size_t i = 0; i < out.size(); ++i) sums[i] += x[i];
    }
    for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(sums[i] / sequence.rows);
  } else {
    const std::span<const float> x = executor_->hidden_row(graph.pooling == Pooling::kLast ? last : sequence.row_begin);
    std::copy(x.begin(), x.end(), out.begin());
  }
  if (!graph.normalize) return;
  double squares = 0;
  for (const float value : out) squares += double{value} * value;
  const double length = std::max(std::sqrt(squares), kNormMin);
  for (float& value : out) value = static_cast<float>(value / length);
}

Result<void> HostEncoder::deliver(const Sequence& sequence, size_t input, EncodeOutput output, MatrixSink& sink) {
  const size_t width = parts_.plan->result.width;
  const uint32_t count = output == EncodeOutput::kHidden ? sequence.rows : 1;
  rows_.resize(count * width);
  if (output == EncodeOutput::kPooled) {
    pool(sequence, rows_);
  } else {
    for (uint32_t row = 0; row < count; ++row) {
      const std::span<const float> x = executor_->hidden_row(sequence.row_begin + row);
      std::copy(x.begin(), x.end(), rows_.begin() + static_cast<std::ptrdiff_t>(row * width));
    }
  }
  if (!parts_.kernels->all_finite(rows_.data(), rows_.size())) {
    return Error{ErrorCode::kInternal, fmt::format("[host] an encoder's results are numbers; got NaN or infinity for input {}", input)};
  }
  sink.matrix(input, rows_, count, width);
  return {};
}

Result<void> HostEncoder::encode(std::span<const EncoderInput> inputs, EncodeOutput output, MatrixSink& sink, const StepControl& control) {
  ACC_TRY_VOID(check(inputs, output));
  for (size_t begin = 0; begin < inputs.size();) {
    const size_t end = take_batch(inputs, begin);
    ACC_TRY_VOID(executor_->run({tokens_, sequences_}, control));
    for (size_t i = begin; i < end; ++i) ACC_TRY_VOID(deliver(sequences_[i - begin], i, output, sink));
    begin = end;
  }
  return {};
}

}  // namespace accelerate
