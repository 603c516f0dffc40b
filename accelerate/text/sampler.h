// Sampler - logits to the next token.
//
//   Sampler sampler({.temperature = 0.8f, .top_p = 0.95f}, /*seed=*/42);
//   ACC_TRY(uint32_t next, sampler.sample(logits));
//
// Steps, in the order of Transformers' logits processors, each on what the one before has left, with probabilities
// taken over what is left:
//   1. temperature: p_i = softmax(logit_i / temperature). 0 = greedy: the largest logit, of equals the lowest id; no
//      other step applies and no random number is drawn.
//   2. top_k: the k most probable tokens. 0 or at least the vocabulary = all.
//   3. top_p: the fewest most probable tokens whose probabilities sum to at least top_p. 1 = all.
//   4. min_p: tokens with at least min_p times the probability of the most probable one. 0 = all.
// Tokens of equal logit rank by id, lowest first. At least one token always stays. Then one 53-bit random number picks.
//
// Deterministic: the same build, options, seed and logits give the same tokens: the generator (xoshiro256**, Blackman and
// Vigna, seeded by SplitMix64) and the exponential are our own and do not change with the C library; sums are in double.
// O(V) expected time a step: selection by partition, never a full sort. Buffers grow at the first step and stay.
// Not thread-safe; one a sequence. Copyable: a copy continues the same random sequence.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "accelerate/base/result.h"
#include "accelerate/core/request.h"

namespace accelerate {

/// invalid_argument: temperature below 0 or above kTemperatureMax, top_p outside (0, 1], min_p outside [0, 1], a penalty or
/// bias outside its range (core/request.h), NaN.
Result<void> check_sampling(const SamplingOptions& options);
inline constexpr float kTemperatureMax = 100.0f;  // flatter than any use; keeps 1/temperature in range

/// ln(sum of exp(logit)) over a row without NaN or +inf, in double.
double log_sum_exp(std::span<const float> logits);

/// xoshiro256**: 256 bits of state, period 2^256 - 1.
class RandomSequence {
 public:
  explicit RandomSequence(uint64_t seed);
  uint64_t next();
  /// Uniform in [0, 1), a multiple of 2^-53.
  double next_unit() { return static_cast<double>(next() >> 11) * 0x1p-53; }

 private:
  std::array<uint64_t, 4> state_;
};

class Sampler {
 public:
  /// `options` passed check_sampling; its `seed` is not read: the endpoint draws and reports one.
  Sampler(const SamplingOptions& options, uint64_t seed);

  /// One logit a token; -inf excludes a token. internal when none is finite or one is NaN or +inf: the engine must
  /// never sample from a broken step.
  Result<uint32_t> sample(std::span<const float> logits);

 private:
  struct Candidate {
    float weight;  // exp((logit - largest) / temperature)
    uint32_t token;
  };
  void weigh(std::span<const float> logits, float largest);
  float surely_cut_below();
  void gather();
  void keep_top_k();
  void keep_top_p();
  void keep_min_p();
  void order_by_id();
  uint32_t draw();
  double kept() const;

  SamplingOptions options_;
  RandomSequence random_;
  std::vector<Candidate> candidates_;
  std::vector<float> weights_;     // of all tokens
  std::vector<float> block_best_;
  double total_ = 0;               // of what the last step left
};

}  // namespace accelerate
