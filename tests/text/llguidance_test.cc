// Smoke test of the llguidance part of the Rust library: it is linked, takes our token bytes, and masks by a schema.
#include <llguidance.h>

#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/text/real_tokenizers.h"

namespace accelerate {
namespace {

size_t tokenize(const void* user, const uint8_t* bytes, size_t size, uint32_t* ids, size_t capacity) {
  const auto& tokenizer = *static_cast<const Tokenizer*>(user);
  const std::string_view text(reinterpret_cast<const char*>(bytes), size);
  const auto encoded = tokenizer.encode(text, {.add_special = false, .replace_invalid_utf8 = true});
  if (!encoded) return 0;
  std::copy_n(encoded->begin(), std::min(capacity, encoded->size()), ids);
  return encoded->size();
}

TEST(Llguidance, MasksTokensByAJsonSchema) {
  ACC_REAL_TOKENIZER_OR_SKIP(tokenizer, "smollm2");
  std::vector<uint32_t> lengths;
  std::string bytes;
  for (uint32_t id = 0; id < tokenizer->size(); ++id) {
    // A leading 0xFF marks a token that is not text, as llguidance.h asks.
    const std::string token = (tokenizer->is_control(id) ? "\xFF" : "") + std::string(tokenizer->token_bytes(id));
    lengths.push_back(static_cast<uint32_t>(token.size()));
    bytes += token;
  }
  LlgTokenizerInit init{};
  init.vocab_size = tokenizer->size();
  init.tok_eos = *tokenizer->eos();
  init.token_lens = lengths.data();
  init.token_bytes = reinterpret_cast<const uint8_t*>(bytes.data());
  init.tokenize_fn = tokenize;
  init.tokenize_user_data = tokenizer.get();
  init.tokenize_assumes_string = true;
  char error[256] = "";
  const std::unique_ptr<LlgTokenizer, decltype(&llg_free_tokenizer)> llg(llg_new_tokenizer(&init, error, sizeof error), &llg_free_tokenizer);
  ASSERT_NE(llg, nullptr) << error;
  LlgConstraintInit constraint{};
  llg_constraint_init_set_defaults(&constraint, llg.get());
  const std::unique_ptr<LlgMatcher, decltype(&llg_free_matcher)> matcher(
      llg_new_matcher(&constraint, "json_schema", R"({"enum": ["yes", "no"]})"), &llg_free_matcher);
  ASSERT_EQ(llg_matcher_get_error(matcher.get()), nullptr);
  std::vector<uint32_t> mask((tokenizer->size() + 31) / 32);
  ASSERT_EQ(llg_matcher_compute_mask_into(matcher.get(), mask.data(), llg_matcher_get_mask_byte_size(matcher.get())), 0);
  const auto allowed = [&](std::string_view text) {
    const uint32_t id = *tokenizer->find(text);
    return (mask[id / 32] >> (id % 32) & 1) != 0;
  };
  EXPECT_TRUE(allowed("\""));
  EXPECT_FALSE(allowed("{"));
  EXPECT_FALSE(allowed("yes"));
}

}  // namespace
}  // namespace accelerate
