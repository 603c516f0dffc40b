// A GGUF vocabulary as the text of a tokenizer.json.
//
//   ACC_TRY(std::string json, gguf_tokenizer_json(*spec.vocabulary));
//
// "gpt2": byte-level BPE; the pre-tokenizer is chosen by tokenizer.ggml.pre. "bert": WordPiece, whose GGUF spelling
// (U+2581 at the start of words, no "##") is turned back. Control and unknown tokens become special added tokens,
// user-defined ones plain added tokens. "llama" (SentencePiece) is not handled here: see sentencepiece.h.
// Pure functions, thread-safe.
//
// Source of the patterns: the tokenizer.json files that the models' makers publish.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "accelerate/base/result.h"
#include "accelerate/core/model.h"

namespace accelerate {

/// Sizes agree, ids in range, every token UTF-8 of at most limits::kTokenBytesMax bytes; data_loss otherwise.
Result<void> check_gguf_vocabulary(const TokenizerSpec::Vocabulary& vocabulary);

/// unimplemented: a model or pre-tokenizer name that is not known, with the known ones; data_loss: no merges.
/// `vocabulary` passed check_gguf_vocabulary.
Result<std::string> gguf_tokenizer_json(const TokenizerSpec::Vocabulary& vocabulary);

/// Whether texts get a BOS (CLS) and an EOS (SEP) when the file does not say.
struct GgufSpecialDefaults {
  bool add_bos = false;
  bool add_eos = false;
};
GgufSpecialDefaults gguf_special_defaults(const TokenizerSpec::Vocabulary& vocabulary);

/// Names that gguf_tokenizer_json accepts in Vocabulary::pre, for "gpt2".
std::vector<std::string> gguf_pre_tokenizers();

}  // namespace accelerate
