// The tokenizer files of a Hugging Face directory -> TokenizerSpec and chat template.
//
//   ACC_TRY(HfTokenizer tokenizer, read_hf_tokenizer(directory));
//
// tokenizer.json is taken as it is; tokenizer_config.json and special_tokens_map.json name the special tokens (as text
// or as object), whose ids come from tokenizer.json. Where there is only a vocab.txt (WordPiece), a vocabulary of GGUF's
// "bert" kind is built from it (lower case only: with do_lower_case false there is no tokenizer, and the log says so).
// The chat template is chat_template.jinja, else tokenizer_config.json's chat_template (of a list: the one named
// "default").
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "accelerate/base/result.h"
#include "accelerate/core/model.h"

namespace accelerate {

struct HfTokenizer {
  std::optional<TokenizerSpec> spec;  // nothing when the directory has no tokenizer
  std::string chat_template;          // empty = none
};

/// data_loss or invalid_argument for files that are there and broken.
Result<HfTokenizer> read_hf_tokenizer(const std::filesystem::path& directory);

/// vocab.txt (one token a line, continuations marked "##") -> a vocabulary as GGUF files hold it: words begin with
/// U+2581, continuations have no mark, tokens in [brackets] are control tokens.
TokenizerSpec wordpiece_spec(std::string_view vocab_txt);

}  // namespace accelerate
