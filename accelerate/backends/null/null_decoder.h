// A DecoderProgram that answers by a NullScript. KV is a count of tokens shared by all slots.
#pragma once

#include <vector>

#include "accelerate/backends/null/null_faults.h"

namespace accelerate {

class NullDecoder final : public DecoderProgram {
 public:
  explicit NullDecoder(NullScript script);

  uint64_t memory_bytes() const override { return 0; }
  std::vector<std::string> notes() const override { return {"scripted answers"}; }
  uint32_t vocabulary() const override { return script_.vocabulary; }
  DecoderLimits limits() const override;
  Capacity capacity() const override;
  Result<Slot> open() override;
  void close(Slot slot) override;
  uint32_t length(Slot slot) const override;
  Result<void> truncate(Slot slot, uint32_t tokens) override;
  Result<Slot> fork(Slot slot, uint32_t tokens) override;
  Result<void> step(std::span<const SlotInput> inputs, std::span<SlotStatus> statuses, LogitsSink& sink,
                    const StepControl& control) override;

 private:
  static constexpr uint32_t kBatchTokensMax = 512;

  struct State {
    uint32_t generation = 0;  // odd while open
    uint32_t length = 0;
    uint32_t prompt = 0;      // tokens of the first input: where the script begins
    uint64_t last_step = 0;
  };
  State* find(Slot slot);
  const State* find(Slot slot) const { return const_cast<NullDecoder*>(this)->find(slot); }
  Result<void> take(const SlotInput& input);
  uint32_t next_token(const State& state, uint32_t position, uint32_t token) const;

  NullScript script_;
  NullFaults faults_;
  std::vector<State> slots_;
  std::vector<float> row_;
  uint64_t used_ = 0, steps_ = 0;
};

}  // namespace accelerate
