// KernelTable - the CPU maths the host executor runs a Graph with: one table per instruction set, plain C++ functions on
// raw pointers, one thread per call; callers split rows or columns among threads. backends/mojo brings a table of its own.
//
//   const KernelTable& k = native_kernels(isa);
//   k.matmul(task, prepared, n0, n1);
//
// All tables compute the same thing within rounding; the portable one is the reference. Pointers are borrowed for the call.
// Arrays need no alignment unless said. No function allocates, throws or fails: arguments are the caller's to get right.
#pragma once

#include <cstddef>
#include <cstdint>

#include "accelerate/base/cpu.h"
#include "accelerate/kernels/attention/attention.h"
#include "accelerate/kernels/elementwise/elementwise.h"
#include "accelerate/kernels/matmul/matmul.h"
#include "accelerate/kernels/norm/norm.h"
#include "accelerate/kernels/rope/rope.h"

namespace accelerate {

struct KernelTable {
  Isa isa;
  // matmul/
  void (*matmul_prepare)(const MatmulInput& input, std::byte* scratch, uint32_t row_begin, uint32_t row_end);
  void (*matmul)(const MatmulTask& task, uint32_t column_begin, uint32_t column_end);
  // norm/
  void (*rms_norm)(const RmsNormTask& task, uint32_t row_begin, uint32_t row_end);
  void (*layer_norm)(const LayerNormTask& task, uint32_t row_begin, uint32_t row_end);
  // rope/
  void (*rope)(const RopeTask& task, uint32_t row_begin, uint32_t row_end);
  // attention/
  void (*kv_store)(const KvLayout& layout, std::byte* page, uint32_t token_in_page, const float* k, const float* v);
  void (*attention)(const AttentionTask& task, uint32_t head_begin, uint32_t head_end, std::byte* scratch);
  // elementwise/: over `count` floats
  void (*add)(const float* a, const float* b, float* out, size_t count);
  void (*activate)(UnaryFunction activation, const float* x, float* out, size_t count);
  void (*activate_multiply)(UnaryFunction activation, const float* gate, const float* up, float* out, size_t count);  // act(gate) * up
  /// True if all `count` values are finite.
  bool (*all_finite)(const float* x, size_t count);
};

/// The table for `isa`. Static lifetime. The caller has made sure (usable_isa) that this machine can run it.
const KernelTable& native_kernels(Isa isa);

}  // namespace accelerate
