// rope_freqs.weight - Llama 3.x GGUF files carry their rope scaling as a tensor of divisors, one per frequency, instead
// of in the metadata. This turns it back into the named formula.
//
//   ACC_TRY(RopeConfig rope, rope_from_factors(tensor, config.rope, rotated));
//
// Formula and constants: "llama3" rope scaling of the released Llama 3.1 to 3.3 config.json files (low and high
// frequency factor 1 and 4, original context 8192; factor 8 or 32).
#pragma once

#include <cstdint>

#include "accelerate/base/result.h"
#include "accelerate/core/model.h"
#include "accelerate/core/tensor.h"

namespace accelerate {

/// `plain` with llama3 scaling when the divisors are that formula's within 1e-4, unchanged when all are 1; otherwise
/// unimplemented naming the tensor. data_loss when it is not F32 with `rotated` / 2 values.
Result<RopeConfig> rope_from_factors(const TensorView& tensor, const RopeConfig& plain, uint32_t rotated);

}  // namespace accelerate
