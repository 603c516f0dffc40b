// HostEncoder - an EncoderProgram on CPU threads: texts one behind another in batches of tokens, without padding.
//
// Pooling: mean of the last hidden rows, the first row (cls) or the last; then divided by its length (L2, at least
// kNormMin) where the model says so. A graph that ends in a head gives its scores of the first row instead. Inputs are checked before the first one runs: out_of_range names the limit.
#pragma once

#include <memory>
#include <vector>

#include "accelerate/host/executor.h"
#include "accelerate/host/host_program.h"
#include "accelerate/host/kv_cache.h"

namespace accelerate {

inline constexpr double kNormMin = 1e-12;  // the epsilon of PyTorch's normalize()

class HostEncoder final : public EncoderProgram {
 public:
  static Result<std::unique_ptr<HostEncoder>> create(HostParts parts);

  uint64_t memory_bytes() const override;
  std::vector<std::string> notes() const override { return parts_.sizing.notes; }
  EncoderLimits limits() const override;
  /// invalid_argument for an empty input or an unknown token, out_of_range for one that is too long, unimplemented for
  /// kPooled of a model without pooling and for what a head leaves out, internal for results that are no numbers.
  Result<void> encode(std::span<const EncoderInput> inputs, EncodeOutput output, MatrixSink& sink, const StepControl& control) override;

 private:
  explicit HostEncoder(HostParts parts) : parts_(std::move(parts)) {}
  Result<void> check(std::span<const EncoderInput> inputs, EncodeOutput output) const;
  size_t take_batch(std::span<const EncoderInput> inputs, size_t begin);
  Result<void> deliver(const Sequence& sequence, size_t input, EncodeOutput output, MatrixSink& sink);
  void pool(const Sequence& sequence, std::span<float> out) const;

  HostParts parts_;
  PagePool pages_;
  std::unique_ptr<Executor> executor_;
  std::vector<uint32_t> tokens_, page_numbers_;
  std::vector<Sequence> sequences_;
  std::vector<float> rows_;  // of the input being delivered
};

}  // namespace accelerate
