// An EncoderProgram with vectors made from token ids: the same for the same text, different for others.
#pragma once

#include <vector>

#include "accelerate/backends/null/null_faults.h"

namespace accelerate {

class NullEncoder final : public EncoderProgram {
 public:
  explicit NullEncoder(NullScript script) : script_(std::move(script)), faults_(script_) {}

  uint64_t memory_bytes() const override { return 0; }
  std::vector<std::string> notes() const override { return {"scripted vectors"}; }
  EncoderLimits limits() const override;
  Result<void> encode(std::span<const EncoderInput> inputs, EncodeOutput output, MatrixSink& sink, const StepControl& control) override;

 private:
  NullScript script_;
  NullFaults faults_;
  std::vector<float> rows_;
};

}  // namespace accelerate
