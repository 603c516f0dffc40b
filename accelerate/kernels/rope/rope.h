// Rotary position embedding (arXiv 2104.09864) from tables: cosf/sinf per head cost 15 % of prefill, so the caller keeps
// cos/sin rows of `rotated / 2` floats per position and hands the kernel one pointer a row.
#pragma once

#include <cstddef>
#include <cstdint>

namespace accelerate {

/// In place: for each row, each head, each pair (a, b): (a cos - b sin, a sin + b cos). Elements past `rotated` stay.
struct RopeTask {
  float* x; size_t x_stride;            // rows of heads * head_width floats
  uint32_t heads, head_width, rotated;
  bool interleaved;                     // pairs (2i, 2i+1) instead of (i, i + rotated/2)
  const float* const* cosines;          // one pointer a row, rotated/2 floats each
  const float* const* sines;
};

}  // namespace accelerate
