#include <algorithm>

#include "accelerate/host/run_state.h"

namespace accelerate {
namespace {

// Fewer tasks than this for each worker: cut by query heads instead of by groups that share K and V.
constexpr uint32_t kGroupTasksPerWorker = 3;

struct AttentionRun {
  RunState& state;
  const AttentionStep& step;
  uint32_t worker;

  void run(const AttentionBlock& block, uint32_t head_begin, uint32_t head_end) const {
    const Sequence& sequence = state.batch.sequences[block.sequence];
    const KvLayout& layout = state.plan->kv_layers[step.layer];
    const uint32_t length = sequence.position + sequence.rows;
    const std::byte** pages = state.arena.page_list(worker);
    for (uint32_t page = 0; page * kKvPageTokens < length; ++page) pages[page] = state.pool->at(sequence.pages[page], step.layer);
    AttentionTask task{.layout = layout,
                       .q = state.at(step.q, worker) + block.row_begin * state.stride(step.q), .q_stride = state.stride(step.q),
                       .out = state.at(step.out, worker) + block.row_begin * state.stride(step.out), .out_stride = state.stride(step.out),
                       .rows = block.rows, .position = state.row_position[block.row_begin], .pages = pages, .length = length,
                       .heads = step.heads, .scale = step.scale, .softcap = step.softcap, .causal = step.causal, .window = step.window};
    if (layout.head_width == step.head_width) {
      state.kernels->attention(task, head_begin, head_end, state.arena.attention_scratch(worker));
    } else {
      run_padded(task, head_begin, head_end);
    }
  }

  /// Heads whose width the kernels do not take: zeros behind q add nothing to a score, and what comes out behind is dropped.
  void run_padded(const AttentionTask& task, uint32_t head_begin, uint32_t head_end) const {
    const uint32_t width = task.layout.head_width;
    AttentionTask wide = task;
    float* q = state.arena.padded_query(worker);
    float* out = state.arena.padded_result(worker);
    wide.q_stride = wide.out_stride = size_t{step.heads} * width;
    wide.q = q;
    wide.out = out;
    for (uint32_t row = 0; row < task.rows; ++row) {
      for (uint32_t head = head_begin; head < head_end; ++head) {
        float* to = q + row * wide.q_stride + size_t{head} * width;
        std::copy_n(task.q + row * task.q_stride + size_t{head} * step.head_width, step.head_width, to);
        std::fill(to + step.head_width, to + width, 0.0f);
      }
    }
    state.kernels->attention(wide, head_begin, head_end, state.arena.attention_scratch(worker));
    for (uint32_t row = 0; row < task.rows; ++row) {
      for (uint32_t head = head_begin; head < head_end; ++head) {
        std::copy_n(out + row * wide.out_stride + size_t{head} * width, step.head_width,
                    task.out + row * task.out_stride + size_t{head} * step.head_width);
      }
    }
  }
};

}  // namespace

void plan_attention(RunState& state) {
  state.blocks.clear();
  // The last rows of a prompt see most positions and cost most: they come first, so that the end of a step is short.
  for (uint32_t s = static_cast<uint32_t>(state.batch.sequences.size()); s-- > 0;) {
    const Sequence& sequence = state.batch.sequences[s];
    for (uint32_t end = sequence.rows; end > 0;) {
      const uint32_t rows = end % kAttentionRowBlock == 0 ? kAttentionRowBlock : end % kAttentionRowBlock;
      end -= rows;
      state.blocks.push_back({s, sequence.row_begin + end, rows});
    }
  }
  for (TaskCounter& counter : state.counters) counter.next.store(0, std::memory_order_relaxed);
}

void run_attention_step(RunState& state, const AttentionStep& step, WorkerShare worker) {
  const uint32_t groups = state.plan->kv_layers[step.layer].kv_heads;
  const auto blocks = static_cast<uint32_t>(state.blocks.size());
  const bool by_group = blocks * groups >= kGroupTasksPerWorker * worker.count || worker.count == 1;
  const uint32_t splits = by_group ? groups : std::min(step.heads, worker.count);
  const AttentionRun run{state, step, worker.index};
  std::atomic<uint32_t>& next = state.counters[step.ordinal].next;
  for (uint32_t task = next.fetch_add(1, std::memory_order_relaxed); task < blocks * splits;
       task = next.fetch_add(1, std::memory_order_relaxed)) {
    const RowRange heads = WorkerShare{task % splits, splits}.of(step.heads);
    run.run(state.blocks[task / splits], heads.begin, heads.end);
  }
}

}  // namespace accelerate
