// A SentencePiece tokenizer of ten tokens: control tokens, bytes that make one character together, spaces.
#pragma once

#include <memory>

#include "accelerate/text/tokenizer.h"

namespace accelerate {

inline std::shared_ptr<const Tokenizer> spaced_tokenizer() {
  TokenizerSpec spec;
  spec.vocabulary = TokenizerSpec::Vocabulary{};
  spec.vocabulary->model = "llama";
  spec.vocabulary->tokens = {"<unk>", "<s>", "</s>", "<0xE4>", "<0xBD>", "<0xA0>", "▁", "a", "▁a", "</turn>"};
  spec.vocabulary->scores = {0, 0, 0, 0, 0, 0, -1, -2, -3, 0};
  using enum TokenizerSpec::TokenType;
  spec.vocabulary->types = {kUnknown, kControl, kControl, kByte, kByte, kByte, kNormal, kNormal, kNormal, kControl};
  spec.bos = 1;
  spec.eos = 2;
  return *Tokenizer::create(spec);
}

}  // namespace accelerate
