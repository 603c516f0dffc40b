#include "accelerate/text/detokenizer.h"

#include <algorithm>
#include <utility>

#include "accelerate/base/check.h"

namespace accelerate {

Detokenizer::Detokenizer(std::shared_ptr<const Tokenizer> tokenizer, DetokenizerOptions options)
    : tokenizer_(std::move(tokenizer)), options_(std::move(options)), at_start_(!options_.continues_text) {
  CHECK(tokenizer_ != nullptr, "a detokenizer needs a tokenizer");
}

std::string Detokenizer::push(uint32_t id) {
  if (!tokenizer_->bytes_add_up()) return push_decoded(id);
  const auto kept = [&] { return std::find(options_.kept_special.begin(), options_.kept_special.end(), id) != options_.kept_special.end(); };
  if (options_.skip_special && tokenizer_->is_control(id) && !kept()) return {};
  std::string_view bytes = tokenizer_->token_bytes(id);
  if (bytes.empty()) return {};
  if (at_start_ && tokenizer_->strips_leading_space() && bytes.front() == ' ') bytes.remove_prefix(1);
  at_start_ = false;
  return utf8_.push(bytes);
}

/// WordPiece joins tokens by rules that look at both sides of a border. Decoding all again each time is quadratic, which
/// is fine for vocabularies that no generating model uses.
std::string Detokenizer::push_decoded(uint32_t id) {
  ids_.push_back(id);
  const std::string whole = tokenizer_->decode(ids_, {.skip_special = options_.skip_special});
  if (whole.size() <= emitted_bytes_) return {};
  std::string piece = whole.substr(emitted_bytes_);
  emitted_bytes_ = whole.size();
  return piece;
}

std::string Detokenizer::finish() { return utf8_.finish(); }

}  // namespace accelerate
