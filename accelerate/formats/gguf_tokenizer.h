// The vocabulary inside a GGUF file -> TokenizerSpec.
//
//   ACC_TRY(std::optional<TokenizerSpec> spec, tokenizer_from_gguf(gguf));
//
// Reads the tokenizer.ggml.* keys. Tokens that end a turn by their names alone are text/tokenizer.h's to find.
#pragma once

#include <cstdint>
#include <optional>

#include "accelerate/base/result.h"
#include "accelerate/core/model.h"
#include "accelerate/formats/gguf.h"

namespace accelerate {

inline constexpr uint64_t kGgufTokensMax = uint64_t{1} << 22;  // and merges; the largest known vocabulary has 262 144

/// Owned copies. Nothing when the file has no token list. data_loss when lists disagree in length, an id lies outside
/// the vocabulary or a value has the wrong type.
Result<std::optional<TokenizerSpec>> tokenizer_from_gguf(const GgufFile& gguf);

}  // namespace accelerate
