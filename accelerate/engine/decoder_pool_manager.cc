#include <algorithm>

#include <fmt/format.h>

#include "accelerate/base/log.h"
#include "accelerate/engine/decoder_pool.h"

// The pool's own thread: it buries programs that died, starts the next, and gives waiting jobs another try.
namespace accelerate {
namespace {

const Error kPoolClosed{ErrorCode::kCancelled, "[engine] the model was closed"};

// Stops a start when the pool closes or when it takes too long.
class StartProgress final : public Progress {
 public:
  StartProgress(const std::atomic<bool>& closing, std::chrono::steady_clock::time_point deadline) : closing_(closing), deadline_(deadline) {}
  bool update(std::string_view, uint64_t, uint64_t, std::string_view) override { return !closing_ && !late(); }
  bool late() const { return std::chrono::steady_clock::now() > deadline_; }

 private:
  const std::atomic<bool>& closing_;
  const std::chrono::steady_clock::time_point deadline_;
};

Result<StartedProgram> start_and_try(const Candidate& candidate, const StartRequest& request, const ShrinkOptions& shrink, uint32_t vocabulary, std::chrono::milliseconds step_max,
                                     const std::atomic<bool>& closing) {
  ACC_TRY(StartedProgram started, start_candidate(candidate, request, shrink));
  if (started.program->kind() != ProgramKind::kDecoder) {
    return Error{ErrorCode::kFailedPrecondition, fmt::format("[engine] an answer goes on with a decoder; {} made another kind of program", candidate.target)};
  }
  const uint32_t own = static_cast<DecoderProgram&>(*started.program).vocabulary();
  if (own != vocabulary) {
    return Error{ErrorCode::kFailedPrecondition, fmt::format("[engine] an answer goes on with the same {} tokens; {} has {}", vocabulary, candidate.target, own)};
  }
  ACC_TRY_VOID(run_canary(*started.program, {.deadline = std::chrono::steady_clock::now() + step_max, .stop = &closing}));
  return started;
}

}  // namespace

void DecoderPool::manage() {
  Lock lock(mutex_);
  while (!closing_) {
    watch();
    if (bury_one(lock)) continue;
    retry_waiting();
    if (switching_) {
      make_switch(lock);
      continue;
    }
    if (const std::optional<size_t> next = what_to_start()) {
      start(*next, lock);
      continue;
    }
    changed_.wait_until(lock, Clock::now() + limits_.watch_period);
  }
}

// A program that dies while nobody asks it anything is found here, and started again before somebody does.
void DecoderPool::watch() {
  for (size_t i = 0; i < members_.size(); ++i) {
    const bool up = members_[i].state == State::kRunning || members_[i].state == State::kDraining;
    if (up && !members_[i].program->alive()) give_up(i, Error{ErrorCode::kUnavailable, "[engine] its program is gone"});
  }
}

// What is dead, or drained to the end, goes, and its memory with it, before anything is started. False when there is none.
bool DecoderPool::bury_one(Lock& lock) {
  const auto at = std::find_if(members_.begin(), members_.end(), [](const Member& member) {
    return member.state == State::kDead || (member.state == State::kDraining && member.scheduler->idle());
  });
  if (at == members_.end()) return false;
  at->state = State::kGoing;
  Scheduler& scheduler = *at->scheduler;
  lock.unlock();
  scheduler.close();  // its thread may be giving jobs back, for which it takes the lock
  lock.lock();
  SchedulerStats stats = scheduler.stats();
  stats.forget_present();
  past_.add(stats);
  std::unique_ptr<Scheduler> gone = std::move(at->scheduler);
  std::unique_ptr<DecoderProgram> program = std::move(at->program);
  lock.unlock();
  gone.reset();
  program.reset();
  lock.lock();
  at->state = State::kStopped;
  update_context();
  return true;
}

void DecoderPool::retry_waiting() {
  std::vector<std::unique_ptr<Job>> waiting;
  waiting.swap(waiting_);
  for (auto& job : waiting) {
    if (job->answer->cancelled()) job->answer->fail({ErrorCode::kCancelled, "[scheduler] the client went away"});
    else place_or_fail(std::move(job));
  }
}

std::optional<size_t> DecoderPool::what_to_start() const {
  const auto now = Clock::now();
  const bool up = std::any_of(members_.begin(), members_.end(), [](const Member& member) { return member.state == State::kRunning; });
  if (!up) return lineup_.next(now, [&](size_t i) { return busy(i); });
  if (const auto kept = lineup_.next(now, [&](size_t i) { return busy(i) || !members_[i].keep; })) return kept;
  for (const auto& job : waiting_) {  // jobs that no running Target can take
    if (const auto next = lineup_.next(now, [&](size_t i) { return busy(i) || avoids(*job, i, 0); })) return next;
  }
  return {};
}

void DecoderPool::start(size_t index, Lock& lock) {
  Member& member = members_[index];
  member.state = State::kStarting;
  lineup_.begins(index, Clock::now());
  const Candidate candidate = lineup_.candidate(index);
  uint64_t taken = 0;
  for (const Member& other : members_) taken += other.program ? other.memory_bytes : 0;
  log_info(fmt::format("{}: {} is started, attempt {}", name_, candidate.target, lineup_.starts(index)));
  lock.unlock();
  StartProgress progress(closing_, Clock::now() + limits_.start_max);
  Result<StartedProgram> started = start_and_try(candidate, {.progress = progress, .memory_taken = taken}, shrink_, vocabulary_, limits_.step_max, closing_);
  if (!started && started.error().code == ErrorCode::kCancelled && progress.late()) {
    started = Error{ErrorCode::kDeadlineExceeded, fmt::format("[engine] a start takes at most {} s: {}", limits_.start_max.count() / 1000, started.error().message)};
  }
  lock.lock();
  if (started) {
    lineup_.worked(index, Clock::now());
    log_warning(fmt::format("{}: {} answers from now on", name_, candidate.target));
    run(index, *std::move(started));
  } else {
    member.state = State::kStopped;
    if (closing_) return;
    lineup_.failed(index, Clock::now(), started.error());
    log_warning(fmt::format("{}: {} did not start: {}", name_, candidate.target, to_string(started.error())));
  }
}


Result<void> DecoderPool::switch_to(const std::string& target) {
  Lock lock(mutex_);
  const std::optional<size_t> index = lineup_.find(target);
  if (!index) {
    std::string known;
    for (size_t i = 0; i < lineup_.size(); ++i) known += fmt::format("{}{}", i == 0 ? "" : ", ", lineup_.candidate(i).target);
    return Error{ErrorCode::kNotFound, fmt::format("[engine] '{}' can be switched to {}; got '{}'", name_, known, target)};
  }
  if (closing_) return kPoolClosed;
  if (switching_) return Error{ErrorCode::kUnavailable, fmt::format("[engine] one switch at a time; got '{}' while '{}' is on its way to {}", target, name_, lineup_.candidate(*switching_).target)};
  switching_ = index;
  switch_error_.reset();
  changed_.notify_all();
  changed_.wait(lock, [&] { return closing_ || !switching_; });
  if (switching_) return kPoolClosed;
  if (switch_error_) return *switch_error_;
  return {};
}

// New requests go to the new Target as soon as it runs; those that wait elsewhere come over, running answers stay to their end.
void DecoderPool::make_switch(Lock& lock) {
  const size_t index = *switching_;
  Member& member = members_[index];
  if (member.state == State::kStopped && lineup_.candidate(index).start) {
    lineup_.reset(index);  // somebody asks for it
    start(index, lock);
    if (closing_) return;
  }
  if (member.state == State::kRunning) {
    log_info(fmt::format("{}: switched to {}", name_, lineup_.candidate(index).target));
    lineup_.settle(index);
    for (size_t i = 0; i < members_.size(); ++i) {
      members_[i].keep = false;
      if (i == index || members_[i].state != State::kRunning) continue;
      members_[i].state = State::kDraining;
      members_[i].scheduler->drain();
    }
    update_context();
  } else {
    const std::string& target = lineup_.candidate(index).target;
    const std::string why = member.state == State::kDraining ? "it still ends answers of before" : lineup_.cause(index).empty() ? "it can not be started here" : lineup_.cause(index);
    switch_error_ = Error{ErrorCode::kUnavailable, fmt::format("[engine] '{}' stays where it is, {} does not answer; got {}", name_, target, why)};
  }
  switching_.reset();
  changed_.notify_all();
}

}  // namespace accelerate
