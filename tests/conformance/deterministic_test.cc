// CompileOptions::deterministic: a sequence's logits are the same bits alone, beside seven others, under any cut of its
// prompt, and behind a fork of another sequence.

#include <cstring>

#include "tests/conformance/goldens.h"
#include "tests/conformance/harness.h"

namespace accelerate::conformance {
namespace {

constexpr size_t kTokens = 90, kTokensPortable = 24, kOthers = 7;  // more than any kernel takes in place

std::vector<uint32_t> some_tokens(size_t count, uint32_t vocabulary, uint32_t seed) {
  std::vector<uint32_t> tokens;
  for (uint32_t state = seed * 2654435761u + 1; tokens.size() < count;) {
    state = state * 1664525u + 1013904223u;
    tokens.push_back((state >> 8) % vocabulary);
  }
  return tokens;
}

class Deterministic : public BackendTest {
 protected:
  void expect_same_bits(const std::shared_ptr<const Model>& model, size_t tokens_max) {
    const CompileOptions options{.deterministic = true, .context = 256, .kv_tokens = 4096, .slots = 1 + kOthers};
    auto compiled = compile_decoder(GetParam(), model, options);
    ASSERT_TRUE(compiled) << to_string(compiled.error());
    DecoderProgram& program = **compiled;
    const size_t count = std::min<size_t>(tokens_max, program.limits().context_max - 1);
    const std::vector<uint32_t> tokens = some_tokens(count, program.vocabulary(), 1);
    std::vector<Walk> alone = {{.tokens = tokens, .chunks = {count}}};
    ASSERT_TRUE(collect_walks(program, alone));
    const auto expect_equal = [&](const std::vector<float>& got, const char* what) {
      ASSERT_EQ(got.size(), alone[0].logits.size());
      EXPECT_EQ(0, std::memcmp(got.data(), alone[0].logits.data(), got.size() * sizeof(float))) << what;
    };
    for (const std::vector<size_t>& chunks : {std::vector<size_t>{37}, std::vector<size_t>{count - 10, 1}, std::vector<size_t>{3, 1, 65, 2}}) {
      std::vector<Walk> cut = {{.tokens = tokens, .chunks = chunks}};
      ASSERT_TRUE(collect_walks(program, cut));
      expect_equal(cut[0].logits, "cut otherwise");
    }
    std::vector<std::vector<uint32_t>> others;
    for (uint32_t i = 0; i < kOthers; ++i) others.push_back(some_tokens(count - 3 * i, program.vocabulary(), 2 + i));
    std::vector<Walk> batch = {{.tokens = tokens, .chunks = {40, 1}}};
    for (uint32_t i = 0; i < kOthers; ++i) batch.push_back({.tokens = others[i], .chunks = {7 + 9 * i, 1}});
    ASSERT_TRUE(collect_walks(program, batch));
    expect_equal(batch[0].logits, "beside seven others");
    if (program.limits().fork == ForkKind::kNone) return;
    const size_t shared = count / 2 + 3;
    const Slot slot = *program.open();
    std::vector<uint32_t> other_end(tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(shared));
    other_end.insert(other_end.end(), {0, 1, 2});
    ASSERT_TRUE(step_one(program, slot, other_end, Want::kNone, [](size_t, size_t, std::span<const float>) {}));
    const Slot fork = *program.fork(slot, static_cast<uint32_t>(shared));
    std::vector<float> behind(alone[0].logits.begin(), alone[0].logits.begin() + static_cast<std::ptrdiff_t>(shared * program.vocabulary()));
    ASSERT_TRUE(step_one(program, fork, std::span(tokens).subspan(shared), Want::kAll,
                         [&](size_t, size_t, std::span<const float> row) { behind.insert(behind.end(), row.begin(), row.end()); }));
    expect_equal(behind, "behind a fork");
  }
  void expect_same_bits_of_real(const std::string& name) {
    if (is_portable()) return expect_same_bits(open_fixture("llama_q8_0.gguf"), kTokensPortable);  // the real ones take minutes
    const Result<std::shared_ptr<const Model>> model = open_real(name);
    if (!model) GTEST_SKIP() << model.error().message;
    expect_same_bits(*model, kTokens);
  }
};

TEST_P(Deterministic, Fixtures) {
  for (const DecoderGolden& golden : decoder_goldens()) {
    SCOPED_TRACE(golden.model);
    expect_same_bits(open_fixture(golden.model), is_portable() ? kTokensPortable : kTokens);
  }
}
TEST_P(Deterministic, SmolLM2) { expect_same_bits_of_real("smollm2"); }
TEST_P(Deterministic, Gemma3) { expect_same_bits_of_real("gemma3"); }

INSTANTIATE_TEST_SUITE_P(Backends, Deterministic, ::testing::ValuesIn(backend_names()));

}  // namespace
}  // namespace accelerate::conformance
