// Perplexity of a public-domain text against Transformers in float32: what rounding adds up to over whole windows.

#include <cmath>
#include <cstdio>

#include "tests/conformance/bounds.h"
#include "tests/conformance/goldens.h"
#include "tests/conformance/harness.h"

namespace accelerate::conformance {
namespace {

class Perplexity : public BackendTest {
 protected:
  void expect_golden(const std::string& name, Precision precision) {
    const Result<std::shared_ptr<const Model>> model = open_real(name);
    if (!model) GTEST_SKIP() << model.error().message;
    PerplexityGolden golden = perplexity_golden(name);
    // Plain C++ kernels take a minute for the whole text: they score it once, and elsewhere the last window, the shortest.
    const bool whole = !is_portable() || (name == "smollm2" && precision == Precision::kDefault);
    if (!whole) golden.windows.erase(golden.windows.begin(), golden.windows.end() - 1);
    auto program = compile_decoder(GetParam(), *model, {.precision = precision, .context = 512, .slots = 1});
    ASSERT_TRUE(program) << to_string(program.error());
    double nll = 0, golden_nll = 0;
    uint32_t scored = 0;
    for (const PerplexityGolden::Window& window : golden.windows) {
      const Walk walk{.tokens = window.tokens, .chunks = {window.tokens.size()}};
      const Result<void> ran = run_walks(**program, {&walk, 1}, [&](size_t, size_t position, std::span<const float> logits) {
        if (position + 1 < window.tokens.size()) nll += log_sum_exp(logits) - logits[window.tokens[position + 1]];
      });
      ASSERT_TRUE(ran) << to_string(ran.error());
      golden_nll += window.nll;
      scored += window.scored;
    }
    const double ours = std::exp(nll / scored), theirs = std::exp(golden_nll / scored);
    std::printf("  %s %s %s %s: %zu windows, %u tokens: perplexity %.4f, Transformers %.4f (%+.3f %%)\n", GetParam().c_str(), isa_here().c_str(),
                name.c_str(), precision == Precision::kExact ? "exact" : "default", golden.windows.size(), scored, ours, theirs,
                100 * (ours / theirs - 1));
    EXPECT_NEAR(ours / theirs, 1, kPerplexityError);
  }
};

TEST_P(Perplexity, SmolLM2Exact) { expect_golden("smollm2", Precision::kExact); }
TEST_P(Perplexity, SmolLM2Default) { expect_golden("smollm2", Precision::kDefault); }
TEST_P(Perplexity, Gemma3Default) { expect_golden("gemma3", Precision::kDefault); }

INSTANTIATE_TEST_SUITE_P(Backends, Perplexity, ::testing::ValuesIn(backend_names()));

}  // namespace
}  // namespace accelerate::conformance
