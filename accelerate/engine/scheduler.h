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
// A Job that its program fails is not lost: it is handed back (SchedulerOptions::on_orphans) as it is, for another scheduler
// to go on with. Rows that hold NaN or +infinity never reach an answer, whether the program found them or not.
// Thread-safe. Destruction cancels what is left.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "accelerate/core/program.h"
#include "accelerate/engine/balancer.h"
#include "accelerate/engine/fair_queue.h"
#include "accelerate/engine/job.h"
#include "accelerate/engine/prefix_cache.h"
#include "accelerate/engine/telemetry.h"

namespace accelerate {

/// Jobs that a scheduler gives back.
struct Orphans {
  enum class Reason : uint8_t {
    kDied,     // the program did, or was abandoned: these are all jobs there were
    kFault,    // it gave this job no numbers; others go on
    kDrained,  // they had not begun yet
  } reason = Reason::kDied;
  std::vector<std::unique_ptr<Job>> jobs;
  Error why;
};

struct SchedulerOptions {
  bool reuse_prefixes = true;
  std::string target = {};                        // who the program is, for Answer::computed_by
  /// Takes what can not be answered here; on the scheduler's thread, which holds no lock. Empty: those jobs fail.
  std::function<void(Orphans)> on_orphans = {};
  std::chrono::milliseconds step_max{0};          // a step that takes longer is a hang: the program is dead; 0 = no limit
  SpeedAverages speed = {};                       // as known before
};

class Scheduler {
 public:
  /// Prompt tokens of one step while somebody is answering: bounds the pause between two tokens of an answer.
  static constexpr uint32_t kMixedPromptTokensMax = 128;

  /// Borrows `program`, which must outlive the scheduler.
  explicit Scheduler(DecoderProgram& program, SchedulerOptions options = {});
  ~Scheduler();

  /// resource_exhausted when limits::kQueuedRequestsMax wait, which a job from another scheduler does not mind; unavailable
  /// after close() or drain(); the program's error when it died. With an error `job` stays the caller's.
  Result<void> submit(std::unique_ptr<Job>&& job);
  /// Gives all jobs up because of `why`, as if the program had died of it.
  void abandon(const Error& why);
  /// Takes no more: jobs that have not begun are given back, the others end here.
  void drain();
  /// Nobody is waiting or running.
  bool idle() const;
  /// Tokens of `prompt` that a kept sequence begins with.
  uint32_t cached_tokens(std::span<const uint32_t> prompt) const { return prefixes_.peek(prompt); }
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
  bool obey();
  void orphan(std::unique_ptr<Job>& job, std::vector<std::unique_ptr<Job>>& to);
  void set_aside(Job& job, const Error& error);
  void die(const Error& error);
  void hand_over_all(const Error& error);
  void hand_over_faulted();
  void give_back(Orphans orphans);
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
  uint64_t jobs_ = 0;                          // guarded by mutex_: submitted and neither ended nor given back
  std::optional<Error> dead_;                  // guarded by mutex_
  bool abandoned_ = false, draining_ = false, drain_asked_ = false;  // guarded by mutex_
  SpeedAverages speed_;                        // guarded by mutex_
  SchedulerStats stats_;                       // guarded by mutex_
  std::atomic<bool> closing_{false};
  std::atomic<bool> stop_{false};              // a step under way: closing or abandoned
  PrefixCache prefixes_;                       // the loop's
  std::vector<std::unique_ptr<Job>> running_;  // the loop's; null = gone in this step
  std::vector<std::pair<std::unique_ptr<Job>, Error>> faulted_;  // the loop's; of this step
  uint64_t admissions_ = 0;                    // guarded by mutex_
  std::mutex join_mutex_;
  std::thread thread_;
};

}  // namespace accelerate
