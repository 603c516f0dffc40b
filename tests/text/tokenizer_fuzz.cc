// libFuzzer: tokenizers from arbitrary bytes, then a short text through each, there and back. The input is a tokenizer.json
// (it begins with '{') or a GGUF vocabulary in lines: "model pre", then a token each as TYPE (1 to 6), SCORE and text, or a
// merge as "m left right". The text to encode stands behind a line "====".
//
//   build/asan/tokenizer_fuzz -max_total_time=60 NEW_FOLDER tests/text/corpus/tokenizer
#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "accelerate/base/check.h"
#include "accelerate/text/tokenizer.h"
#include "accelerate/text/utf8.h"

namespace accelerate {
namespace {

constexpr std::string_view kSeparator = "\n====\n";
constexpr std::string_view kText = "The cat's 12 caf\u00e9s\n\n  \u4f60\u597d <s>[CLS]</s> a\u0301";
constexpr size_t kTextBytesMax = 512;

std::string_view cut(std::string_view& input, std::string_view separator) {
  const size_t end = input.find(separator);
  const std::string_view part = input.substr(0, end);
  input.remove_prefix(end == std::string_view::npos ? input.size() : end + separator.size());
  return part;
}

TokenizerSpec spec_of(std::string_view file) {
  TokenizerSpec spec;
  if (file.starts_with('{')) {
    spec.tokenizer_json = file;
    return spec;
  }
  TokenizerSpec::Vocabulary vocabulary;
  std::string_view names = cut(file, "\n");
  vocabulary.model = cut(names, " ");
  vocabulary.pre = names;
  while (!file.empty()) {
    std::string_view rest = cut(file, "\n");
    const std::string_view type = cut(rest, " ");
    if (type == "m") {
      vocabulary.merges.emplace_back(rest);
      continue;
    }
    const std::string_view score = cut(rest, " ");
    float value = 0;
    std::from_chars(score.data(), score.data() + score.size(), value);
    const uint32_t number = type.empty() ? 0u : static_cast<unsigned char>(type.front()) - '1';
    vocabulary.tokens.emplace_back(rest);
    vocabulary.scores.push_back(value);
    vocabulary.types.push_back(static_cast<TokenizerSpec::TokenType>(number % 6 + 1));
  }
  vocabulary.add_space_prefix = vocabulary.tokens.size() % 2 == 0;
  if (!vocabulary.tokens.empty()) spec.bos = spec.unknown = 0;
  spec.vocabulary = std::move(vocabulary);
  return spec;
}

// A file that parses may still make the library panic over a text (a decoder that strips more than there is), which the
// edge turns into an error of kInternal: only what gets past the edge is a finding.
void check_refusal(const Error& error) { CHECK(!error.message.empty(), "a refusal says why"); }

void check_tokens(const Tokenizer& tokenizer, const std::vector<uint32_t>& ids) {
  for (const uint32_t id : ids) CHECK(id < tokenizer.size(), "ids are of the vocabulary");
  std::string added;
  for (const uint32_t id : ids) added += tokenizer.token_bytes(id);
  const std::string text = tokenizer.decode(ids, {.skip_special = false});
  if (!tokenizer.bytes_add_up()) return;
  CHECK(text == added || (tokenizer.strips_leading_space() && " " + text == added), "bytes add up");
}

void one(std::string_view input) {
  const std::string_view file = cut(input, kSeparator);
  const Result<std::shared_ptr<const Tokenizer>> made = Tokenizer::create(spec_of(file));
  if (!made) {
    CHECK(made.error().code != ErrorCode::kInternal, made.error().message);
    return check_refusal(made.error());
  }
  const Tokenizer& tokenizer = **made;
  const std::string text = utf8_repair(input.empty() ? kText : input.substr(0, kTextBytesMax));
  for (const bool special : {false, true}) {
    const Result<std::vector<uint32_t>> ids = tokenizer.encode(text, {.add_special = special, .parse_special = special});
    if (ids) check_tokens(tokenizer, *ids);
    if (!ids) check_refusal(ids.error());
  }
  const Result<PairTokens> pair = tokenizer.encode_pair(text, "a b", {.second_tokens_max = 1});
  if (!pair) check_refusal(pair.error());
  if (pair) CHECK(pair->second_begin <= pair->tokens.size(), "the second text begins inside");
  for (const uint32_t id : tokenizer.end_of_generation()) CHECK(id < tokenizer.size(), "ends are of the vocabulary");
  tokenizer.decode(std::vector<uint32_t>{0, 1, tokenizer.size() - 1, tokenizer.size(), UINT32_MAX});
}

}  // namespace
}  // namespace accelerate

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  accelerate::one({reinterpret_cast<const char*>(data), size});
  return 0;
}
