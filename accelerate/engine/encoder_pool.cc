#include "accelerate/engine/encoder_pool.h"

#include <algorithm>
#include <thread>

#include <fmt/format.h>

#include "accelerate/base/log.h"
#include "accelerate/engine/stopping.h"

namespace accelerate {

EncoderPool::EncoderPool(std::string name, std::vector<Candidate> candidates, StartedProgram running, Fallback fallback, const PoolLimits& limits)
    : name_(std::move(name)), fallback_(fallback), limits_(limits), lineup_({}, fallback, limits.breaker) {
  const bool known = std::any_of(candidates.begin(), candidates.end(), [&](const Candidate& one) { return one.target == running.target; });
  if (!known) candidates.push_back({.target = running.target, .start = {}, .speed = {}});
  lineup_ = Lineup(std::move(candidates), fallback, limits.breaker);
  current_ = *lineup_.find(running.target);
  lineup_.home(current_, Clock::now());
  program_.reset(static_cast<EncoderProgram*>(running.program.release()));
  memory_bytes_ = program_->memory_bytes();
}

Result<EncoderPool::Ran> EncoderPool::run(const Call& call, const std::atomic<bool>* stop) {
  std::lock_guard running(run_mutex_);
  Ran ran;
  for (uint32_t moves = 0;; ++moves) {
    if (!program_) ACC_TRY_VOID(start_next(stop));
    const std::string target = lineup_.candidate(current_).target;
    if (moves > 0) {
      ran.notes.push_back(fmt::format("moved to {}: {}", target, ran.notes.back()));
      ran.notes.erase(ran.notes.end() - 2);
      ++moved_;
    }
    const Result<void> done = call(*program_);
    if (done) {
      faults_ = 0;
      ran.target = target;
      return ran;
    }
    if (!blames_target(done.error().code)) return done.error();
    const Clock::time_point now = Clock::now();
    const bool another = lineup_.next_time(now, [&](size_t i) { return i == current_; }).has_value();
    // A program that still answers keeps its place where there is no other, for a while: the next call may do better.
    const bool again = ++faults_ >= limits_.slot_faults_max && lineup_.candidate(current_).start;
    if (another || again || !program_->alive()) fail(done.error());
    if (fallback_ == Fallback::kForbid) {
      return Error{ErrorCode::kUnavailable, fmt::format("[engine] fallback is forbidden for '{}'; got a failure of {}: {}; try --fallback allow", name_, target, done.error().message)};
    }
    if (program_) return done.error();
    if (moves + 1 >= limits_.moves_max) {
      return Error{ErrorCode::kUnavailable, fmt::format("[engine] a call moves at most {} times; got one more, from {}: {}", limits_.moves_max, target, done.error().message)};
    }
    ran.notes.push_back(fmt::format("{} failed: {}", target, done.error().message));
  }
}

void EncoderPool::fail(const Error& why) {
  log_warning(fmt::format("{}: {} failed: {}", name_, lineup_.candidate(current_).target, to_string(why)));
  std::lock_guard lock(mutex_);
  lineup_.failed(current_, Clock::now(), why);
  faults_ = 0;
  program_.reset();
  memory_bytes_ = 0;
}

// Waits for a circuit breaker where nothing may be started yet; that ends, since starts are limited.
Result<void> EncoderPool::start_next(const std::atomic<bool>* stop) {
  const auto none = [](size_t) { return false; };
  for (;;) {
    if (stop && stop->load()) return Error{ErrorCode::kCancelled, "[engine] the call was asked to stop"};
    const auto now = Clock::now();
    const std::optional<size_t> next = lineup_.next(now, none);
    if (!next) {
      const auto time = lineup_.next_time(now, none);
      if (!time) return lineup_.none_left(name_);
      std::this_thread::sleep_until(std::min(*time, now + std::chrono::milliseconds(50)));
      continue;
    }
    Result<StartedProgram> started = start(*next, stop);
    if (!started) continue;
    use(*next, *std::move(started));
    return {};
  }
}

// Counted and judged in the lineup.
Result<StartedProgram> EncoderPool::start(size_t index, const std::atomic<bool>* stop) {
  {
    std::lock_guard lock(mutex_);
    lineup_.begins(index, Clock::now());
  }
  StopProgress progress(stop);
  Result<StartedProgram> started = start_candidate(lineup_.candidate(index), {.progress = progress, .memory_taken = memory_bytes_}, {});
  if (started && started->program->kind() != ProgramKind::kEncoder) started = Error{ErrorCode::kFailedPrecondition, "[engine] it made another kind of program"};
  if (const Result<void> tried = started ? run_canary(*started->program, {.deadline = Clock::now() + limits_.step_max, .stop = stop}) : Result<void>(); !tried) started = tried.error();
  std::lock_guard lock(mutex_);
  if (started) {
    lineup_.worked(index, Clock::now());
    return started;
  }
  lineup_.failed(index, Clock::now(), started.error());
  log_warning(fmt::format("{}: {} did not start: {}", name_, lineup_.candidate(index).target, to_string(started.error())));
  return started;
}

void EncoderPool::use(size_t index, StartedProgram started) {
  std::lock_guard lock(mutex_);
  current_ = index;
  program_.reset(static_cast<EncoderProgram*>(started.program.release()));
  memory_bytes_ = program_->memory_bytes();
  log_warning(fmt::format("{}: {} answers from now on", name_, lineup_.candidate(index).target));
}

// Between two calls: nothing is dropped.
Result<void> EncoderPool::switch_to(const std::string& target) {
  std::lock_guard running(run_mutex_);
  const std::optional<size_t> index = lineup_.find(target);
  if (!index) return Error{ErrorCode::kNotFound, fmt::format("[engine] '{}' has no target '{}'; its metrics list those it has", name_, target)};
  if (program_ && *index == current_) return {};
  if (!lineup_.candidate(*index).start) return Error{ErrorCode::kUnavailable, fmt::format("[engine] '{}' stays where it is: {} can not be started here", name_, target)};
  ACC_TRY(StartedProgram started, start(*index, nullptr));
  use(*index, std::move(started));
  std::lock_guard lock(mutex_);
  lineup_.settle(*index);
  return {};
}

std::vector<TargetStats> EncoderPool::targets() const {
  std::lock_guard lock(mutex_);
  std::vector<TargetStats> all;
  for (size_t i = 0; i < lineup_.size(); ++i) {
    const bool out = lineup_.breaker(i).state() == CircuitBreaker::State::kOut;
    all.push_back({.target = lineup_.candidate(i).target, .state = program_ && i == current_ ? "running" : out ? "resting" : "stopped",
                   .starts = lineup_.starts(i), .failures = lineup_.failures(i), .cause = lineup_.cause(i)});
  }
  return all;
}

}  // namespace accelerate
