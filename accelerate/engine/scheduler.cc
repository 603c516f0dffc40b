#include "accelerate/engine/scheduler.h"

#include <algorithm>

#include <fmt/format.h>

#include "accelerate/base/limits.h"
#include "accelerate/base/log.h"

namespace accelerate {

struct Scheduler::Batch {
  std::vector<Job*> jobs;
  std::vector<SlotInput> inputs;
  std::vector<SlotStatus> statuses;
  std::vector<bool> over;            // the answer ended in this step
};

class Scheduler::Sink final : public LogitsSink {
 public:
  explicit Sink(Batch& batch) : batch_(batch) {}
  void row(size_t input, size_t, std::span<const float> logits) override {
    Job& job = *batch_.jobs[input];
    if (job.answer->take(logits)) {
      job.tokens.push_back(job.answer->last_token());
    } else {
      batch_.over[input] = true;
    }
  }

 private:
  Batch& batch_;
};

Scheduler::Scheduler(DecoderProgram& program) : program_(program) {
  load_.capacity = program.capacity();
  thread_ = std::thread([this] { loop(); });
}

Scheduler::~Scheduler() { close(); }

Result<void> Scheduler::submit(std::unique_ptr<Job> job) {
  CHECK(job && job->answer && !job->tokens.empty(), "a job has a prompt and an answer");
  {
    std::lock_guard lock(mutex_);
    if (dead_) return *dead_;
    if (closing_) return Error{ErrorCode::kUnavailable, "[scheduler] the model is being closed; try another endpoint"};
    if (queue_.size() >= limits::kQueuedRequestsMax) {
      return Error{ErrorCode::kResourceExhausted,
                   fmt::format("[scheduler] at most {} requests wait; got one more; try again later", limits::kQueuedRequestsMax)};
    }
    queue_.push_back(std::move(job));
    load_.queued = static_cast<uint32_t>(queue_.size());
  }
  changed_.notify_one();
  return {};
}

void Scheduler::close() {
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
  }
  changed_.notify_one();
  std::lock_guard lock(join_mutex_);  // several may close at once; each returns when the thread is gone
  if (thread_.joinable()) thread_.join();
}

Scheduler::Load Scheduler::load() const {
  std::lock_guard lock(mutex_);
  return load_;
}

void Scheduler::loop() {
  while (wait_for_work()) {
    drop_cancelled();
    admit();
    Batch batch = form_batch();
    if (!batch.inputs.empty()) run(batch);
    publish();
  }
  fail_all(Error{ErrorCode::kCancelled, "[scheduler] the model was closed"});
  publish();
}

bool Scheduler::wait_for_work() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return closing_ || !running_.empty() || !queue_.empty(); });
  return !closing_;
}

void Scheduler::release(Job& job) {
  if (job.slot) program_.close(*job.slot);
  job.slot.reset();
  job.computed = 0;
}

void Scheduler::drop_cancelled() {
  const Error error{ErrorCode::kCancelled, "[scheduler] the client went away"};
  std::erase_if(running_, [&](std::unique_ptr<Job>& job) {
    if (!job->answer->cancelled()) return false;
    release(*job);
    job->answer->fail(error);
    return true;
  });
  std::vector<std::unique_ptr<Job>> dropped;
  {
    std::lock_guard lock(mutex_);
    for (auto it = queue_.begin(); it != queue_.end();) {
      if (!(*it)->answer->cancelled()) { ++it; continue; }
      dropped.push_back(std::move(*it));
      it = queue_.erase(it);
    }
  }
  for (auto& job : dropped) job->answer->fail(error);
}

void Scheduler::admit() {
  const uint32_t slots_max = program_.limits().slots_max;
  while (running_.size() < slots_max) {
    std::unique_ptr<Job> job;
    {
      std::lock_guard lock(mutex_);
      if (queue_.empty()) return;
      // Alone, a job always starts: its own step says if it can not be. Beside others it waits for room for its prompt.
      if (!running_.empty()) {
        uint64_t promised = queue_.front()->tokens.size() + 1;
        for (const auto& other : running_) promised += other->tokens.size() - std::min(other->computed, other->tokens.size());
        if (promised > program_.capacity().kv_tokens_free) return;
      }
      job = std::move(queue_.front());
      queue_.pop_front();
    }
    Result<Slot> slot = program_.open();
    if (!slot) {
      if (running_.empty()) { job->answer->fail(slot.error()); continue; }
      std::lock_guard lock(mutex_);
      queue_.push_front(std::move(job));
      return;
    }
    job->slot = *slot;
    job->admitted = ++admissions_;
    job->answer->started();
    running_.push_back(std::move(job));
  }
}

Scheduler::Batch Scheduler::form_batch() {
  Batch batch;
  const auto answering = [](const Job& job) { return job.computed + 1 == job.tokens.size() && job.computed > 0; };
  const bool any_answering = std::any_of(running_.begin(), running_.end(), [&](const auto& job) { return answering(*job); });
  uint32_t room = program_.limits().batch_tokens_max;
  const auto add = [&](Job& job, uint32_t count) {
    const bool last = job.computed + count == job.tokens.size();
    batch.jobs.push_back(&job);
    batch.inputs.push_back({.slot = *job.slot, .tokens = std::span(job.tokens).subspan(job.computed, count),
                            .want = last ? Want::kLast : Want::kNone, .top_k = 0});
    room -= count;
  };
  for (auto& job : running_) {
    if (answering(*job) && room > 0) add(*job, 1);
  }
  if (any_answering) room = std::min(room, kMixedPromptTokensMax);
  for (auto& job : running_) {
    if (answering(*job) || room == 0) continue;
    add(*job, static_cast<uint32_t>(std::min<size_t>(room, job->tokens.size() - job->computed)));
  }
  batch.statuses.resize(batch.inputs.size());
  batch.over.resize(batch.inputs.size());
  return batch;
}

void Scheduler::run(Batch& batch) {
  // The sink appends to Job::tokens while inputs still view them: room for one more token keeps the views valid.
  for (size_t i = 0; i < batch.jobs.size(); ++i) {
    Job& job = *batch.jobs[i];
    job.tokens.reserve(job.tokens.size() + 1);
    batch.inputs[i].tokens = std::span(job.tokens).subspan(job.computed, batch.inputs[i].tokens.size());
  }
  Sink sink(batch);
  const Result<void> stepped = program_.step(batch.inputs, batch.statuses, sink, {.deadline = std::nullopt, .stop = &closing_});
  if (!stepped) {
    // Rows may have come before the error, and an answer that ended with one of them is over.
    for (size_t i = 0; i < batch.jobs.size(); ++i) {
      if (!batch.over[i]) continue;
      release(*batch.jobs[i]);
      batch.jobs[i]->answer.reset();
    }
    std::erase_if(running_, [](const std::unique_ptr<Job>& job) { return job->answer == nullptr; });
    if (stepped.error().code == ErrorCode::kCancelled && closing_) return;  // every slot is as it was, fail_all follows
    log_error("program died: " + to_string(stepped.error()));
    {
      std::lock_guard lock(mutex_);
      dead_ = stepped.error();
    }
    fail_all(stepped.error());
    return;
  }
  // Successes first: a job that is over must not be picked for preemption by a neighbour's error.
  for (size_t i = 0; i < batch.jobs.size(); ++i) {
    if (!batch.statuses[i].error) settle_success(batch, i);
  }
  for (size_t i = 0; i < batch.jobs.size(); ++i) {
    if (batch.statuses[i].error) settle_error(*batch.jobs[i], *batch.statuses[i].error);
  }
  std::erase_if(running_, [](const std::unique_ptr<Job>& job) { return job == nullptr || job->answer == nullptr; });
}

void Scheduler::settle_success(Batch& batch, size_t index) {
  Job& job = *batch.jobs[index];
  job.computed += batch.inputs[index].tokens.size();
  if (!batch.over[index]) return;
  release(job);
  job.answer.reset();
}

// A slot's own error: for lack of KV the youngest job steps back, unless there is no other; anything else ends the job.
void Scheduler::settle_error(Job& job, const Error& error) {
  if (!job.slot) return;  // stepped back for a neighbour in this very step
  const auto holders = std::count_if(running_.begin(), running_.end(), [](const auto& other) { return other && other->slot; });
  if (error.code == ErrorCode::kResourceExhausted && holders > 1) {
    preempt_youngest(error);
    return;
  }
  release(job);
  job.answer->fail(error);
  job.answer.reset();
}

void Scheduler::preempt_youngest(const Error& cause) {
  const auto youngest = std::max_element(running_.begin(), running_.end(), [](const auto& a, const auto& b) {
    const auto order = [](const auto& job) { return job && job->slot ? job->admitted : 0; };
    return order(a) < order(b);
  });
  CHECK(youngest != running_.end() && *youngest && (*youngest)->slot, "somebody holds KV");
  log_info(fmt::format("preempting the youngest request, {} tokens will be recomputed: {}", (*youngest)->computed, cause.message));
  release(**youngest);
  std::lock_guard lock(mutex_);
  queue_.push_front(std::move(*youngest));
}

void Scheduler::fail_all(const Error& error) {
  std::deque<std::unique_ptr<Job>> waiting;
  {
    std::lock_guard lock(mutex_);
    waiting.swap(queue_);
  }
  for (auto& job : running_) {
    release(*job);
    job->answer->fail(error);
  }
  running_.clear();
  for (auto& job : waiting) job->answer->fail(error);
}

void Scheduler::publish() {
  const Capacity capacity = program_.capacity();
  std::lock_guard lock(mutex_);
  load_ = {static_cast<uint32_t>(running_.size()), static_cast<uint32_t>(queue_.size()), capacity};
}

}  // namespace accelerate
