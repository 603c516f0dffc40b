// What matmul_prepare leaves in the scratch for the vector kernels: x as rows, or as panels, or both.
//
// Rows, for kernels that read weights in place; k is padded with zeros to whole blocks of 32 (`depth`):
//   floats [m][depth] at 0;   bf16 [m][depth] at pairs_offset;
//   sums of 16 floats [m][depth / 16] at sums_offset;   sums of 32 bf16 [m][depth / 32] at pair_sums_offset
// Panels of `panel_rows` rows at 0, interleaved so that one k of all rows is contiguous:
//   float [panels][depth][panel_rows], or bf16 pairs u32 [panels][depth / 2][panel_rows]
// Which of them a kernel makes is its own affair; `bytes` suffices for all. The last panel may have fewer rows; what would
// be theirs is not written.
#pragma once

#include <cstddef>
#include <cstdint>

namespace accelerate {

inline constexpr uint32_t kRowsInPlaceMax = 64;  // most rows any kernel runs without panels, unless it must
inline constexpr uint32_t kPanelRowsMin = 4;     // the least any kernel makes its largest panel

struct PreparedLayout {
  uint32_t depth;
  uint32_t panels, panel_rows;
  size_t pairs_offset, sums_offset, pair_sums_offset;
  size_t bytes;

  [[gnu::always_inline]] static constexpr PreparedLayout of(uint32_t m, uint32_t k, uint32_t panel_rows_max = kPanelRowsMin, bool rowwise = false) {
    PreparedLayout layout{};
    layout.depth = (k + 31) / 32 * 32;
    const size_t depth = layout.depth;
    layout.panels = (m + panel_rows_max - 1) / panel_rows_max;  // of equal height: 32 rows are 3 x 11, not 14 + 14 + 4
    layout.panel_rows = layout.panels == 0 ? 1 : (m + layout.panels - 1) / layout.panels;
    layout.bytes = align((size_t{m} + m / kPanelRowsMin + 1) * depth * 4);  // equal panels add less than a row each
    if (m <= kRowsInPlaceMax || rowwise) {
      layout.pairs_offset = layout.bytes;
      layout.sums_offset = layout.pairs_offset + align(m * depth * 2);
      layout.pair_sums_offset = layout.sums_offset + align(m * (depth / 16) * 4);
      layout.bytes = layout.pair_sums_offset + align(m * (depth / 32) * 4);
    }
    return layout;
  }

 private:
  [[gnu::always_inline]] static constexpr size_t align(size_t bytes) { return (bytes + 63) / 64 * 64; }
};

}  // namespace accelerate
