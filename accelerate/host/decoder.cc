#include "accelerate/host/decoder.h"

#include <algorithm>

#include <fmt/format.h>

namespace accelerate {

Result<std::unique_ptr<HostDecoder>> HostDecoder::create(HostParts parts) {
  const HostPlan& plan = *parts.plan;
  CHECK(plan.head, "a decoder's plan has a head");
  if (plan.attention_steps > 0 && !plan.cached) {
    return Error{ErrorCode::kUnimplemented, "[host] a decoder's attention has a KV cache; got a graph whose sequences begin anew at every step"};
  }
  std::unique_ptr<HostDecoder> decoder(new HostDecoder(std::move(parts)));
  const HostParts& own = decoder->parts_;
  ACC_TRY(decoder->kv_, KvCache::create({.layers = plan.kv_layers, .slots = own.sizing.slots + kSlotsKeptMax, .tokens = own.sizing.kv_tokens,
                                         .context = own.sizing.executor.context_max}));
  ACC_TRY(decoder->executor_, Executor::create(*own.plan, *own.weights, decoder->kv_->pool(), *own.kernels, *own.threads, own.sizing.executor));
  const uint32_t rows = own.sizing.executor.rows_max;
  decoder->tokens_.reserve(rows);
  decoder->wanted_.reserve(rows);
  decoder->wanted_now_.reserve(rows);
  decoder->sequences_.reserve(own.sizing.executor.sequences_max);
  decoder->used_in_step_.resize(own.sizing.slots + kSlotsKeptMax, 0);
  return decoder;
}

uint64_t HostDecoder::memory_bytes() const { return parts_.weights->bytes() + kv_->pool().bytes() + executor_->bytes(); }

DecoderLimits HostDecoder::limits() const {
  return {.slots_max = parts_.sizing.slots, .slots_kept_max = kSlotsKeptMax, .context_max = kv_->context(),
          .batch_tokens_max = parts_.sizing.executor.rows_max, .truncate_exact = true, .fork = ForkKind::kShared};
}

/// Checks one input and takes its KV.
Result<void> HostDecoder::admit(const SlotInput& input) {
  ACC_TRY_VOID(kv_->check(input.slot));
  if (used_in_step_[input.slot.index] == steps_) {
    return Error{ErrorCode::kInvalidArgument, fmt::format("[host] a step names each slot once; got slot {} again", input.slot.index)};
  }
  used_in_step_[input.slot.index] = steps_;
  if (input.tokens.empty()) return Error{ErrorCode::kInvalidArgument, "[host] an input has at least one token; got none"};
  for (const uint32_t token : input.tokens) {
    if (token >= parts_.plan->tokens_known) {
      return Error{ErrorCode::kInvalidArgument, fmt::format("[host] token ids are below {}; got {}", parts_.plan->tokens_known, token)};
    }
  }
  if (input.tokens.size() > kv_->context()) {
    return Error{ErrorCode::kOutOfRange, fmt::format("[host] a sequence has at most {} tokens; got {}; try a shorter prompt", kv_->context(), input.tokens.size())};
  }
  return kv_->reserve(input.slot, static_cast<uint32_t>(input.tokens.size()));
}

/// The next tokens in order of the inputs, as many as fit; an empty batch when all are done.
Batch HostDecoder::next_batch(std::span<const SlotInput> inputs, std::span<const SlotStatus> statuses, Cursor& cursor) {
  tokens_.clear();
  sequences_.clear();
  wanted_.clear();
  const uint32_t rows_max = parts_.sizing.executor.rows_max;
  for (; cursor.input < inputs.size(); ++cursor.input, cursor.token = 0) {
    const SlotInput& input = inputs[cursor.input];
    if (statuses[cursor.input].error) continue;
    const auto row = static_cast<uint32_t>(tokens_.size());
    const auto count = static_cast<uint32_t>(std::min<size_t>(input.tokens.size() - cursor.token, rows_max - row));
    if (count == 0 || sequences_.size() == parts_.sizing.executor.sequences_max) break;
    tokens_.insert(tokens_.end(), input.tokens.begin() + static_cast<std::ptrdiff_t>(cursor.token),
                   input.tokens.begin() + static_cast<std::ptrdiff_t>(cursor.token + count));
    sequences_.push_back({.row_begin = row, .rows = count, .position = kv_->length(input.slot) + static_cast<uint32_t>(cursor.token),
                          .pages = kv_->pages(input.slot)});
    for (uint32_t i = 0; i < count; ++i) {
      const auto token = static_cast<uint32_t>(cursor.token + i);
      const bool last = token + 1 == input.tokens.size();
      if (input.want == Want::kAll || (input.want == Want::kLast && last)) {
        wanted_.push_back({row + i, static_cast<uint32_t>(cursor.input), token});
      }
    }
    cursor.token += count;
    if (cursor.token < input.tokens.size()) break;
  }
  return {tokens_, sequences_};
}

void HostDecoder::deliver(std::span<SlotStatus> statuses, LogitsSink& sink) {
  for (size_t begin = 0; begin < wanted_.size(); begin += executor_->logit_rows_max()) {
    const size_t count = std::min<size_t>(wanted_.size() - begin, executor_->logit_rows_max());
    wanted_now_.clear();
    for (size_t i = 0; i < count; ++i) wanted_now_.push_back(wanted_[begin + i].row);
    const LogitRows rows = executor_->logits(wanted_now_);
    for (size_t i = 0; i < count; ++i) {
      const WantedRow& wanted = wanted_[begin + i];
      SlotStatus& status = statuses[wanted.input];
      if (status.error) continue;
      if (!rows.finite[i]) {
        status.error = Error{ErrorCode::kInternal, fmt::format("[host] logits are numbers; got NaN or infinity for token {} of input {}", wanted.token, wanted.input)};
        continue;
      }
      sink.row(wanted.input, wanted.token, {rows.values + i * rows.stride, parts_.plan->head_columns});
    }
  }
}

/// Slots of inputs without an error keep what was reserved, the others give it back; none keeps it unless the step ran whole.
void HostDecoder::settle(std::span<const SlotInput> inputs, std::span<const SlotStatus> statuses, bool whole) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (whole && !statuses[i].error) {
      kv_->commit(inputs[i].slot, static_cast<uint32_t>(inputs[i].tokens.size()));
    }
  }
  for (const SlotInput& input : inputs) kv_->rollback(input.slot);
}

Result<void> HostDecoder::step(std::span<const SlotInput> inputs, std::span<SlotStatus> statuses, LogitsSink& sink, const StepControl& control) {
  CHECK(inputs.size() == statuses.size(), "one status for each input");
  ++steps_;
  for (size_t i = 0; i < inputs.size(); ++i) {
    statuses[i].error.reset();
    if (auto admitted = admit(inputs[i]); !admitted) statuses[i].error = admitted.error();
  }
  Cursor cursor;
  for (Batch batch = next_batch(inputs, statuses, cursor); !batch.tokens.empty(); batch = next_batch(inputs, statuses, cursor)) {
    if (auto ran = executor_->run(batch, control); !ran) {
      settle(inputs, statuses, false);
      return ran.error();
    }
    deliver(statuses, sink);
  }
  settle(inputs, statuses, true);
  return {};
}

}  // namespace accelerate
