// Next-token distributions of the real models against Transformers in float32 over the same dequantized weights.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>

#include "tests/conformance/bounds.h"
#include "tests/conformance/goldens.h"
#include "tests/conformance/harness.h"

namespace accelerate::conformance {
namespace {

// Plain C++ kernels need seconds a prompt; what they are to show is shown by a few.
constexpr uint32_t kPromptsPortable = 2;

// KL divergence from the golden to ours over the golden's k tokens and the rest as one bin.
double divergence(const TopkGolden& golden, size_t row, std::span<const float> logits) {
  const double total = log_sum_exp(logits);
  double kl = 0, ours_rest = 1;
  for (size_t i = 0; i < golden.k; ++i) {
    const double theirs = golden.logprobs[row * golden.k + i], ours = logits[golden.ids[row * golden.k + i]] - total;
    kl += std::exp(theirs) * (theirs - ours);
    ours_rest -= std::exp(ours);
  }
  const double rest = golden.rest[row];
  return rest > 0 ? kl + rest * (std::log(rest) - std::log(std::max(ours_rest, 1e-12))) : kl;
}

struct Agreement {
  size_t rows = 0, top1 = 0, wrong_beyond_margin = 0;
  double kl = 0, kl_max = 0;
  void add(const TopkGolden& golden, size_t row, std::span<const float> logits) {
    const double one = divergence(golden, row, logits);
    kl += one;
    kl_max = std::max(kl_max, one);
    ++rows;
    const auto best = static_cast<uint32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
    const bool equal = best == golden.ids[row * golden.k];
    top1 += equal;
    wrong_beyond_margin += !equal && golden.logprobs[row * golden.k] - golden.logprobs[row * golden.k + 1] > kMarginExact;
  }
  double mean_kl() const { return kl / double(rows); }
  double top1_share() const { return double(top1) / double(rows); }
};

class Logits : public BackendTest {
 protected:
  // Half of the prompts in one chunk, half token by token, all side by side: both shapes of every kernel take part.
  void measure(const std::string& name, Precision precision, Agreement& agreement) {
    const Result<std::shared_ptr<const Model>> model = open_real(name);
    if (!model) GTEST_SKIP() << model.error().message;
    const TopkGolden golden = topk_golden(name);
    const uint32_t prompts = is_portable() ? std::min(kPromptsPortable, golden.prompts) : golden.prompts;
    auto program = compile_decoder(GetParam(), *model, {.precision = precision, .context = golden.positions, .slots = prompts});
    ASSERT_TRUE(program) << to_string(program.error());
    ASSERT_EQ((*program)->vocabulary(), golden.vocabulary);
    std::vector<Walk> walks;
    for (uint32_t prompt = 0; prompt < prompts; ++prompt) {
      walks.push_back({.tokens = std::span(golden.tokens).subspan(size_t{prompt} * golden.positions, golden.positions),
                       .chunks = {prompt % 2 == 0 ? size_t{golden.positions} : size_t{1}}});
    }
    std::set<size_t> seen;
    const Result<void> ran = run_walks(**program, walks, [&](size_t walk, size_t position, std::span<const float> logits) {
      const size_t row = walk * golden.positions + position;
      EXPECT_TRUE(seen.insert(row).second) << "each row once";
      agreement.add(golden, row, logits);
    });
    ASSERT_TRUE(ran) << to_string(ran.error());
    ASSERT_EQ(agreement.rows, size_t{prompts} * golden.positions);
    std::printf("  %s %s %s %s: %u prompts, mean KL %.2e (largest %.2e), top-1 %.2f %%, %zu wrong beyond the margin\n", GetParam().c_str(),
                isa_here().c_str(), name.c_str(), precision == Precision::kExact ? "exact" : "default", prompts, agreement.mean_kl(),
                agreement.kl_max, 100 * agreement.top1_share(), agreement.wrong_beyond_margin);
  }

  void expect_exact(const std::string& name) {
    Agreement agreement;
    measure(name, Precision::kExact, agreement);
    if (IsSkipped() || HasFatalFailure()) return;
    EXPECT_LE(agreement.mean_kl(), kMeanKlExact);
    EXPECT_EQ(agreement.wrong_beyond_margin, 0u);
  }

  void expect_default(const std::string& name) {
    Agreement agreement;
    measure(name, Precision::kDefault, agreement);
    if (IsSkipped() || HasFatalFailure()) return;
    EXPECT_LE(agreement.mean_kl(), kMeanKlDefault);
    EXPECT_GE(agreement.top1_share(), kTop1Default);
  }
};

TEST_P(Logits, SmolLM2Exact) { expect_exact("smollm2"); }
TEST_P(Logits, SmolLM2Default) { expect_default("smollm2"); }
TEST_P(Logits, Gemma3Exact) { expect_exact("gemma3"); }
TEST_P(Logits, Gemma3Default) { expect_default("gemma3"); }

INSTANTIATE_TEST_SUITE_P(Backends, Logits, ::testing::ValuesIn(backend_names()));

}  // namespace
}  // namespace accelerate::conformance
