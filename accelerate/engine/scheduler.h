// Scheduler - one thread that feeds a DecoderProgram: continuous batching over the KV that all requests share.
//
//   Scheduler scheduler(program);
//   ACC_TRY_VOID(scheduler.submit(std::make_unique<Job>(...)));
//
// Every step mixes one token of each answering job with prompt chunks of the jobs behind them, first come first served.
// Admission is optimistic: a job starts when a slot is free and its prompt fits the free KV. When KV runs out in the
// middle, the youngest job gives its KV back and is recomputed later from its prompt and what it has said (preemption
// by recompute, as in vLLM, arXiv 2309.06180): an admitted job that fits alone never fails for lack of KV.
// Thread-safe. Destruction cancels what is left.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "accelerate/core/program.h"

namespace accelerate {

/// What becomes of the logits of one sequence: made by the endpoint, called on the scheduler's thread only.
class Answer {
 public:
  virtual ~Answer() = default;
  /// Chooses the next token from a row of logits, emits text, and says whether to go on (false = over, finished).
  virtual bool take(std::span<const float> logits) = 0;
  /// The token chosen last: the next input.
  virtual uint32_t last_token() const = 0;
  virtual bool cancelled() const = 0;
  /// The first step of its prompt begins now.
  virtual void started() = 0;
  /// Ends the answer early; called at most once and not after take() returned false.
  virtual void fail(Error error) = 0;
};

struct Job {
  std::vector<uint32_t> tokens;     // prompt; grows by the answer
  std::unique_ptr<Answer> answer;
  // the scheduler's own:
  std::optional<Slot> slot;
  size_t computed = 0;              // tokens whose KV is in the slot
  uint64_t admitted = 0;            // order of admission; preemption takes the largest
};

class Scheduler {
 public:
  /// Prompt tokens of one step while somebody is answering: bounds the pause between two tokens of an answer.
  static constexpr uint32_t kMixedPromptTokensMax = 128;

  /// Borrows `program`, which must outlive the scheduler.
  explicit Scheduler(DecoderProgram& program);
  ~Scheduler();

  /// resource_exhausted when limits::kQueuedRequestsMax wait; unavailable after close() or when the program died.
  Result<void> submit(std::unique_ptr<Job> job);
  /// Ends all jobs with cancelled and joins the thread. Idempotent.
  void close();

  struct Load { uint32_t running = 0, queued = 0; Capacity capacity; };
  /// As of the last step.
  Load load() const;

 private:
  class Sink;
  struct Batch;
  void loop();
  bool wait_for_work();
  void drop_cancelled();
  void admit();
  Batch form_batch();
  void run(Batch& batch);
  void settle_success(Batch& batch, size_t index);
  void settle_error(Job& job, const Error& error);
  void preempt_youngest(const Error& cause);
  void release(Job& job);
  void fail_all(const Error& error);
  void publish();

  DecoderProgram& program_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::unique_ptr<Job>> queue_;     // guarded by mutex_
  std::optional<Error> dead_;                  // guarded by mutex_
  Load load_;                                  // guarded by mutex_
  std::atomic<bool> closing_{false};
  std::vector<std::unique_ptr<Job>> running_;  // the loop's
  uint64_t admissions_ = 0;
  std::mutex join_mutex_;
  std::thread thread_;
};

}  // namespace accelerate
