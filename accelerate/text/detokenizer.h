// Detokenizer - ids to text as they come, in whole characters.
//
//   Detokenizer detokenizer(tokenizer, {.continues_text = true});
//   for (uint32_t id : answer) send(detokenizer.push(id));
//   send(detokenizer.finish());
//
// All pieces together are utf8_repair(tokenizer->decode(ids)), however the ids are cut, with one exception that
// `continues_text` asks for. A piece is empty while a character is still open. Not thread-safe; one a stream; keeps the
// tokenizer alive.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "accelerate/text/tokenizer.h"
#include "accelerate/text/utf8.h"

namespace accelerate {

struct DetokenizerOptions {
  bool skip_special = true;     // control tokens give no text
  /// The ids follow other text (a raw prompt), so a space that a SentencePiece vocabulary puts at the start of a text is
  /// a real space here and stays.
  bool continues_text = false;
  std::vector<uint32_t> kept_special;  // control tokens that do give their text: the words around tool calls
};

class Detokenizer {
 public:
  explicit Detokenizer(std::shared_ptr<const Tokenizer> tokenizer, DetokenizerOptions options = {});

  /// Text that became complete with `id`. An id outside the vocabulary gives none.
  std::string push(uint32_t id);
  /// The rest: an open character becomes U+FFFD.
  std::string finish();

 private:
  std::string push_decoded(uint32_t id);

  std::shared_ptr<const Tokenizer> tokenizer_;
  DetokenizerOptions options_;
  Utf8Assembler utf8_;
  bool at_start_;
  std::vector<uint32_t> ids_;  // only where token bytes do not add up to the text (WordPiece)
  size_t emitted_bytes_ = 0;   // of the text decoded from ids_
};

}  // namespace accelerate
