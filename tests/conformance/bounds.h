// The bounds every backend is held to; docs/support.md repeats them.
#pragma once

namespace accelerate::conformance {

// Random-weight fixtures, max|a - b| / max|b| against Transformers in float32.
inline constexpr double kFixtureErrorExact = 2e-4;
// Default mode may compute in bf16 (8 bits of mantissa, 2^-9 a rounding) and keep KV in f16; random weights do not average
// that out as trained ones do.
inline constexpr double kFixtureErrorDefault = 4e-2;

// Real models, next-token distributions: KL divergence over 65 bins, and agreement on the most likely token.
inline constexpr double kMeanKlExact = 1e-4;
inline constexpr double kMarginExact = 0.05;       // log-probabilities closer than this may change places
inline constexpr double kMeanKlDefault = 1e-2;
inline constexpr double kTop1Default = 0.97;

inline constexpr double kPerplexityError = 0.005;  // relative
inline constexpr double kCosineMin = 0.9999;

}  // namespace accelerate::conformance
