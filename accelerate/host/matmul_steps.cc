#include <algorithm>

#include "accelerate/host/run_state.h"

namespace accelerate {
namespace {

// A piece is what a worker takes at once: big enough to read one stream of weights, small enough that another worker whose
// core was taken away holds up the step by little.
constexpr uint32_t kPiecesPerWorker = 4, kPieceStripsMin = 2;

// With many rows the activation follows every so many columns, while the gate's and up's results are in the L2 cache:
// 512 rows x 128 columns x 2 x 4 bytes = 512 KiB.
constexpr uint32_t kEpilogueColumns = 128;

uint32_t strips_of(uint32_t columns) { return (columns + kColumnBlock - 1) / kColumnBlock; }

struct MatmulRun {
  const RunState& state;
  const MatmulStep& step;
  uint32_t worker;
  MatmulInput input;
  const std::byte* prepared;

  void multiply(const MatmulPart& part, uint32_t begin, uint32_t end) const {
    state.kernels->matmul({.weight = &state.weights->matrix(part.matrix), .bias = part.bias ? state.weights->vector(*part.bias) : nullptr,
                           .input = input, .prepared = prepared, .out = state.at(part.out, worker), .out_stride = state.stride(part.out),
                           .add = false},
                          begin, end);
  }

  /// Part 0 (and 1) in pieces, each followed by the activation.
  void with_epilogue(uint32_t begin, uint32_t end) const {
    const uint32_t piece = state.few ? end - begin : kEpilogueColumns;
    const MatmulPart& first = step.parts[0];
    float* out = state.at(first.out, worker);
    const size_t stride = state.stride(first.out);
    const float* up = step.epilogue == Epilogue::kGate ? state.at(step.parts[1].out, worker) : nullptr;
    const size_t up_stride = up ? state.stride(step.parts[1].out) : 0;
    for (uint32_t column = begin; column < end; column += piece) {
      const uint32_t piece_end = std::min(end, column + piece), count = piece_end - column;
      multiply(first, column, piece_end);
      if (up) multiply(step.parts[1], column, piece_end);
      for (uint32_t row = 0; row < state.rows; ++row) {
        float* at = out + row * stride + column;
        if (up) {
          state.kernels->activate_multiply(step.function, at, up + row * up_stride + column, at, count);
        } else {
          state.kernels->activate(step.function, at, at, count);
        }
      }
    }
  }
};

/// Calls body(begin, end) for pieces of `items`: the worker's own contiguous share first, then what is left of the others'.
template <class Body>
void take_pieces(RunState& state, uint32_t ordinal, WorkerShare worker, uint32_t items, uint32_t piece, const Body& body) {
  for (uint32_t turn = 0; turn < worker.count; ++turn) {
    const uint32_t owner = (worker.index + turn) % worker.count;
    const RowRange share = WorkerShare{owner, worker.count}.of(items);
    std::atomic<uint32_t>& next = state.claims[ordinal * worker.count + owner].next;
    const uint32_t pieces = (share.end - share.begin + piece - 1) / piece;
    while (next.load(std::memory_order_relaxed) < pieces) {
      const uint32_t taken = next.fetch_add(1, std::memory_order_relaxed);
      if (taken >= pieces) break;
      const uint32_t begin = share.begin + taken * piece;
      body(begin, std::min(share.end, begin + piece));
    }
  }
}

uint32_t piece_of(uint32_t strips, WorkerShare worker) {
  if (worker.count == 1) return std::max(strips, 1u);
  return std::max(strips / (worker.count * kPiecesPerWorker), kPieceStripsMin);
}

}  // namespace

void reset_claims(RunState& state) {
  for (TaskCounter& claim : state.claims) claim.next.store(0, std::memory_order_relaxed);
}

void run_matmul_step(RunState& state, const MatmulStep& step, WorkerShare worker) {
  const MatmulRun run{state, step, worker.index,
                      {.x = state.at(step.x, worker.index), .x_stride = state.stride(step.x), .m = state.rows, .k = step.x.width, .mode = state.mode, .rowwise = state.rowwise},
                      state.few ? state.arena.own_scratch(worker.index) : state.arena.scratch()};
  if (step.epilogue != Epilogue::kNone) {
    const uint32_t columns = step.parts[0].columns, strips = strips_of(columns);
    take_pieces(state, step.ordinal, worker, strips, piece_of(strips, worker), [&](uint32_t begin, uint32_t end) {
      run.with_epilogue(begin * kColumnBlock, std::min(columns, end * kColumnBlock));
    });
    return;
  }
  // The parts' columns one behind another.
  uint32_t strips = 0;
  for (const MatmulPart& part : step.parts) strips += strips_of(part.columns);
  take_pieces(state, step.ordinal, worker, strips, piece_of(strips, worker), [&](uint32_t piece_begin, uint32_t piece_end) {
    uint32_t first = 0;
    for (const MatmulPart& part : step.parts) {
      const uint32_t count = strips_of(part.columns);
      const uint32_t begin = std::max(piece_begin, first), end = std::min(piece_end, first + count);
      if (begin < end) run.multiply(part, (begin - first) * kColumnBlock, std::min(part.columns, (end - first) * kColumnBlock));
      first += count;
    }
  });
}

}  // namespace accelerate
