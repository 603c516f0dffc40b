// Quality - what quantizing cost: the same tokens through the weights as they were and as they are.
//
//   ACC_TRY(QualityChange change, measure_quality({.before = f16, .after = q4, .backend = cpu, .device = device}, progress, control));
//   print(change.kl_mean, change.perplexity_before, change.perplexity_after);
//
// Both run with float32 arithmetic (Precision::kExact) on `backend`, one after the other, so that weights alone differ. A
// decoder reads the parity probe's text, teacher-forced, and every row of logits is compared; an encoder the probe's texts.
// Perplexity is exp of the mean negative log-likelihood of the next token. A small sample: it says whether a model was
// broken or bent, not how well it answers.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "accelerate/core/backend.h"
#include "accelerate/engine/logits_comparison.h"

namespace accelerate {

inline constexpr uint32_t kQualityTokensMax = 256;  // fewer where the rows of one model would take more than kReferenceBytesMax

struct QualityChange {
  LogitsComparison numbers;  // rows, KL, top-1 agreement, cosine distance; of encoders the last and the rows only
  std::optional<double> perplexity_before, perplexity_after;  // of decoders that have a tokenizer
  std::vector<std::string> notes;
};

struct QualityRequest {
  std::shared_ptr<const Model> before, after;  // with their graphs
  Backend* backend = nullptr;                  // not owned
  Device device;
  uint32_t threads = 0;                        // 0 = the backend's default
};

/// unimplemented where the outputs can not be compared; cancelled when `progress` or `control` asked for a stop; what
/// compiling and stepping say.
Result<QualityChange> measure_quality(const QualityRequest& request, Progress& progress, const StepControl& control);

}  // namespace accelerate
