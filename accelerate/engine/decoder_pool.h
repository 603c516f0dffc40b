// DecoderPool - the running Programs of one endpoint, each with its Scheduler, and what follows when one fails.
//
//   DecoderPool pool({.name = "smollm2", .candidates = plan, .running = {first}, .fallback = Fallback::kAllow});
//   ACC_TRY_VOID(pool.submit(std::move(job)));
//
// One Target runs, or several at once (then each Job goes where it ends first, engine/balancer.h). When a Program dies, hangs
// past PoolLimits::step_max or gives no numbers, its Jobs go on with another running Target, or with the next of the lineup as
// soon as that is started: prompt and tokens so far are computed again there, the Answer goes on as if nothing had happened.
// A Target that failed is started again within the limits of its CircuitBreaker; an answer moves at most moves_max times;
// with no Target left every Job ends with an error that has each Target's cause. One thread of the pool's own starts and
// buries Programs. Thread-safe. Destruction cancels what is left.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "accelerate/engine/lineup.h"
#include "accelerate/engine/scheduler.h"

namespace accelerate {

struct PoolParts {
  std::string name;                       // of the endpoint, for messages
  std::vector<Candidate> candidates;      // in the order of the Plan; those of `running` among them, else they are added
  std::vector<StartedProgram> running;    // decoders, at least one; of one vocabulary
  Fallback fallback = Fallback::kAllow;
  ShrinkOptions shrink;
  bool reuse_prefixes = true;
  PoolLimits limits;
};

struct PoolStats {
  SchedulerStats scheduler;               // of all Targets together, those gone included
  std::vector<QueuedRequest> queue;
  std::vector<TargetStats> targets;
  uint64_t answers_moved = 0;             // counted each time
  uint32_t waiting = 0;                   // for a Target to be started
};

class DecoderPool {
 public:
  explicit DecoderPool(PoolParts parts);
  ~DecoderPool();

  /// resource_exhausted when the queue is full; unavailable when no Target is left (with the causes) or after close().
  Result<void> submit(std::unique_ptr<Job> job);
  /// From now on `target` answers, started first if it does not run; the others end what they have begun, and go. Blocks while
  /// it starts. An error leaves all as it was: not_found listing the Targets, unavailable during another switch, the start's.
  Result<void> switch_to(const std::string& target);
  /// Ends all jobs with cancelled. Idempotent.
  void close();

  uint32_t vocabulary() const { return vocabulary_; }
  /// Tokens of prompt and answer together that every running Target takes; with none running, as it was.
  uint32_t context() const { return context_.load(); }
  uint64_t memory_bytes() const;
  PoolStats stats(size_t queue_most) const;

 private:
  using Clock = std::chrono::steady_clock;
  using Lock = std::unique_lock<std::mutex>;
  enum class State : uint8_t { kStopped, kStarting, kRunning, kDraining, kDead, kGoing };
  struct Member {
    State state = State::kStopped;
    bool keep = false;                    // runs beside others: is started again even while they do
    std::unique_ptr<DecoderProgram> program;
    std::unique_ptr<Scheduler> scheduler;
    uint64_t memory_bytes = 0;
    uint32_t context = 0, slots = 1;
    Clock::time_point up_since;
    std::deque<Clock::time_point> faults; // at most slot_faults_max
  };
  enum class Placed : uint8_t { kYes, kWaits, kNone, kFull };

  void run(size_t index, StartedProgram started);
  void take_orphans(size_t index, Orphans orphans);
  void note_fault(size_t index, const Error& why);
  void rehome(size_t index, std::unique_ptr<Job> job, Orphans::Reason reason, const Error& why);
  Placed place(std::unique_ptr<Job>& job, uint32_t faults_most);
  Placed place_anywhere(std::unique_ptr<Job>& job);
  void place_or_fail(std::unique_ptr<Job> job);
  std::optional<size_t> choose(const Job& job, const std::vector<bool>& tried, uint32_t faults_most) const;
  bool avoids(const Job& job, size_t index, uint32_t faults_most) const;
  void give_up(size_t index, const Error& why);
  void mark_dead(size_t index, const Error& why);
  bool busy(size_t index) const { return members_[index].state != State::kStopped; }

  void manage();
  void watch();
  void retry_waiting();
  bool bury_one(Lock& lock);
  std::optional<size_t> what_to_start() const;
  void start(size_t index, Lock& lock);
  void make_switch(Lock& lock);
  void update_context();

  const std::string name_;
  const Fallback fallback_;
  const ShrinkOptions shrink_;
  const bool reuse_prefixes_;
  const PoolLimits limits_;
  uint32_t vocabulary_ = 0;
  std::atomic<uint32_t> context_{0};
  mutable std::mutex mutex_;              // below: guarded by it; held while a scheduler's own is taken, never the reverse
  std::condition_variable changed_;
  Lineup lineup_;
  std::vector<Member> members_;           // one a candidate, never resized
  std::vector<std::unique_ptr<Job>> waiting_;  // for a Target to be started
  std::optional<size_t> switching_;       // to this Target; whoever asked waits for it to be nothing
  std::optional<Error> switch_error_;
  SchedulerStats past_;                   // of programs that are gone
  uint64_t answers_moved_ = 0;
  std::atomic<bool> closing_{false};
  std::mutex join_mutex_;
  std::thread thread_;
};

}  // namespace accelerate
