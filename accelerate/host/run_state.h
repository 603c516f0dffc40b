// RunState - what the steps of one executor read while a batch runs: the batch, its rows resolved, and the memory.
//
// Written by the calling thread before the workers start; workers only read it, except the counters of attention tasks
// and the memory, which the HostPlan's barriers order.
#pragma once

#include <atomic>
#include <span>
#include <vector>

#include "accelerate/host/arena.h"
#include "accelerate/host/kv_cache.h"
#include "accelerate/host/plan.h"
#include "accelerate/host/weights.h"
#include "accelerate/kernels/kernel_table.h"

namespace accelerate {

/// Consecutive rows of a batch that belong to one sequence.
struct Sequence {
  uint32_t row_begin = 0, rows = 0;
  uint32_t position = 0;             // of the first row in the sequence; what lies before is in the pages
  std::span<const uint32_t> pages;   // page numbers, the batch's own tokens included
  uint32_t second_begin = UINT32_MAX;  // of the sequence's tokens, the first one of its second segment
};
/// Tokens of several sequences one behind another, no padding.
struct Batch {
  std::span<const uint32_t> tokens;
  std::span<const Sequence> sequences;  // cover all tokens, in order
};

struct RowRange { uint32_t begin, end; };

/// Some rows of a sequence against some heads are one attention task; this is the rows' part.
struct AttentionBlock {
  uint32_t sequence, row_begin, rows;
};

struct alignas(64) TaskCounter { std::atomic<uint32_t> next{0}; };

struct RunState {
  const HostPlan* plan = nullptr;
  const Weights* weights = nullptr;
  const KernelTable* kernels = nullptr;
  const PagePool* pool = nullptr;
  MatmulMode mode = MatmulMode::kDefault;
  bool rowwise = false;
  Arena arena;

  // of the batch
  Batch batch;
  uint32_t rows = 0;
  bool few = false;
  std::vector<uint32_t> row_sequence, row_position, row_segment;
  std::vector<std::vector<const float*>> cosines, sines;  // [rope table][row]
  std::vector<AttentionBlock> blocks;
  std::vector<TaskCounter> counters;                      // per attention step
  std::vector<TaskCounter> claims;                        // [product][worker]: pieces of the worker's columns that are taken

  float* at(const Place& place, uint32_t worker) const {
    return few && place.replicated ? arena.own(worker, place.buffer) : arena.shared(place.buffer);
  }
  size_t stride(const Place& place) const { return arena.stride(place.buffer); }
};

/// Worker `index` of `count`.
struct WorkerShare {
  uint32_t index, count;
  /// The contiguous part of `items` that is this worker's.
  RowRange of(uint32_t items) const {
    return {static_cast<uint32_t>(uint64_t{items} * index / count), static_cast<uint32_t>(uint64_t{items} * (index + 1) / count)};
  }
};

/// Runs a row step on `rows` (row_steps.cc).
void run_row_step(const RunState& state, const Step& step, WorkerShare worker, RowRange rows);
/// Runs the worker's columns of a product, piece by piece, then helps the others with theirs (matmul_steps.cc).
void run_matmul_step(RunState& state, const MatmulStep& step, WorkerShare worker);
/// Nothing is taken any more: before a batch runs.
void reset_claims(RunState& state);
/// Takes attention tasks until none is left (attention_steps.cc).
void run_attention_step(RunState& state, const AttentionStep& step, WorkerShare worker);
/// Cuts the batch's sequences into `state.blocks`.
void plan_attention(RunState& state);

}  // namespace accelerate
