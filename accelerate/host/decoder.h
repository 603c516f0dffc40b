// HostDecoder - a DecoderProgram on CPU threads: checks what is asked, cuts steps into batches, keeps KV whole.
//
// Inputs of any length: a step of more than kBatchTokensMax tokens runs as several batches. KV for all of a step is taken
// before it runs, so that an input either has room or is refused by its status. An input refused, out of KV or with logits
// that are no numbers leaves its slot as it was; rows its sink got before are void. When the call ends with cancelled or
// deadline_exceeded, every slot is as it was. Whole rows are given whatever top_k says.
#pragma once

#include <memory>
#include <vector>

#include "accelerate/host/executor.h"
#include "accelerate/host/host_program.h"
#include "accelerate/host/kv_cache.h"

namespace accelerate {

class HostDecoder final : public DecoderProgram {
 public:
  /// resource_exhausted without memory for the KV or the buffers. unimplemented for a plan without a KV cache.
  static Result<std::unique_ptr<HostDecoder>> create(HostParts parts);

  uint64_t memory_bytes() const override;
  std::vector<std::string> notes() const override { return parts_.sizing.notes; }
  uint32_t vocabulary() const override { return parts_.plan->head_columns; }
  DecoderLimits limits() const override;
  Capacity capacity() const override { return kv_->capacity(); }
  Result<Slot> open() override { return kv_->open(); }
  void close(Slot slot) override { kv_->close(slot); }
  uint32_t length(Slot slot) const override { return kv_->length(slot); }
  Result<void> truncate(Slot slot, uint32_t tokens) override { return kv_->truncate(slot, tokens); }
  Result<Slot> fork(Slot slot, uint32_t tokens) override { return kv_->fork(slot, tokens); }
  Result<void> step(std::span<const SlotInput> inputs, std::span<SlotStatus> statuses, LogitsSink& sink,
                    const StepControl& control) override;

 private:
  struct WantedRow {
    uint32_t row, input, token;
  };
  /// Where the next batch begins.
  struct Cursor {
    size_t input = 0, token = 0;
  };

  explicit HostDecoder(HostParts parts) : parts_(std::move(parts)) {}
  Result<void> admit(const SlotInput& input);
  Batch next_batch(std::span<const SlotInput> inputs, std::span<const SlotStatus> statuses, Cursor& cursor);
  void deliver(std::span<SlotStatus> statuses, LogitsSink& sink);
  void settle(std::span<const SlotInput> inputs, std::span<const SlotStatus> statuses, bool whole);

  HostParts parts_;
  std::unique_ptr<KvCache> kv_;
  std::unique_ptr<Executor> executor_;
  // of a step; with room for the largest batch
  std::vector<uint32_t> tokens_, wanted_now_;
  std::vector<Sequence> sequences_;
  std::vector<WantedRow> wanted_;
  std::vector<uint64_t> used_in_step_;  // per slot: the last step that named it
  uint64_t steps_ = 0;
};

}  // namespace accelerate
