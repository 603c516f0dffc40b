// Loops with constant bounds, and dispatch from run-time counts to constant ones, for vector kernels. Always inlined.
#pragma once

#include <cstdint>
#include <utility>

namespace accelerate {

/// Calls body(std::integral_constant<int, 0>) ... <kCount - 1>.
template <int kCount, class Body>
[[gnu::always_inline]] inline void unrolled(const Body& body) {
  [&]<int... kIndex>(std::integer_sequence<int, kIndex...>) __attribute__((always_inline)) {
    (body(std::integral_constant<int, kIndex>{}), ...);
  }(std::make_integer_sequence<int, kCount>{});
}

/// Calls body(row, vector) with constants for every element of a tile. Register tiles are indexed by constants only: one loop
/// that is not unrolled and g++ keeps the whole tile in memory, at half the speed.
template <int kRows, int kVectors, class Body>
[[gnu::always_inline]] inline void each(const Body& body) {
  unrolled<kRows>([&](auto row) __attribute__((always_inline)) {
    unrolled<kVectors>([&](auto vector) __attribute__((always_inline)) { body(row, vector); });
  });
}

/// Calls body with std::integral_constant<int, count>, for count in 1..kMax.
template <int kMax, class Body>
[[gnu::always_inline]] inline void with_count(uint32_t count, const Body& body) {
  [&]<int... kIndex>(std::integer_sequence<int, kIndex...>) __attribute__((always_inline)) {
    (void)((count == kIndex + 1 ? (body(std::integral_constant<int, kIndex + 1>{}), true) : false) || ...);
  }(std::make_integer_sequence<int, kMax>{});
}

}  // namespace accelerate
