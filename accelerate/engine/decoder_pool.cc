#include "accelerate/engine/decoder_pool.h"

#include <algorithm>

#include <fmt/format.h>

#include "accelerate/base/limits.h"
#include "accelerate/base/log.h"

namespace accelerate {
namespace {

const Error kClosed{ErrorCode::kCancelled, "[engine] the model was closed"};

}  // namespace

DecoderPool::DecoderPool(PoolParts parts)
    : name_(std::move(parts.name)), fallback_(parts.fallback), shrink_(parts.shrink), reuse_prefixes_(parts.reuse_prefixes), limits_(parts.limits),
      lineup_({}, parts.fallback, parts.limits.breaker) {
  CHECK(!parts.running.empty(), "a pool begins with a program that runs");
  for (const StartedProgram& started : parts.running) {
    const bool known = std::any_of(parts.candidates.begin(), parts.candidates.end(), [&](const Candidate& one) { return one.target == started.target; });
    if (!known) parts.candidates.push_back({.target = started.target, .start = {}, .speed = {}});
  }
  lineup_ = Lineup(std::move(parts.candidates), fallback_, limits_.breaker);
  members_ = std::vector<Member>(lineup_.size());
  vocabulary_ = static_cast<DecoderProgram&>(*parts.running.front().program).vocabulary();
  Lock lock(mutex_);
  const bool several = parts.running.size() > 1;
  for (StartedProgram& started : parts.running) {
    const size_t index = *lineup_.find(started.target);
    lineup_.home(index, Clock::now());
    members_[index].keep = several;
    run(index, std::move(started));
  }
  thread_ = std::thread([this] { manage(); });
}

DecoderPool::~DecoderPool() { close(); }

void DecoderPool::close() {
  {
    Lock lock(mutex_);
    closing_ = true;
  }
  changed_.notify_all();
  std::lock_guard joining(join_mutex_);
  if (thread_.joinable()) thread_.join();
  // Nobody but the manager takes schedulers away, and it is gone. No lock: a scheduler that dies now wants it.
  for (Member& member : members_) {
    if (member.scheduler) member.scheduler->close();
  }
  Lock lock(mutex_);
  for (auto& job : waiting_) job->answer->fail(kClosed);
  waiting_.clear();
}

// With the lock held: the Target takes jobs from now on.
void DecoderPool::run(size_t index, StartedProgram started) {
  CHECK(started.program && started.program->kind() == ProgramKind::kDecoder, "a pool of decoders");
  Member& member = members_[index];
  member.program.reset(static_cast<DecoderProgram*>(started.program.release()));
  const DecoderLimits limits = member.program->limits();
  member.context = static_cast<uint32_t>(std::min<uint64_t>(limits.context_max, member.program->capacity().kv_tokens_total));
  member.slots = limits.slots_max;
  member.memory_bytes = member.program->memory_bytes();
  member.up_since = Clock::now();
  member.faults.clear();
  member.state = State::kRunning;
  const Candidate& candidate = lineup_.candidate(index);
  member.scheduler = std::make_unique<Scheduler>(
      *member.program, SchedulerOptions{.reuse_prefixes = reuse_prefixes_, .target = candidate.target,
                                        .on_orphans = [this, index](Orphans orphans) { take_orphans(index, std::move(orphans)); },
                                        .step_max = limits_.step_max, .speed = candidate.speed});
  update_context();
}

void DecoderPool::update_context() {
  uint32_t least = UINT32_MAX;
  for (const Member& member : members_) {
    if (member.state == State::kRunning) least = std::min(least, member.context);
  }
  if (least != UINT32_MAX) context_ = least;
}

Result<void> DecoderPool::submit(std::unique_ptr<Job> job) {
  Lock lock(mutex_);
  if (closing_) return Error{ErrorCode::kUnavailable, fmt::format("[engine] '{}' is being closed; try another endpoint", name_)};
  switch (place_anywhere(job)) {
    case Placed::kYes:
    case Placed::kWaits: return {};
    case Placed::kFull: break;
    case Placed::kNone: return lineup_.none_left(name_);
  }
  return Error{ErrorCode::kResourceExhausted,
               fmt::format("[engine] at most {} requests wait; got one more; try again later", limits::kQueuedRequestsMax)};
}

bool DecoderPool::avoids(const Job& job, size_t index, uint32_t faults_most) const {
  return std::count(job.faulted_on.begin(), job.faulted_on.end(), lineup_.candidate(index).target) > faults_most;
}

std::optional<size_t> DecoderPool::choose(const Job& job, const std::vector<bool>& tried, uint32_t faults_most) const {
  std::vector<size_t> open;
  for (size_t i = 0; i < members_.size(); ++i) {
    const Member& member = members_[i];
    if (member.state == State::kRunning && !tried[i] && !avoids(job, i, faults_most) && job.tokens.size() <= member.context) open.push_back(i);
  }
  if (open.size() < 2) return open.empty() ? std::optional<size_t>() : open.front();
  std::vector<TargetLoad> loads;
  for (const size_t i : open) {
    const Member& member = members_[i];
    const SchedulerStats stats = member.scheduler->stats();
    loads.push_back({.takes_requests = true, .speed = SpeedAverages(stats.prompt_tokens_per_s, stats.step_mean_s), .slots = member.slots,
                     .running = stats.running, .queued = stats.queued, .prompt_tokens_ahead = stats.prompt_tokens_ahead,
                     .cached_tokens = job.prompt_rows || !reuse_prefixes_ ? 0 : member.scheduler->cached_tokens(job.tokens),
                     .up_s = std::chrono::duration<double>(Clock::now() - member.up_since).count()});
  }
  constexpr uint32_t kAnswerTokensExpected = 128;  // where max_tokens says no less: answers of a chat
  const uint32_t answer = job.answer_tokens == 0 ? kAnswerTokensExpected : std::min(job.answer_tokens, kAnswerTokensExpected);
  const std::optional<size_t> best = choose_target(loads, {.prompt_tokens = static_cast<uint32_t>(job.tokens.size()), .answer_tokens = answer});
  return best ? std::optional<size_t>(open[*best]) : std::nullopt;
}

// To a running Target that gave this job no more than `faults_most` faults; else it waits if one may be started for it.
DecoderPool::Placed DecoderPool::place(std::unique_ptr<Job>& job, uint32_t faults_most) {
  std::vector<bool> tried(members_.size(), false);
  bool full = false, dying = false;
  while (const std::optional<size_t> at = choose(*job, tried, faults_most)) {
    Member& member = members_[*at];
    tried[*at] = true;
    if (!member.program->alive()) {
      give_up(*at, Error{ErrorCode::kUnavailable, "[engine] its program is gone"});
      continue;
    }
    const bool moved = job->move.has_value();
    const Result<void> taken = member.scheduler->submit(std::move(job));
    if (taken) {
      answers_moved_ += moved;
      return Placed::kYes;
    }
    (taken.error().code == ErrorCode::kResourceExhausted ? full : dying) = true;
  }
  if (full) return Placed::kFull;
  const auto now = Clock::now();
  bool may_come = dying;  // its own jobs come back in a moment, and then it is known whether it can be started again
  for (size_t i = 0; i < members_.size(); ++i) may_come = may_come || (members_[i].state == State::kStarting && !avoids(*job, i, faults_most));
  const auto skip = [&](size_t i) { return members_[i].state == State::kRunning || members_[i].state == State::kDraining || avoids(*job, i, faults_most); };
  if (!may_come && !lineup_.next_time(now, skip)) return Placed::kNone;
  const bool is_new = job->prompt == 0;
  if (is_new && waiting_.size() >= limits::kQueuedRequestsMax) return Placed::kFull;
  if (is_new) {
    job->prompt = job->tokens.size();
    job->submitted_at = now;
  }
  waiting_.push_back(std::move(job));
  changed_.notify_all();
  return Placed::kWaits;
}

// A Target that gave no numbers once is asked a second time when there is no other.
DecoderPool::Placed DecoderPool::place_anywhere(std::unique_ptr<Job>& job) {
  const Placed placed = place(job, 0);
  return placed == Placed::kNone && !job->faulted_on.empty() ? place(job, 1) : placed;
}

void DecoderPool::place_or_fail(std::unique_ptr<Job> job) {
  const Placed placed = place_anywhere(job);
  if (placed == Placed::kYes || placed == Placed::kWaits) return;
  Error error = lineup_.none_left(name_);
  if (job->move && job->move->why.find(']') != std::string::npos && error.message.find(job->move->why) == std::string::npos) {
    error.message += fmt::format(" (this answer was on {}: {})", job->move->from, job->move->why);
  }
  job->answer->fail(std::move(error));
}

// The Target is over: no job goes there, and those that are there come back.
void DecoderPool::give_up(size_t index, const Error& why) {
  mark_dead(index, why);
  members_[index].scheduler->abandon(why);
}

void DecoderPool::mark_dead(size_t index, const Error& why) {
  Member& member = members_[index];
  if (member.state != State::kRunning && member.state != State::kDraining) return;
  member.state = State::kDead;
  lineup_.failed(index, Clock::now(), why);
  log_warning(fmt::format("{}: {} failed: {}", name_, lineup_.candidate(index).target, to_string(why)));
  changed_.notify_all();
}

void DecoderPool::take_orphans(size_t index, Orphans orphans) {
  Lock lock(mutex_);
  if (closing_) {
    for (auto& job : orphans.jobs) job->answer->fail(kClosed);
    return;
  }
  if (orphans.reason == Orphans::Reason::kDied) mark_dead(index, orphans.why);
  if (orphans.reason == Orphans::Reason::kFault) note_fault(index, orphans.why);
  for (auto& job : orphans.jobs) rehome(index, std::move(job), orphans.reason, orphans.why);
}

// One answer got no numbers. The Target is given up for it where another can take over, or when it happens again and again.
void DecoderPool::note_fault(size_t index, const Error& why) {
  Member& member = members_[index];
  if (member.state != State::kRunning) return;
  const auto now = Clock::now();
  while (!member.faults.empty() && now - member.faults.front() > limits_.fault_window) member.faults.pop_front();
  member.faults.push_back(now);
  bool others = false;
  for (size_t i = 0; i < members_.size(); ++i) others = others || (i != index && members_[i].state == State::kRunning);
  const auto skip = [&](size_t i) { return i == index; };
  const bool another = !others && lineup_.next_time(now, skip).has_value();
  if (another || member.faults.size() >= limits_.slot_faults_max || !member.program->alive()) give_up(index, why);
}

void DecoderPool::rehome(size_t index, std::unique_ptr<Job> job, Orphans::Reason reason, const Error& why) {
  const std::string& target = lineup_.candidate(index).target;
  if (job->answer->cancelled()) return job->answer->fail({ErrorCode::kCancelled, "[scheduler] the client went away"});
  const bool had_begun = job->admitted != 0;
  if (had_begun && reason != Orphans::Reason::kDrained) {
    const size_t said = job->tokens.size() - job->prompt;
    if (fallback_ == Fallback::kForbid) {
      return job->answer->fail({ErrorCode::kUnavailable, fmt::format("[engine] fallback is forbidden for '{}'; got a failure of {} after {} tokens: {}; try --fallback allow",
                                                                     name_, target, said, why.message)});
    }
    if (++job->moves > limits_.moves_max) {
      return job->answer->fail({ErrorCode::kUnavailable, fmt::format("[engine] an answer moves at most {} times; got one more, from {}: {}", limits_.moves_max, target, why.message)});
    }
    if (job->move) job->move->why += fmt::format("; {}: {}", target, why.message);
    else job->move = JobMove{.from = target, .why = why.message, .announce = fallback_ == Fallback::kNotify};
    if (reason == Orphans::Reason::kFault) job->faulted_on.push_back(target);
    log_warning(fmt::format("{}: request {} leaves {} after {} tokens: {}", name_, job->id, target, said, why.message));
  }
  place_or_fail(std::move(job));
}

uint64_t DecoderPool::memory_bytes() const {
  Lock lock(mutex_);
  uint64_t sum = 0;
  for (const Member& member : members_) sum += member.program ? member.memory_bytes : 0;
  return sum;
}

PoolStats DecoderPool::stats(size_t queue_most) const {
  Lock lock(mutex_);
  PoolStats all{.scheduler = past_, .queue = {}, .targets = {}, .answers_moved = answers_moved_, .waiting = static_cast<uint32_t>(waiting_.size())};
  for (size_t i = 0; i < members_.size(); ++i) {
    const Member& member = members_[i];
    TargetStats one{.target = lineup_.candidate(i).target, .state = {}, .starts = lineup_.starts(i), .failures = lineup_.failures(i), .cause = lineup_.cause(i)};
    const bool out = lineup_.breaker(i).state() == CircuitBreaker::State::kOut;
    one.state = member.state == State::kRunning    ? "running"
                : member.state == State::kStarting ? "starting"
                : member.state == State::kDraining ? "draining"
                : out                              ? "resting"
                                                   : "stopped";
    if (member.scheduler) {
      const SchedulerStats stats = member.scheduler->stats();
      one.running = stats.running, one.queued = stats.queued;
      one.prompt_tokens_per_s = stats.prompt_tokens_per_s, one.step_mean_s = stats.step_mean_s;
      all.scheduler.add(stats);
      for (QueuedRequest& queued : member.scheduler->queued(queue_most - std::min(queue_most, all.queue.size()))) all.queue.push_back(std::move(queued));
    }
    all.targets.push_back(std::move(one));
  }
  all.scheduler.queued += all.waiting;
  return all;
}

}  // namespace accelerate
