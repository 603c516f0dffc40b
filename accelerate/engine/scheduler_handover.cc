#include <algorithm>

#include <fmt/format.h>

#include "accelerate/base/log.h"
#include "accelerate/engine/scheduler.h"

// The part of the scheduler that gives jobs up: to whoever takes orphans, or to their clients as errors.
namespace accelerate {

void Scheduler::abandon(const Error& why) {
  {
    std::lock_guard lock(mutex_);
    if (dead_) return;
    dead_ = why;
    abandoned_ = true;
    stop_ = true;
  }
  changed_.notify_one();
}

void Scheduler::drain() {
  {
    std::lock_guard lock(mutex_);
    draining_ = true;
    drain_asked_ = true;
  }
  changed_.notify_one();
}

bool Scheduler::idle() const {
  std::lock_guard lock(mutex_);
  return jobs_ == 0 && !drain_asked_;
}

// What was asked for from outside. False when nothing is left to do but wait.
bool Scheduler::obey() {
  std::optional<Error> why;
  std::vector<std::unique_ptr<Job>> waiting;
  {
    std::lock_guard lock(mutex_);
    if (abandoned_) why = dead_;
    else if (drain_asked_) waiting = queue_.take_if([](const Job& job) { return job.admitted == 0; });
    abandoned_ = drain_asked_ = false;
    stop_ = closing_.load();
  }
  if (why) {
    hand_over_all(*why);
    publish();
    return false;
  }
  if (waiting.empty()) return true;
  Orphans orphans{.reason = Orphans::Reason::kDrained, .jobs = {}, .why = {ErrorCode::kUnavailable, "[scheduler] the model is being closed"}};
  for (auto& job : waiting) orphan(job, orphans.jobs);
  give_back(std::move(orphans));
  return true;
}

// The job leaves this scheduler as it came: with its tokens and its answer, without anything of the program's.
void Scheduler::orphan(std::unique_ptr<Job>& job, std::vector<std::unique_ptr<Job>>& to) {
  release(*job);
  std::lock_guard lock(mutex_);
  queue_.ended(*job);
  --jobs_;
  job->arrived = 0;
  to.push_back(std::move(job));
}

// Its program gave this job nothing: it is given back when the step is settled.
void Scheduler::set_aside(Job& job, const Error& error) {
  const auto at = std::find_if(running_.begin(), running_.end(), [&](const auto& other) { return other.get() == &job; });
  CHECK(at != running_.end(), "who is set aside was running");
  faulted_.emplace_back(std::move(*at), error);
}

void Scheduler::give_back(Orphans orphans) {
  if (options_.on_orphans) return options_.on_orphans(std::move(orphans));
  for (auto& job : orphans.jobs) job->answer->fail(orphans.why);
}

void Scheduler::die(const Error& error) {
  Error why = error;
  if (error.code == ErrorCode::kDeadlineExceeded && options_.step_max.count() > 0) {
    why.message = fmt::format("[scheduler] a step takes at most {} ms; got no end: {}", options_.step_max.count(), error.message);
  }
  log_error("program died: " + to_string(why));
  {
    std::lock_guard lock(mutex_);
    dead_ = why;
    abandoned_ = false;
  }
  hand_over_all(why);
}

void Scheduler::hand_over_all(const Error& error) {
  if (!options_.on_orphans) return fail_all(error);
  Orphans orphans{.reason = Orphans::Reason::kDied, .jobs = {}, .why = error};
  std::vector<std::unique_ptr<Job>> waiting;
  {
    std::lock_guard lock(mutex_);
    waiting = queue_.take_if([](const Job&) { return true; });
  }
  for (auto& [job, why] : faulted_) orphan(job, orphans.jobs);
  faulted_.clear();
  for (auto& job : running_) orphan(job, orphans.jobs);  // those who had begun go first
  running_.clear();
  for (auto& job : waiting) orphan(job, orphans.jobs);
  prefixes_.clear();
  give_back(std::move(orphans));
}

void Scheduler::hand_over_faulted() {
  for (auto& [job, why] : faulted_) {
    log_warning(fmt::format("request {} got no numbers: {}", job->id, to_string(why)));
    Orphans orphans{.reason = Orphans::Reason::kFault, .jobs = {}, .why = why};
    orphan(job, orphans.jobs);
    give_back(std::move(orphans));
  }
  faulted_.clear();
}

void Scheduler::fail_all(const Error& error) {
  std::vector<std::unique_ptr<Job>> waiting;
  {
    std::lock_guard lock(mutex_);
    waiting = queue_.take_if([](const Job&) { return true; });
  }
  for (auto& job : running_) fail(job, error);
  running_.clear();
  for (auto& job : waiting) fail(job, error);
  prefixes_.clear();
}

}  // namespace accelerate
