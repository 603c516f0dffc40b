// Which positions a query row sees, and the sizes attention kernels share.
#pragma once

#include <cstdint>

#include "accelerate/kernels/attention/attention.h"

namespace accelerate {

inline constexpr uint32_t kQueryBlock = 48;  // query vectors (rows x heads of a KV group) that share a pass over K and V

struct VisibleRange {
  uint32_t begin, end;  // positions; may be empty only when nothing is stored
};

/// Positions row `row` of the task sees. Always inlined: each instruction set has its own.
[[gnu::always_inline]] constexpr VisibleRange visible_range(const AttentionTask& task, uint32_t row) {
  const uint32_t own = task.position + row + 1;
  const uint32_t end = task.causal && own < task.length ? own : task.length;
  return {task.window != 0 && end > task.window ? end - task.window : 0, end};
}

}  // namespace accelerate
