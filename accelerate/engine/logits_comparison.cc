#include "accelerate/engine/logits_comparison.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "accelerate/base/check.h"

namespace accelerate {
namespace {

constexpr double kInfinite = std::numeric_limits<double>::infinity();

bool all_finite(std::span<const float> row) { return std::all_of(row.begin(), row.end(), [](float x) { return std::isfinite(x); }); }

double divergence(std::span<const float> reference, std::span<const float> candidate) {
  if (!all_finite(reference) || !all_finite(candidate)) return kInfinite;
  const double top_r = *std::max_element(reference.begin(), reference.end()), top_c = *std::max_element(candidate.begin(), candidate.end());
  // sum p (r - c) - log Zr + log Zc, each Z behind its own maximum.
  double z_r = 0, z_c = 0, weighted = 0;
  for (size_t i = 0; i < reference.size(); ++i) {
    const double r = reference[i] - top_r, c = candidate[i] - top_c, e = std::exp(r);
    z_r += e;
    z_c += std::exp(c);
    weighted += e * (r - c);
  }
  return std::max(0.0, weighted / z_r - std::log(z_r) + std::log(z_c));
}

}  // namespace

double cosine_distance(std::span<const float> a, std::span<const float> b) {
  CHECK(a.size() == b.size(), "rows of one size");
  double dot = 0, square_a = 0, square_b = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    dot += double{a[i]} * b[i];
    square_a += double{a[i]} * a[i];
    square_b += double{b[i]} * b[i];
  }
  if (!std::isfinite(dot) || !std::isfinite(square_a) || !std::isfinite(square_b)) return kInfinite;
  if (square_a == 0 && square_b == 0) return 0;
  if (square_a == 0 || square_b == 0) return 1;
  return std::max(0.0, 1 - dot / (std::sqrt(square_a) * std::sqrt(square_b)));
}

void LogitsComparator::add(std::span<const float> reference, std::span<const float> candidate) {
  CHECK(reference.size() == candidate.size() && !reference.empty(), "rows of one size");
  const double kl = divergence(reference, candidate);
  kl_sum_ += kl;
  worst_.kl_max = std::max(worst_.kl_max, kl);
  worst_.cosine_distance_max = std::max(worst_.cosine_distance_max, cosine_distance(reference, candidate));
  const auto best = [](std::span<const float> row) { return std::max_element(row.begin(), row.end()) - row.begin(); };
  top1_ += kl < kInfinite && best(reference) == best(candidate);
  ++worst_.rows;
}

LogitsComparison LogitsComparator::result() const {
  LogitsComparison result = worst_;
  if (result.rows == 0) return result;
  result.kl_mean = kl_sum_ / result.rows;
  result.top1_agreement = static_cast<double>(top1_) / result.rows;
  return result;
}

}  // namespace accelerate
