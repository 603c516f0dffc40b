#include <algorithm>

#include "accelerate/host/run_state.h"

namespace accelerate {
namespace {

struct RowSteps {
  const RunState& state;
  WorkerShare worker;
  RowRange rows;

  float* row_of(const Place& place, uint32_t row) const { return state.at(place, worker.index) + row * state.stride(place); }

  uint32_t table_row(const AddTableStep& step, uint32_t row) const {
    switch (step.which) {
      case TableRow::kFixed: return step.row;
      case TableRow::kPosition: return state.row_position[row] + step.row;
      case TableRow::kSegment: return state.row_segment[row];
    }
    CHECK(false, "a row of a table");
  }

  void operator()(const EmbedStep& step) const {
    for (uint32_t row = rows.begin; row < rows.end; ++row) {
      float* out = row_of(step.out, row);
      state.weights->table_row(step.table, state.batch.tokens[row], out);
      if (step.scale == 1.0f) continue;
      for (uint32_t i = 0; i < step.out.width; ++i) out[i] *= step.scale;
    }
  }
  void operator()(const AddTableStep& step) const {
    for (uint32_t row = rows.begin; row < rows.end; ++row) {
      const uint32_t from = table_row(step, row);
      const float* addend = state.weights->table_row_in_place(step.table, from);
      if (!addend) {
        float* own = state.arena.own_table_row(worker.index);
        state.weights->table_row(step.table, from, own);
        addend = own;
      }
      state.kernels->add(row_of(step.x, row), addend, row_of(step.out, row), step.out.width);
    }
  }
  void operator()(const RmsNormStep& step) const {
    state.kernels->rms_norm({.x = state.at(step.x, worker.index), .x_stride = state.stride(step.x),
                             .out = state.at(step.out, worker.index), .out_stride = state.stride(step.out),
                             .weight = state.weights->vector(step.weight), .width = step.x.width, .group = step.group,
                             .epsilon = step.epsilon, .weight_offset = step.weight_offset},
                            rows.begin, rows.end);
  }
  void operator()(const LayerNormStep& step) const {
    state.kernels->layer_norm({.x = state.at(step.x, worker.index), .x_stride = state.stride(step.x),
                               .out = state.at(step.out, worker.index), .out_stride = state.stride(step.out),
                               .weight = state.weights->vector(step.weight), .bias = state.weights->vector(step.bias),
                               .width = step.x.width, .epsilon = step.epsilon},
                              rows.begin, rows.end);
  }
  void operator()(const AddStep& step) const {
    for (uint32_t row = rows.begin; row < rows.end; ++row) {
      state.kernels->add(row_of(step.a, row), row_of(step.b, row), row_of(step.out, row), step.out.width);
    }
  }
  void operator()(const ActivateStep& step) const {
    for (uint32_t row = rows.begin; row < rows.end; ++row) {
      state.kernels->activate(step.function, row_of(step.x, row), row_of(step.out, row), step.out.width);
    }
  }
  void operator()(const RopeStep& step) const {
    float* out = state.at(step.out, worker.index);
    for (uint32_t row = rows.begin; row < rows.end; ++row) {
      const float* from = row_of(step.x, row);
      float* to = row_of(step.out, row);
      if (from != to) std::copy_n(from, step.out.width, to);
    }
    state.kernels->rope({.x = out, .x_stride = state.stride(step.out), .heads = step.heads, .head_width = step.head_width,
                         .rotated = step.rotated, .interleaved = step.interleaved,
                         .cosines = state.cosines[step.frequencies].data(), .sines = state.sines[step.frequencies].data()},
                        rows.begin, rows.end);
  }
  /// Pages are shared memory: with few rows, where every worker walks all of them, each stores its share only.
  void operator()(const StoreStep& step) const {
    const RowRange mine = worker.of(state.rows);
    const KvLayout& layout = state.plan->kv_layers[step.layer];
    for (uint32_t row = std::max(rows.begin, mine.begin); row < std::min(rows.end, mine.end); ++row) {
      const uint32_t position = state.row_position[row];
      const Sequence& sequence = state.batch.sequences[state.row_sequence[row]];
      std::byte* page = state.pool->at(sequence.pages[position / kKvPageTokens], step.layer);
      const float* k = row_of(step.k, row);
      const float* v = row_of(step.v, row);
      if (layout.head_width != step.head_width) {
        k = padded(k, layout, step.head_width, state.arena.padded_query(worker.index));
        v = padded(v, layout, step.head_width, state.arena.padded_result(worker.index));
      }
      state.kernels->kv_store(layout, page, position % kKvPageTokens, k, v);
    }
  }
  static const float* padded(const float* from, const KvLayout& layout, uint32_t head_width, float* to) {
    for (uint32_t head = 0; head < layout.kv_heads; ++head) {
      float* at = to + size_t{head} * layout.head_width;
      std::copy_n(from + size_t{head} * head_width, head_width, at);
      std::fill(at + head_width, at + layout.head_width, 0.0f);
    }
    return to;
  }
  void operator()(const PrepareStep& step) const {
    std::byte* scratch = state.few ? state.arena.own_scratch(worker.index) : state.arena.scratch();
    state.kernels->matmul_prepare({.x = state.at(step.x, worker.index), .x_stride = state.stride(step.x), .m = state.rows,
                                   .k = step.x.width, .mode = state.mode, .rowwise = state.rowwise},
                                  scratch, rows.begin, rows.end);
  }
  void operator()(const MatmulStep&) const { CHECK(false, "not a row step"); }
  void operator()(const AttentionStep&) const { CHECK(false, "not a row step"); }
};

}  // namespace

void run_row_step(const RunState& state, const Step& step, WorkerShare worker, RowRange rows) {
  std::visit(RowSteps{state, worker, rows}, step);
}

}  // namespace accelerate
