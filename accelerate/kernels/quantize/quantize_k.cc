// The K types: scales and minimums by least squares, from the definition of the blocks alone.
//
// Q4_K and Q5_K say x = (d*scale)*q - (dmin*minimum) in groups of 32; Q6_K says x = (d*scale)*(q - 32) in groups of 16.
// Per group: from several starting scales, codes are rounded and the real scale (and minimum) that suits these codes best
// is solved for, a few times in turn; the start with the least squared error wins. Then the groups' scales are rounded to
// their 6 or 8 bits in units of the super-block's d, and the neighbours of the rounded pair are tried with codes rounded anew,
// because what counts is the error of the bits that are stored. All error sums are in float over at most 32 values.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <numeric>

#include "accelerate/kernels/quantize/quantize.h"

namespace accelerate {
namespace {

constexpr int kGroup = 32, kGroups = kSuperBlock / kGroup;
constexpr int kSmallGroup = 16, kSmallGroups = kSuperBlock / kSmallGroup;
constexpr int kScaleMost = 63;       // 6 bits
constexpr int kRefinements = 2;      // rounds of "codes, then scale": a third gains under 0.1 % of the error
constexpr float kScaleFloor = 1e-30f;  // below, 1/scale is no number to work with, and every f16 d is 0

/// To the nearest whole number, ties to even, for magnitudes below 2^22: an addition that compilers vectorize.
inline float nearest(float value) {
  constexpr float kShift = 12582912.0f;  // 1.5 * 2^23
  return (value + kShift) - kShift;
}

inline float clamped(float value, float low, float high) { return value < low ? low : value > high ? high : value; }

/// Sums in `Lanes` separate lanes, so that the order is fixed and vectors fit.
template <int Count>
struct Lanes {
  std::array<float, Count> lane{};
  float total() const {
    float sum = 0;
    for (const float value : lane) sum += value;
    return sum;
  }
};
using Sum = Lanes<4>;

/// x = scale*q - minimum.
struct Affine {
  float scale = 0, minimum = 0;
};

/// q = round((x + minimum) / scale) within 0..most.
template <int N>
void affine_codes(const float* x, Affine fit, float most, float* q) {
  const float inverse = 1.0f / fit.scale;
  for (int i = 0; i < N; ++i) q[i] = nearest(clamped((x[i] + fit.minimum) * inverse, 0.0f, most));
}

template <int N>
float affine_error(const float* x, Affine fit, const float* q) {
  Sum sum;
  for (int i = 0; i < N; i += 4) {
    for (int j = 0; j < 4; ++j) {
      const float off = fit.scale * q[i + j] - fit.minimum - x[i + j];
      sum.lane[static_cast<size_t>(j)] += off * off;
    }
  }
  return sum.total();
}

/// The least-squares scale and minimum for given codes; the minimum is not negative, as the format has it.
template <int N>
Affine solve(const float* x, const float* q, Affine otherwise) {
  Sum sq, sqq, sx, sxq;
  for (int i = 0; i < N; i += 4) {
    for (int j = 0; j < 4; ++j) {
      const auto lane = static_cast<size_t>(j);
      const float code = q[i + j], value = x[i + j];
      sq.lane[lane] += code;
      sqq.lane[lane] += code * code;
      sx.lane[lane] += value;
      sxq.lane[lane] += value * code;
    }
  }
  const float q1 = sq.total(), q2 = sqq.total(), x1 = sx.total(), xq = sxq.total();
  const float determinant = static_cast<float>(N) * q2 - q1 * q1;
  if (!(determinant > 0)) return otherwise;
  Affine fit{(static_cast<float>(N) * xq - q1 * x1) / determinant, (q1 * xq - q2 * x1) / determinant};
  if (fit.minimum < 0) fit = {xq / q2, 0.0f};  // on the edge of what is allowed
  return fit.scale > kScaleFloor && std::isfinite(fit.minimum) ? fit : otherwise;
}

/// The best real scale and minimum of one group. Starts: the range of the values cut into a little fewer and a little more
/// steps than there are (outliers are clamped by the latter).
Affine fit_group(const float* x, int most) {
  const auto [smallest, largest] = std::minmax_element(x, x + kGroup);
  const float low = std::min(*smallest, 0.0f), high = std::max(*largest, low);
  const float range = high - low;
  if (!(range > kScaleFloor * static_cast<float>(most))) return {0.0f, -low};
  Affine best{range / static_cast<float>(most), -low};
  if (!std::isfinite(range)) return {best.scale, -low};  // overflows as a half: the caller says so
  float q[kGroup];
  affine_codes<kGroup>(x, best, static_cast<float>(most), q);
  float least = affine_error<kGroup>(x, best, q);
  constexpr float kSteps[] = {-1.2f, -0.7f, -0.3f, 0.0f, 0.3f, 0.6f, 1.0f, 1.5f, 2.1f, 2.8f};
  for (const float step : kSteps) {
    Affine fit{range / (static_cast<float>(most) + step), -low};
    for (int round = 0; round < kRefinements; ++round) {
      affine_codes<kGroup>(x, fit, static_cast<float>(most), q);
      fit = solve<kGroup>(x, q, fit);
      const float error = affine_error<kGroup>(x, fit, q);
      if (error < least) {
        least = error;
        best = fit;
      }
    }
  }
  return best;
}

struct StoredPair {
  uint8_t scale = 0, minimum = 0;
};

uint8_t six_bits(float value) { return static_cast<uint8_t>(nearest(clamped(value, 0.0f, static_cast<float>(kScaleMost)))); }

/// The stored pair (in units of d and dmin) and codes with the least error: the rounded pair and its eight neighbours.
StoredPair store_group(const float* x, Affine fit, float d, float dmin, int most, float* codes) {
  if (d == 0) fit.minimum = std::max(-std::accumulate(x, x + kGroup, 0.0f) / kGroup, 0.0f);  // too small for a scale: all codes are 0
  const int scale = d > 0 ? six_bits(fit.scale / d) : 0, minimum = dmin > 0 ? six_bits(fit.minimum / dmin) : 0;
  StoredPair best;
  float least = INFINITY, q[kGroup];
  for (int s = std::max(scale - 1, 0); s <= std::min(scale + 1, kScaleMost); ++s) {
    for (int m = std::max(minimum - 1, 0); m <= std::min(minimum + 1, kScaleMost); ++m) {
      const Affine stored{d * static_cast<float>(s), dmin * static_cast<float>(m)};
      if (stored.scale > 0) affine_codes<kGroup>(x, stored, static_cast<float>(most), q);
      else std::fill_n(q, kGroup, 0.0f);
      const float error = affine_error<kGroup>(x, stored, q);
      if (!(error < least)) continue;
      least = error;
      best = {static_cast<uint8_t>(s), static_cast<uint8_t>(m)};
      std::copy_n(q, kGroup, codes);
    }
  }
  return best;
}

/// The reverse of six_bit_pair() in dequantize.h.
void put_pair(uint8_t* scales, int group, StoredPair pair) {
  if (group < 4) {
    scales[group] = static_cast<uint8_t>((scales[group] & 0xc0) | pair.scale);
    scales[group + 4] = static_cast<uint8_t>((scales[group + 4] & 0xc0) | pair.minimum);
    return;
  }
  scales[group + 4] = static_cast<uint8_t>((pair.scale & 15) | (pair.minimum & 15) << 4);
  scales[group - 4] = static_cast<uint8_t>((scales[group - 4] & 63) | (pair.scale >> 4) << 6);
  scales[group] = static_cast<uint8_t>((scales[group] & 63) | (pair.minimum >> 4) << 6);
}

/// What Q4_K and Q5_K share: everything but where the codes' bits go.
template <class Block>
void quantize_affine(const float* x, int most, Block& block, uint8_t (&codes)[kSuperBlock]) {
  Affine fits[kGroups];
  float scale_most = 0, minimum_most = 0;
  for (int g = 0; g < kGroups; ++g) {
    fits[g] = fit_group(x + g * kGroup, most);
    scale_most = std::max(scale_most, fits[g].scale);
    minimum_most = std::max(minimum_most, fits[g].minimum);
  }
  block.d = f32_to_f16(scale_most / kScaleMost);
  block.dmin = f32_to_f16(minimum_most / kScaleMost);
  std::memset(block.scales, 0, sizeof block.scales);
  std::memset(codes, 0, sizeof codes);
  const float d = f16_to_f32(block.d), dmin = f16_to_f32(block.dmin);
  if (!std::isfinite(d) || !std::isfinite(dmin)) return;
  for (int g = 0; g < kGroups; ++g) {
    float q[kGroup] = {};
    put_pair(block.scales, g, store_group(x + g * kGroup, fits[g], d, dmin, most, q));
    for (int i = 0; i < kGroup; ++i) codes[g * kGroup + i] = static_cast<uint8_t>(q[i]);
  }
}

/// Two groups share 32 bytes: the even group's low four bits are the low nibbles.
void put_group_nibbles(const uint8_t (&codes)[kSuperBlock], uint8_t (&qs)[128]) {
  for (int g = 0; g < kGroups; g += 2) {
    for (int i = 0; i < kGroup; ++i) {
      qs[kGroup * (g / 2) + i] = static_cast<uint8_t>((codes[g * kGroup + i] & 15) | (codes[(g + 1) * kGroup + i] & 15) << 4);
    }
  }
}

/// q = round(x / scale) within -32..31, and the squared error with it.
float centred_codes(const float* x, float scale, float* q) {
  const float inverse = 1.0f / scale;
  Sum sum;
  for (int i = 0; i < kSmallGroup; i += 4) {
    for (int j = 0; j < 4; ++j) {
      q[i + j] = nearest(clamped(x[i + j] * inverse, -32.0f, 31.0f));
      const float off = scale * q[i + j] - x[i + j];
      sum.lane[static_cast<size_t>(j)] += off * off;
    }
  }
  return sum.total();
}

float solve_centred(const float* x, const float* q) {
  Sum xq, qq;
  for (int i = 0; i < kSmallGroup; i += 4) {
    for (int j = 0; j < 4; ++j) {
      xq.lane[static_cast<size_t>(j)] += x[i + j] * q[i + j];
      qq.lane[static_cast<size_t>(j)] += q[i + j] * q[i + j];
    }
  }
  return qq.total() > 0 ? xq.total() / qq.total() : 0.0f;
}

/// The best real scale of a small group, of either sign: the value of largest magnitude may take the code -32.
float fit_small_group(const float* x) {
  float extreme = 0;
  for (int i = 0; i < kSmallGroup; ++i) {
    if (std::fabs(x[i]) > std::fabs(extreme)) extreme = x[i];
  }
  if (!(std::fabs(extreme) > kScaleFloor * 32.0f)) return 0.0f;
  float best = extreme / -32.0f, q[kSmallGroup], least = centred_codes(x, best, q);
  constexpr float kSteps[] = {-33.2f, -32.6f, -32.2f, -32.0f, -31.6f, -31.1f, -30.5f, 30.5f, 31.0f, 31.4f};
  for (const float step : kSteps) {
    float scale = extreme / step;
    for (int round = 0; round < kRefinements; ++round) {
      centred_codes(x, scale, q);
      const float solved = solve_centred(x, q);
      if (!(std::fabs(solved) > kScaleFloor)) break;
      scale = solved;
      float again[kSmallGroup];
      const float error = centred_codes(x, scale, again);
      if (error < least) {
        least = error;
        best = scale;
      }
    }
  }
  return best;
}

/// The stored scale (in units of d) and codes with the least error: the rounded scale and its neighbours.
int8_t store_small_group(const float* x, float fit, float d, float* codes) {
  if (d == 0) return 0;
  const int rounded = static_cast<int>(nearest(clamped(fit / d, -128.0f, 127.0f)));
  int best = 0;
  float least = INFINITY, q[kSmallGroup];
  for (int s = std::max(rounded - 1, -128); s <= std::min(rounded + 1, 127); ++s) {
    float error = 0;
    if (s != 0) {
      error = centred_codes(x, d * static_cast<float>(s), q);
    } else {
      std::fill_n(q, kSmallGroup, 0.0f);
      for (int i = 0; i < kSmallGroup; ++i) error += x[i] * x[i];
    }
    if (!(error < least)) continue;
    least = error;
    best = s;
    std::copy_n(q, kSmallGroup, codes);
  }
  return static_cast<int8_t>(best);
}

}  // namespace

void quantize_block(const float* values, BlockQ4_K& block) {
  uint8_t codes[kSuperBlock];
  quantize_affine(values, 15, block, codes);
  put_group_nibbles(codes, block.qs);
}

void quantize_block(const float* values, BlockQ5_K& block) {
  uint8_t codes[kSuperBlock];
  quantize_affine(values, 31, block, codes);
  put_group_nibbles(codes, block.qs);
  std::memset(block.qh, 0, sizeof block.qh);
  for (int i = 0; i < kSuperBlock; ++i) {
    block.qh[i % kGroup] = static_cast<uint8_t>(block.qh[i % kGroup] | (codes[i] >> 4) << (i / kGroup));
  }
}

void quantize_block(const float* values, BlockQ6_K& block) {
  float fits[kSmallGroups], largest = 0;
  for (int g = 0; g < kSmallGroups; ++g) {
    fits[g] = fit_small_group(values + g * kSmallGroup);
    if (std::fabs(fits[g]) > std::fabs(largest)) largest = fits[g];
  }
  std::memset(&block, 0, sizeof block);
  block.d = f32_to_f16(largest / -128.0f);
  const float d = f16_to_f32(block.d);
  if (!std::isfinite(d)) return;
  for (int g = 0; g < kSmallGroups; ++g) {
    float q[kSmallGroup] = {};
    block.scales[g] = store_small_group(values + g * kSmallGroup, fits[g], d, q);
    for (int i = 0; i < kSmallGroup; ++i) {
      const int element = g * kSmallGroup + i, code = static_cast<int>(q[i]) + 32;
      const int half = element / 128, row = (element % 128) / 32, lane = element % 32;
      uint8_t& low = block.ql[64 * half + 32 * (row % 2) + lane];
      uint8_t& high = block.qh[32 * half + lane];
      low = static_cast<uint8_t>(low | (code & 15) << (4 * (row / 2)));
      high = static_cast<uint8_t>(high | (code >> 4) << (2 * row));
    }
  }
}

}  // namespace accelerate
