// quantize_gguf - a GGUF file to a smaller one, tensor by tensor in little memory.
//
//   ACC_TRY(QuantizedFile done, quantize_gguf("f16.gguf", "q4.gguf", {.type = DType::kQ4_K, .threads = 2}, progress));
//   print(done.bytes_before, done.bytes_after, done.plan.notes());
//
// What each tensor becomes is core/quantization.h's business. All metadata is kept, byte for byte and in order, but for
// general.file_type and general.quantization_version, which say what the file now is. OUT appears whole or not at all.
#pragma once

#include <cstdint>
#include <filesystem>

#include "accelerate/base/result.h"
#include "accelerate/core/backend.h"
#include "accelerate/core/quantization.h"

namespace accelerate {

struct QuantizeOptions {
  DType type = DType::kQ4_K;  // a weight type
  uint32_t threads = 1;
  bool replace = false;       // an existing OUT
};

struct QuantizedFile {
  uint64_t bytes_before = 0, bytes_after = 0;  // of the files
  QuantizationPlan plan;
};

/// invalid_argument naming the tensor and value when a weight is NaN, infinite or too large for the type, when IN is no
/// GGUF or IN and OUT are one file; already_exists; cancelled when `progress` asked for a stop; and what reading and writing
/// say. An error leaves no OUT (and an existing one as it was).
Result<QuantizedFile> quantize_gguf(const std::filesystem::path& in, const std::filesystem::path& out, const QuantizeOptions& options,
                                    Progress& progress);

}  // namespace accelerate
