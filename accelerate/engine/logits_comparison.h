// LogitsComparison - how far a candidate's rows of logits are from a reference's.
//
//   LogitsComparator comparator;
//   comparator.add(reference_row, candidate_row);          // equal sizes
//   if (comparator.result().kl_mean > 1e-2) refuse();
//
// KL divergence D(reference || candidate) of the softmaxes, in nats (Kullback, Leibler 1951); cosine distance 1 - a.b/|a||b|
// of the rows as they are; top-1 agreement = share of rows with the same largest entry. A NaN or Inf anywhere gives infinite
// divergence and distance. In double throughout.
#pragma once

#include <cstdint>
#include <span>

namespace accelerate {

struct LogitsComparison {
  double kl_mean = 0, kl_max = 0;
  double cosine_distance_max = 0;
  double top1_agreement = 0;  // 0 .. 1
  uint32_t rows = 0;
};

class LogitsComparator {
 public:
  /// CHECKs that both have the same size, at least 1.
  void add(std::span<const float> reference, std::span<const float> candidate);
  /// Of all rows so far; without rows everything is 0.
  LogitsComparison result() const;

 private:
  double kl_sum_ = 0;
  uint32_t top1_ = 0;
  LogitsComparison worst_;
};

/// Infinity where either has a value that is no number; 0 for two zero vectors.
double cosine_distance(std::span<const float> a, std::span<const float> b);

}  // namespace accelerate
