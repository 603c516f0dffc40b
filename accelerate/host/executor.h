// Executor - runs batches of a HostPlan on a ThreadPool through a KernelTable.
//
//   ACC_TRY(std::unique_ptr<Executor> executor, Executor::create(plan, weights, kv->pool(), kernels, pool, options));
//   ACC_TRY_VOID(executor->run(batch, control));                  // all ops but the head; K and V are in the pages
//   LogitRows rows = executor->logits(wanted);                    // or hidden_row(t)
//
// One region of the pool per run: workers walk the steps together and meet where the HostPlan says so. A run allocates nothing.
// Results are the same whatever the number of threads, up to nothing: each number is computed by one thread in one order.
// Borrows everything it is created from. One thread at a time.
#pragma once

#include <memory>
#include <span>

#include "accelerate/base/thread_pool.h"
#include "accelerate/host/rope_table.h"
#include "accelerate/host/run_state.h"

namespace accelerate {

struct LogitRows {
  const float* values = nullptr;
  size_t stride = 0;
  std::span<const uint8_t> finite;  // per row: no NaN, no infinity
};

class Executor {
 public:
  struct Options {
    uint32_t rows_max = kBatchTokensMax;  // tokens of a batch
    uint32_t sequences_max = 1;           // of a batch
    uint32_t context_max = 0;             // tokens of a sequence
    bool rowwise = false;                 // results of a sequence do not depend on what else is in its batches
  };
  static Result<std::unique_ptr<Executor>> create(const HostPlan& plan, const Weights& weights, const PagePool& pages,
                                                  const KernelTable& kernels, ThreadPool& threads, const Options& options);
  /// Bytes create() will allocate for `threads` workers.
  static uint64_t bytes_needed(const HostPlan& plan, uint32_t threads, const Options& options);

  /// cancelled or deadline_exceeded by `control`, looked at before every attention; then the pages hold rubbish behind
  /// the positions before the batch. The caller has checked tokens, positions and pages.
  Result<void> run(const Batch& batch, const StepControl& control);

  /// At most this many rows in one logits().
  uint32_t logit_rows_max() const { return state_.arena.logit_rows(); }
  /// Logits of `rows` of the last batch; valid until the next call.
  LogitRows logits(std::span<const uint32_t> rows);
  /// The Output's x of a row of the last batch.
  std::span<const float> hidden_row(uint32_t row) const;

  uint64_t bytes() const;

 private:
  Executor(ThreadPool& threads, const Options& options) : threads_(threads), options_(options) {}
  void take(const Batch& batch);
  void walk(const PoolWorker& worker, const StepControl& control);
  bool meet_or_leave(const PoolWorker& worker, const PlannedStep& planned, const StepControl& control);
  void run_rows(size_t begin, size_t end, WorkerShare worker);
  void head(const PoolWorker& worker, std::span<const uint32_t> rows);

  ThreadPool& threads_;
  Options options_;
  RunState state_;
  std::vector<RopeTable> ropes_;
  std::atomic<uint32_t> stop_at_{0};   // attention step + 1 at which all workers leave
  std::vector<uint8_t> finite_;        // [worker][row], then of all workers in front
};

}  // namespace accelerate
