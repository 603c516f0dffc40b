#include "accelerate/backends/null/null_decoder.h"

#include <algorithm>

#include <fmt/format.h>

namespace accelerate {

NullDecoder::NullDecoder(NullScript script)
    : script_(std::move(script)), faults_(script_), slots_(script_.slots), row_(script_.vocabulary) {}

DecoderLimits NullDecoder::limits() const {
  return {.slots_max = script_.slots, .context_max = script_.context, .batch_tokens_max = kBatchTokensMax, .truncate_exact = true,
          .fork = ForkKind::kCopy};
}

Capacity NullDecoder::capacity() const {
  const auto open = std::count_if(slots_.begin(), slots_.end(), [](const State& s) { return s.generation % 2 == 1; });
  return {script_.kv_tokens - used_, script_.kv_tokens, script_.slots - static_cast<uint32_t>(open)};
}

NullDecoder::State* NullDecoder::find(Slot slot) {
  if (slot.index >= slots_.size()) return nullptr;
  State& state = slots_[slot.index];
  return state.generation == slot.generation && state.generation % 2 == 1 ? &state : nullptr;
}

Result<Slot> NullDecoder::open() {
  for (uint32_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].generation % 2 == 1) continue;
    slots_[i] = {.generation = slots_[i].generation + 1, .length = 0, .prompt = 0, .last_step = 0};
    return Slot{i, slots_[i].generation};
  }
  return Error{ErrorCode::kResourceExhausted, fmt::format("[null] a program has {} slots; got all of them open", slots_.size())};
}

void NullDecoder::close(Slot slot) {
  State* state = find(slot);
  if (!state) return;
  used_ -= state->length;
  ++state->generation;
}

uint32_t NullDecoder::length(Slot slot) const {
  const State* state = find(slot);
  return state ? state->length : 0;
}

Result<void> NullDecoder::truncate(Slot slot, uint32_t tokens) {
  State* state = find(slot);
  if (!state) return Error{ErrorCode::kFailedPrecondition, "[null] a slot is open while it is used; got a closed one"};
  if (tokens > state->length) return Error{ErrorCode::kOutOfRange, fmt::format("[null] a slot is cut to at most its {} tokens; got {}", state->length, tokens)};
  used_ -= state->length - tokens;
  state->length = tokens;
  if (tokens == 0) state->prompt = 0;
  return {};
}

Result<Slot> NullDecoder::fork(Slot slot, uint32_t tokens) {
  const State* from = find(slot);
  if (!from) return Error{ErrorCode::kFailedPrecondition, "[null] a slot is open while it is used; got a closed one"};
  if (tokens > from->length) return Error{ErrorCode::kOutOfRange, fmt::format("[null] a fork takes at most the slot's {} tokens; got {}", from->length, tokens)};
  if (used_ + tokens > script_.kv_tokens) return Error{ErrorCode::kResourceExhausted, "[null] no KV left for a fork"};
  ACC_TRY(const Slot fork, open());
  slots_[fork.index].length = tokens;
  slots_[fork.index].prompt = from->prompt;
  used_ += tokens;
  return fork;
}

/// Checks an input and appends its tokens to the slot.
Result<void> NullDecoder::take(const SlotInput& input) {
  State* state = find(input.slot);
  if (!state) return Error{ErrorCode::kFailedPrecondition, "[null] a slot is open while it is used; got a closed one"};
  if (state->last_step == steps_) return Error{ErrorCode::kInvalidArgument, "[null] a step names each slot once; got one again"};
  if (input.tokens.empty()) return Error{ErrorCode::kInvalidArgument, "[null] an input has at least one token; got none"};
  for (const uint32_t token : input.tokens) {
    if (token >= script_.vocabulary) return Error{ErrorCode::kInvalidArgument, fmt::format("[null] token ids are below {}; got {}", script_.vocabulary, token)};
  }
  if (state->length + input.tokens.size() > script_.context) {
    return Error{ErrorCode::kOutOfRange, fmt::format("[null] a sequence has at most {} tokens; got {}", script_.context, state->length + input.tokens.size())};
  }
  if (used_ + input.tokens.size() > script_.kv_tokens) {
    return Error{ErrorCode::kResourceExhausted, fmt::format("[null] KV for {} tokens is used up", script_.kv_tokens)};
  }
  if (faults_.now() == NullFault::kSlotError) return Error{ErrorCode::kInternal, "[null] scripted fault of the slot"};
  if (faults_.now() == NullFault::kNan) return Error{ErrorCode::kInternal, "[null] logits are numbers; got a scripted NaN"};
  state->last_step = steps_;
  if (state->length == 0) state->prompt = static_cast<uint32_t>(input.tokens.size());
  state->length += static_cast<uint32_t>(input.tokens.size());
  used_ += input.tokens.size();
  return {};
}

uint32_t NullDecoder::next_token(const State& state, uint32_t position, uint32_t token) const {
  if (script_.tokens.empty()) return (token + 1) % script_.vocabulary;
  if (position + 1 < state.prompt) return script_.tokens[0] % script_.vocabulary;  // inside the prompt
  const uint32_t said = position + 1 - state.prompt;
  return (said < script_.tokens.size() ? script_.tokens[said] : script_.end_token) % script_.vocabulary;
}

Result<void> NullDecoder::step(std::span<const SlotInput> inputs, std::span<SlotStatus> statuses, LogitsSink& sink, const StepControl& control) {
  CHECK(inputs.size() == statuses.size(), "one status for each input");
  ++steps_;
  for (SlotStatus& status : statuses) status.error.reset();
  ACC_TRY_VOID(faults_.begin(control));
  for (size_t i = 0; i < inputs.size(); ++i) {
    const SlotInput& input = inputs[i];
    if (auto taken = take(input); !taken) {
      statuses[i].error = taken.error();
      continue;
    }
    const State& state = *find(input.slot);
    const auto count = static_cast<uint32_t>(input.tokens.size());
    for (uint32_t t = 0; t < count; ++t) {
      if (!(input.want == Want::kAll || (input.want == Want::kLast && t + 1 == count))) continue;
      std::fill(row_.begin(), row_.end(), 0.0f);
      row_[next_token(state, state.length - count + t, input.tokens[t])] = kNullPeak;
      sink.row(i, t, row_);
    }
  }
  return {};
}

}  // namespace accelerate
