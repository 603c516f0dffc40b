#include "accelerate/text/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include <fmt/format.h>

#include "accelerate/base/check.h"

namespace accelerate {
namespace {

constexpr float kSmallestExponent = -87.0f;  // below, exp leaves the normal floats
constexpr float kNoWeight = 2e-38f;          // exp(-87) is 1.6e-38: a weight up to this counts as none

/// exp(max(x, -87)) for x <= 0 within 2 ulp: 2^n * e^r with |r| <= ln(2)/2 and e^r by its Taylor polynomial of degree 7.
/// Ours, so that every C library samples the same token. Without branches, so that the compiler vectorizes loops over it:
/// among negative floats a larger magnitude has larger bits, which makes the clamp an integer minimum.
inline float exp_nonpositive(float x) {
  const float clamped = std::bit_cast<float>(std::min(std::bit_cast<uint32_t>(x), std::bit_cast<uint32_t>(kSmallestExponent)));
  // Adding 1.5 * 2^23 rounds to an integer, which then stands in the low bits.
  const float shifted = clamped * 1.44269504f + 12582912.0f;
  const float n = shifted - 12582912.0f;
  const float r = (clamped - n * 0.693145752f) - n * 1.42860677e-6f;  // ln 2 in two parts
  float p = 1.0f / 5040.0f;
  p = p * r + 1.0f / 720.0f;
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(p) + (std::bit_cast<uint32_t>(shifted) << 23));
}

constexpr size_t kLanes = 16;   // independent running values: one chain of additions would wait 4 cycles for each
constexpr size_t kBlock = 256;  // weights of a block stay in L1 between the loop that makes and the one that adds them

/// The largest logit, or NaN where the row is broken: any NaN or +inf, or nothing finite.
float largest_logit(std::span<const float> logits) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  float largest[kLanes];
  std::fill_n(largest, kLanes, -kInfinity);
  uint32_t sound = 0;
  for (const float logit : logits) sound += static_cast<uint32_t>(logit < kInfinity);
  size_t i = 0;
  for (; i + kLanes <= logits.size(); i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) {
      largest[lane] = logits[i + lane] > largest[lane] ? logits[i + lane] : largest[lane];
    }
  }
  for (; i < logits.size(); ++i) largest[0] = std::max(largest[0], logits[i]);
  const float best = *std::max_element(largest, largest + kLanes);
  return sound != logits.size() || best == -kInfinity ? std::numeric_limits<float>::quiet_NaN() : best;
}

void add_to(double (&sums)[kLanes], std::span<const float> values) {
  size_t i = 0;
  for (; i + kLanes <= values.size(); i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) sums[lane] += values[i + lane];
  }
  for (; i < values.size(); ++i) sums[0] += values[i];
}

double sum_of(std::span<const float> values) {
  double sums[kLanes] = {};
  add_to(sums, values);
  return std::accumulate(sums, sums + kLanes, 0.0);
}

/// The sum of exp(logit - largest).
double sum_of_weights(std::span<const float> logits, float largest) {
  double sums[kLanes] = {};
  float block[kBlock];
  for (size_t begin = 0; begin < logits.size(); begin += kBlock) {
    const size_t count = std::min(kBlock, logits.size() - begin);
    for (size_t i = 0; i < count; ++i) block[i] = exp_nonpositive(logits[begin + i] - largest);
    add_to(sums, {block, count});
  }
  return std::accumulate(sums, sums + kLanes, 0.0);
}

}  // namespace

Result<void> check_sampling(const SamplingOptions& options) {
  const auto refuse = [](std::string_view rule, float got) {
    return Error{ErrorCode::kInvalidArgument, fmt::format("[text] {}; got {}", rule, got)};
  };
  if (!(options.temperature >= 0 && options.temperature <= kTemperatureMax)) {
    return refuse("temperature must be from 0 (greedy) to 100", options.temperature);
  }
  if (!(options.top_p > 0 && options.top_p <= 1)) return refuse("top_p must be above 0 and at most 1", options.top_p);
  if (!(options.min_p >= 0 && options.min_p <= 1)) return refuse("min_p must be from 0 to 1", options.min_p);
  for (const float penalty : {options.frequency_penalty, options.presence_penalty}) {
    if (!(penalty >= -2 && penalty <= 2)) return refuse("frequency and presence penalties must be from -2 to 2", penalty);
  }
  if (!(options.repetition_penalty > 0 && options.repetition_penalty <= 10)) {
    return refuse("repetition_penalty must be above 0 and at most 10", options.repetition_penalty);
  }
  if (options.logit_bias.size() > kLogitBiasMax) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("[text] logit_bias names at most {} tokens; got {}", kLogitBiasMax, options.logit_bias.size())};
  }
  for (const auto& [token, bias] : options.logit_bias) {
    if (!(bias >= -100 && bias <= 100)) return refuse("a logit_bias must be from -100 to 100", bias);
  }
  return {};
}

RandomSequence::RandomSequence(uint64_t seed) {
  for (uint64_t& word : state_) {  // SplitMix64: no seed gives the all-zero state
    seed += 0x9e3779b97f4a7c15u;
    uint64_t mixed = (seed ^ (seed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    word = mixed ^ (mixed >> 31);
  }
}

uint64_t RandomSequence::next() {
  const uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
  const uint64_t shifted = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= shifted;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

Sampler::Sampler(const SamplingOptions& options, uint64_t seed) : options_(options), random_(seed) {
  CHECK(check_sampling(options).ok(), "the request's options were checked at the door");
}

Result<uint32_t> Sampler::sample(std::span<const float> logits) {
  const float largest = largest_logit(logits);
  if (std::isnan(largest)) {
    return Error{ErrorCode::kInternal,
                 fmt::format("[text] logits must have a finite largest value and no NaN; got a broken row of {}", logits.size())};
  }
  if (options_.temperature == 0) return static_cast<uint32_t>(std::find(logits.begin(), logits.end(), largest) - logits.begin());
  weigh(logits, largest);
  gather();
  keep_top_k();
  keep_top_p();
  keep_min_p();
  if (options_.top_k != 0 || options_.top_p < 1) order_by_id();
  return draw();
}

double log_sum_exp(std::span<const float> logits) {
  const float largest = largest_logit(logits);
  return double{largest} + std::log(sum_of_weights(logits, largest));
}

/// exp((logit - largest) / temperature) of every token, and their sum.
void Sampler::weigh(std::span<const float> logits, float largest) {
  // Dividing by a temperature near 0 would overflow; from 1e-6 on only ties of the largest have any weight anyway.
  const float scale = 1.0f / std::max(options_.temperature, 1e-6f);
  weights_.resize(logits.size());
  for (size_t i = 0; i < logits.size(); ++i) weights_[i] = exp_nonpositive((logits[i] - largest) * scale);
  total_ = sum_of(weights_);
}

/// A weight that the steps after the temperature surely cut off below, found without ranking: it leaves them a few
/// hundred candidates of a peaked distribution instead of the vocabulary.
float Sampler::surely_cut_below() {
  if (options_.top_k != 0 && options_.top_k < weights_.size()) {
    // Each block has its largest: if k blocks have one of at least w, then k tokens have.
    block_best_.clear();
    for (size_t begin = 0; begin + kBlock <= weights_.size(); begin += kBlock) {
      block_best_.push_back(*std::max_element(weights_.begin() + static_cast<std::ptrdiff_t>(begin),
                                              weights_.begin() + static_cast<std::ptrdiff_t>(begin + kBlock)));
    }
    if (block_best_.size() < options_.top_k) return 0;
    const auto kth = block_best_.begin() + (options_.top_k - 1);
    std::nth_element(block_best_.begin(), kth, block_best_.end(), std::greater<>());
    return *kth;
  }
  // All tokens below (1 - p) / V of the total have together less than 1 - p of it. Halved against rounding.
  return static_cast<float>((1.0 - static_cast<double>(options_.top_p)) * total_ / static_cast<double>(weights_.size()) / 2);
}

void Sampler::gather() {
  const float threshold = surely_cut_below();
  candidates_.clear();
  for (uint32_t i = 0; i < weights_.size(); ++i) {
    if (weights_[i] > kNoWeight && weights_[i] >= threshold) candidates_.push_back({weights_[i], i});
  }
}

// Ranking compares weight, then id: two logits that round to one weight count as equal.
namespace {
constexpr auto kBetter = [](const auto& a, const auto& b) {
  return a.weight != b.weight ? a.weight > b.weight : a.token < b.token;
};
}  // namespace

double Sampler::kept() const {
  double sum = 0;
  for (const Candidate& candidate : candidates_) sum += candidate.weight;
  return sum;
}

void Sampler::keep_top_k() {
  if (options_.top_k == 0 || options_.top_k >= candidates_.size()) return;
  std::nth_element(candidates_.begin(), candidates_.begin() + options_.top_k, candidates_.end(), kBetter);
  candidates_.resize(options_.top_k);
  total_ = kept();
}

/// Quickselect by weight instead of rank: halves what is undecided and keeps the better side's sum.
void Sampler::keep_top_p() {
  if (options_.top_p >= 1) return;
  double wanted = static_cast<double>(options_.top_p) * total_;
  auto begin = candidates_.begin(), end = candidates_.end();  // before begin: in; from end on: out
  while (end - begin > 1) {
    const auto middle = begin + (end - begin) / 2;
    std::nth_element(begin, middle, end, kBetter);
    double better = 0;
    for (auto it = begin; it != middle; ++it) better += it->weight;
    if (better >= wanted) {
      end = middle;
    } else {
      wanted -= better;
      begin = middle;
    }
  }
  candidates_.erase(end, candidates_.end());
}

void Sampler::keep_min_p() {
  if (options_.min_p <= 0) return;
  const float threshold = options_.min_p;  // the best weight is 1
  std::erase_if(candidates_, [&](const Candidate& candidate) { return candidate.weight < threshold; });
}

/// Selection leaves the candidates in an order of its own; by ids, the draw is a function of the kept set alone. A few are
/// sorted; many are found again by a scan for those not worse than the worst one kept, which costs no logarithm.
void Sampler::order_by_id() {
  const auto by_id = [](const Candidate& a, const Candidate& b) { return a.token < b.token; };
  if (candidates_.size() < weights_.size() / 32) return std::sort(candidates_.begin(), candidates_.end(), by_id);
  const Candidate worst = *std::max_element(candidates_.begin(), candidates_.end(), kBetter);
  candidates_.clear();
  for (uint32_t i = 0; i < weights_.size(); ++i) {
    const Candidate candidate{weights_[i], i};
    if (candidate.weight >= worst.weight && !kBetter(worst, candidate)) candidates_.push_back(candidate);
  }
}

uint32_t Sampler::draw() {
  double left = random_.next_unit() * kept();
  for (const Candidate& candidate : candidates_) {
    left -= candidate.weight;
    if (left < 0) return candidate.token;
  }
  return candidates_.back().token;  // rounding used up the last bit
}

}  // namespace accelerate
