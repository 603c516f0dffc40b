// Scheduler - one thread that feeds a DecoderProgram: continuous batching over the KV that all requests share.
//
//   Scheduler scheduler(program, {});
//   ACC_TRY_VOID(scheduler.submit(std::make_unique<Job>(...)));
//
// Every step mixes one token of each answering job with prompt chunks of the jobs behind them. Who waits is served in the
// order of engine/fair_queue.h; a job of smaller priority value takes the place of a running one of larger. Admission is
// optimistic: a job starts when a slot is free and its prompt fits the free KV, KV kept for reuse counted as free
// (engine/prefix_cache.h). When KV runs out in the middle, kept sequences go first; then the youngest job of the largest
// priority value gives its KV back and is recomputed later from its prompt and what it has said (preemption by recompute,
// as in vLLM, arXiv 2309.06180): an admitted job that fits alone never fails for lack of KV.
// Thread-safe. Destruction cancels what is left.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "accelerate/core/program.h"
#include "accelerate/engine/fair_queue.h"
#include "accelerate/engine/job.h"
#include "accelerate/engine/prefix_cache.h"
#include "accelerate/engine/telemetry.h"

namespace accelerate {

struct SchedulerOptions {
  bool reuse_prefixes = true;
};

class Scheduler {
 public:
  /// Prompt tokens of one step while somebody is answering: bounds the pause between two tokens of an answer.
  static constexpr uint32_t kMixedPromptTokensMax = 128;

  /// Borrows `program`, which must outlive the scheduler.
  explicit Scheduler(DecoderProgram& program, SchedulerOptions options = {});
  ~Scheduler();

  /// resource_exhausted when limits::kQueuedRequestsMax wait; unavailable after close() or when the program died.
  Result<void> submit(std::unique_ptr<Job> job);
  /// Ends all jobs with cancelled and joins the thread. Idempotent.
  void close();

  SchedulerStats stats() const;
  /// Who waits, first to be served first; at most `most`.
  std::vector<QueuedRequest> queued(size_t most) const;

 private:
  class Sink;
  struct Batch;
  void loop();
  bool wait_for_work();
  void drop_cancelled();
  void admit();
  std::unique_ptr<Job> take_next();
  bool make_room(const Job& job);
  Job* worst_running(bool holding) const;
  Batch form_batch();
  bool begin(Job& job);
  Result<PrefixCache::Start> open_slot(const Job& job, bool reuse);
  void explain_miss(const Job& job, const PrefixCache::Match& match) const;
  void run(Batch& batch);
  void count(const Batch& batch, double seconds);
  void settle_success(Batch& batch, size_t index);
  void settle_error(Job& job, const Error& error);
  void step_back(Job& job);
  void retire(Job& job);
  void release(Job& job);
  void end(std::unique_ptr<Job>& job);
  void fail(std::unique_ptr<Job>& job, const Error& error);
  void end_answered();
  void sweep();
  void fail_all(const Error& error);
  void publish();

  DecoderProgram& program_;
  const SchedulerOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  FairQueue queue_;                            // guarded by mutex_
  std::optional<Error> dead_;                  // guarded by mutex_
  SchedulerStats stats_;                       // guarded by mutex_
  std::atomic<bool> closing_{false};
  PrefixCache prefixes_;                       // the loop's
  std::vector<std::unique_ptr<Job>> running_;  // the loop's; null = gone in this step
  uint64_t admissions_ = 0;
  std::mutex join_mutex_;
  std::thread thread_;
};

}  // namespace accelerate
