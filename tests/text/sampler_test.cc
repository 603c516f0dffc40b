#include "accelerate/text/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <set>
#include <vector>

#include <gtest/gtest.h>

namespace accelerate {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> random_logits(size_t count, uint32_t seed, float spread = 3.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> logits(count);
  for (float& logit : logits) logit = normal(random);
  return logits;
}

// The definition in the header, by full sorts in double.
std::vector<double> reference_distribution(const std::vector<float>& logits, const SamplingOptions& options) {
  std::vector<uint32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; });
  std::vector<double> p(logits.size());
  for (size_t i = 0; i < p.size(); ++i) {
    p[i] = std::exp((static_cast<double>(logits[i]) - logits[order[0]]) / options.temperature);
  }
  size_t keep = order.size();
  if (options.top_k != 0) keep = std::min<size_t>(keep, options.top_k);
  const auto sum_of = [&](size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; ++i) sum += p[order[i]];
    return sum;
  };
  if (options.top_p < 1) {
    const double wanted = options.top_p * sum_of(keep);
    size_t count = 1;
    while (count < keep && sum_of(count) < wanted) ++count;
    keep = count;
  }
  while (keep > 1 && p[order[keep - 1]] < options.min_p * p[order[0]]) --keep;
  const double total = sum_of(keep);
  std::vector<double> result(p.size(), 0);
  for (size_t i = 0; i < keep; ++i) result[order[i]] = p[order[i]] / total;
  return result;
}

void expect_follows(const std::vector<float>& logits, const SamplingOptions& options) {
  const std::vector<double> expected = reference_distribution(logits, options);
  Sampler sampler(options, 12345);
  constexpr int kDraws = 20000;
  std::vector<int> counts(logits.size(), 0);
  for (int i = 0; i < kDraws; ++i) ++counts[sampler.sample(logits).value()];
  for (size_t token = 0; token < logits.size(); ++token) {
    if (expected[token] == 0) {
      EXPECT_EQ(counts[token], 0) << "token " << token << " was cut";
    }
    const double mean = expected[token] * kDraws;
    const double deviation = std::sqrt(mean * (1 - expected[token]));
    EXPECT_NEAR(counts[token], mean, 5 * deviation + 1e-9) << "token " << token;
  }
}

TEST(Sampler, FollowsTheDocumentedDistribution) {
  const std::vector<float> logits = random_logits(40, 3, 1.5f);
  expect_follows(logits, {.temperature = 1.0f});
  expect_follows(logits, {.temperature = 0.6f});
  expect_follows(logits, {.temperature = 2.5f});
  expect_follows(logits, {.temperature = 1.0f, .top_k = 5});
  expect_follows(logits, {.temperature = 1.0f, .top_p = 0.8f});
  expect_follows(logits, {.temperature = 1.0f, .min_p = 0.2f});
  expect_follows(logits, {.temperature = 1.3f, .top_p = 0.7f, .min_p = 0.15f, .top_k = 12});
}

// The exact set that stays, over many shapes: what a count of draws could miss.
TEST(Sampler, KeepsExactlyTheReferencesTokens) {
  std::mt19937 random(11);
  for (int round = 0; round < 60; ++round) {
    const std::vector<float> logits = random_logits(24, static_cast<uint32_t>(round), 1.0f);
    SamplingOptions options{.temperature = 0.5f + static_cast<float>(random() % 20) / 10};
    options.top_p = static_cast<float>(1 + random() % 99) / 100;
    options.top_k = random() % 2 ? 1 + random() % 24 : 0;
    options.min_p = random() % 2 ? static_cast<float>(random() % 60) / 100 : 0;
    const std::vector<double> expected = reference_distribution(logits, options);
    std::set<uint32_t> allowed, seen;
    for (uint32_t i = 0; i < expected.size(); ++i) {
      if (expected[i] > 0) allowed.insert(i);
    }
    Sampler sampler(options, static_cast<uint64_t>(round));
    for (int i = 0; i < 3000; ++i) seen.insert(sampler.sample(logits).value());
    for (const uint32_t token : seen) EXPECT_TRUE(allowed.count(token)) << "round " << round;
    for (const uint32_t token : allowed) {
      if (expected[token] > 0.005) {
        EXPECT_TRUE(seen.count(token)) << "round " << round;
      }
    }
  }
}

TEST(Sampler, GreedyTakesTheLowestIdOfTheLargest) {
  Sampler sampler({.temperature = 0}, 1);
  const std::vector<float> logits = {0.5f, 2.0f, -1.0f, 2.0f};
  for (int i = 0; i < 3; ++i) EXPECT_EQ(sampler.sample(logits).value(), 1u);
}

TEST(Sampler, EqualLogitsRankById) {
  Sampler sampler({.temperature = 1, .top_k = 2}, 1);
  const std::vector<float> logits = {1.0f, 1.0f, 1.0f, 1.0f};
  for (int i = 0; i < 200; ++i) EXPECT_LT(sampler.sample(logits).value(), 2u);
}

TEST(Sampler, LogSumExpIsThatOfTheWholeRow) {
  std::vector<float> logits = random_logits(1000, 5);
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
  EXPECT_NEAR(log_sum_exp(logits), std::log(sum), 1e-6);
  for (float& logit : logits) logit += 500;  // beyond what exp can hold
  EXPECT_NEAR(log_sum_exp(logits), 500 + std::log(sum), 1e-4);
}

TEST(Sampler, SameSeedSameTokens) {
  const std::vector<float> logits = random_logits(500, 8);
  Sampler a({.temperature = 1}, 77), b({.temperature = 1}, 77), c({.temperature = 1}, 78);
  std::vector<uint32_t> from_a, from_b, from_c;
  for (int i = 0; i < 50; ++i) {
    from_a.push_back(a.sample(logits).value());
    from_b.push_back(b.sample(logits).value());
    from_c.push_back(c.sample(logits).value());
  }
  EXPECT_EQ(from_a, from_b);
  EXPECT_NE(from_a, from_c);
}

// First outputs of xoshiro256** seeded by SplitMix64(0), computed independently with arbitrary-precision integers.
TEST(RandomSequence, MatchesThePublishedGenerator) {
  RandomSequence random(0);
  EXPECT_EQ(random.next(), 11091344671253066420u);
  EXPECT_EQ(random.next(), 13793997310169335082u);
  EXPECT_EQ(random.next(), 1900383378846508768u);
}

TEST(Sampler, ExcludedTokensAreNeverTaken) {
  const std::vector<float> logits = {-kInfinity, 0.0f, -kInfinity, 0.0f};
  Sampler sampler({.temperature = 100}, 3);
  for (int i = 0; i < 500; ++i) EXPECT_EQ(sampler.sample(logits).value() % 2, 1u);
}

TEST(Sampler, TinyTemperatureIsGreedy) {
  const std::vector<float> logits = {1.0f, 1.5f, -kInfinity, 1.4f};
  Sampler sampler({.temperature = 1e-30f}, 3);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(sampler.sample(logits).value(), 1u);
}

TEST(Sampler, BrokenRowsAreErrors) {
  Sampler sampler({.temperature = 1}, 3);
  const std::vector<std::vector<float>> rows = {
      {}, {-kInfinity, -kInfinity}, {0.0f, std::nanf("")}, {std::nanf(""), 0.0f}, {0.0f, kInfinity}};
  for (const std::vector<float>& row : rows) {
    const Result<uint32_t> sampled = sampler.sample(row);
    ASSERT_FALSE(sampled.ok());
    EXPECT_EQ(sampled.error().code, ErrorCode::kInternal);
  }
}

TEST(Sampler, OptionsOutsideTheirRangeAreRefused) {
  const float nan = std::nanf("");
  for (const SamplingOptions& options : std::vector<SamplingOptions>{
           {.temperature = -1}, {.temperature = nan}, {.temperature = 101}, {.top_p = 0}, {.top_p = 1.1f}, {.top_p = nan},
           {.min_p = -0.1f}, {.min_p = 1.1f}, {.min_p = nan}, {.frequency_penalty = 2.1f}, {.frequency_penalty = nan},
           {.presence_penalty = -2.1f}, {.repetition_penalty = 0}, {.repetition_penalty = 11}, {.repetition_penalty = nan},
           {.logit_bias = {{1, 101.0f}}}, {.logit_bias = {{1, nan}}},
           {.logit_bias = std::vector<std::pair<uint32_t, float>>(kLogitBiasMax + 1, {1, 1.0f})}}) {
    const Result<void> checked = check_sampling(options);
    ASSERT_FALSE(checked.ok());
    EXPECT_EQ(checked.error().code, ErrorCode::kInvalidArgument);
  }
  EXPECT_TRUE(check_sampling({}).ok());
}

}  // namespace
}  // namespace accelerate
