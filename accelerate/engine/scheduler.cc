#include "accelerate/engine/scheduler.h"

#include <algorithm>
#include <bit>

#include <fmt/format.h>

#include "accelerate/base/limits.h"
#include "accelerate/base/log.h"
#include "accelerate/engine/candidates.h"

namespace accelerate {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point then) { return std::chrono::duration<double>(Clock::now() - then).count(); }

// Not numbers to choose by: NaN, or +infinity (-infinity is a token that can not come). Without a branch a row, so that it
// costs a read of the row.
bool has_nan_or_infinity(std::span<const float> logits) {
  uint32_t found = 0;
  for (const float value : logits) {
    const auto bits = std::bit_cast<uint32_t>(value);
    found |= static_cast<uint32_t>((bits & 0x7fffffffu) > 0x7f800000u) | static_cast<uint32_t>(bits == 0x7f800000u);
  }
  return found != 0;
}

// All of a prompt is computed but its last token, or all of an answer but what was said last.
bool answering(const Job& job) { return job.slot && job.computed >= job.prompt && job.computed + 1 == job.tokens.size(); }

}  // namespace

struct Scheduler::Batch {
  std::vector<Job*> jobs;
  std::vector<SlotInput> inputs;
  std::vector<SlotStatus> statuses;
  std::vector<bool> over;    // the answer ended in this step
  std::vector<bool> broken;  // a row was no row of numbers
};

class Scheduler::Sink final : public LogitsSink {
 public:
  explicit Sink(Batch& batch) : batch_(batch) {}
  void row(size_t input, size_t token, std::span<const float> logits) override {
    Job& job = *batch_.jobs[input];
    if (batch_.over[input] || batch_.broken[input]) return;
    if (has_nan_or_infinity(logits)) {
      batch_.broken[input] = true;
      return;
    }
    const size_t index = job.computed + token;
    if (index + 1 < job.tokens.size()) {
      if (index + 1 < job.prompt) job.answer->take_prompt(index, logits);
    } else if (job.answer->take(logits)) {
      job.tokens.push_back(job.answer->last_token());
    } else {
      batch_.over[input] = true;
    }
  }

 private:
  Batch& batch_;
};

Scheduler::Scheduler(DecoderProgram& program, SchedulerOptions options)
    : program_(program), options_(std::move(options)), speed_(options_.speed), prefixes_(program) {
  stats_.capacity = program.capacity();
  thread_ = std::thread([this] { loop(); });
}

Scheduler::~Scheduler() { close(); }

Result<void> Scheduler::submit(std::unique_ptr<Job>&& job) {
  CHECK(job && job->answer && !job->tokens.empty(), "a job has a prompt and an answer");
  {
    std::lock_guard lock(mutex_);
    if (dead_) return *dead_;
    if (closing_ || draining_) return Error{ErrorCode::kUnavailable, "[scheduler] the model is being closed; try another endpoint"};
    const bool is_new = job->prompt == 0;
    if (is_new && queue_.size() >= limits::kQueuedRequestsMax) {
      return Error{ErrorCode::kResourceExhausted,
                   fmt::format("[scheduler] at most {} requests wait; got one more; try again later", limits::kQueuedRequestsMax)};
    }
    if (is_new) {
      job->prompt = job->tokens.size();
      job->submitted_at = Clock::now();
    }
    if (job->admitted != 0) job->admitted = ++admissions_;
    stats_.prompt_tokens_ahead += job->tokens.size();
    queue_.push(std::move(job));
    ++jobs_;
    stats_.queued = static_cast<uint32_t>(queue_.size());
  }
  changed_.notify_one();
  return {};
}

void Scheduler::close() {
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
    stop_ = true;
  }
  changed_.notify_one();
  std::lock_guard lock(join_mutex_);  // several may close at once; each returns when the thread is gone
  if (thread_.joinable()) thread_.join();
}

SchedulerStats Scheduler::stats() const {
  std::lock_guard lock(mutex_);
  return stats_;
}

std::vector<QueuedRequest> Scheduler::queued(size_t most) const {
  std::lock_guard lock(mutex_);
  std::vector<QueuedRequest> shown;
  const std::vector<const Job*> waiting = queue_.in_order();
  for (const Job* job : std::span(waiting).first(std::min(most, waiting.size()))) {
    shown.push_back({job->id, job->client, job->priority, static_cast<uint32_t>(job->prompt), seconds_since(job->submitted_at)});
  }
  return shown;
}

void Scheduler::loop() {
  while (wait_for_work()) {
    if (!obey()) continue;
    drop_cancelled();
    admit();
    Batch batch = form_batch();
    if (!batch.inputs.empty()) run(batch);
    hand_over_faulted();
    publish();
  }
  obey();  // what was abandoned before it was closed is still given back
  fail_all(Error{ErrorCode::kCancelled, "[scheduler] the model was closed"});
  publish();
}

bool Scheduler::wait_for_work() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return closing_ || abandoned_ || drain_asked_ || !running_.empty() || queue_.size() > 0; });
  return !closing_;
}

// Gives the KV up.
void Scheduler::release(Job& job) {
  if (job.slot) program_.close(*job.slot);
  job.slot.reset();
  job.computed = 0;
}

// Gives the KV to whoever begins like this job.
void Scheduler::retire(Job& job) {
  if (!options_.reuse_prefixes || !job.slot) return release(job);
  prefixes_.keep(*job.slot, {job.tokens.begin(), job.tokens.begin() + static_cast<std::ptrdiff_t>(job.computed)});
  job.slot.reset();
  job.computed = 0;
}

/// The job is over, its answer has ended already.
void Scheduler::end(std::unique_ptr<Job>& job) {
  release(*job);
  std::lock_guard lock(mutex_);
  queue_.ended(*job);
  --jobs_;
  job.reset();
}

void Scheduler::fail(std::unique_ptr<Job>& job, const Error& error) {
  job->answer->fail(error);
  end(job);
}

void Scheduler::sweep() {
  std::erase_if(running_, [](const std::unique_ptr<Job>& job) { return job == nullptr; });
}

void Scheduler::drop_cancelled() {
  const Error error{ErrorCode::kCancelled, "[scheduler] the client went away"};
  for (auto& job : running_) {
    if (!job->answer->cancelled()) continue;
    retire(*job);  // who asks again, as clients do after a lost connection, goes on from here
    fail(job, error);
  }
  sweep();
  std::vector<std::unique_ptr<Job>> dropped;
  {
    std::lock_guard lock(mutex_);
    dropped = queue_.take_if([](const Job& job) { return job.answer->cancelled(); });
  }
  for (auto& job : dropped) fail(job, error);
}

// The running job to step back first: of the largest priority value the youngest; with `holding`, of those that hold KV.
Job* Scheduler::worst_running(bool holding) const {
  Job* worst = nullptr;
  for (const auto& job : running_) {
    if (!job || (holding && !job->slot)) continue;
    if (!worst || std::pair(job->priority, job->admitted) > std::pair(worst->priority, worst->admitted)) worst = job.get();
  }
  return worst;
}

// Whether `job` may start now. Alone, a job always may: its own step says if it can not be. Beside others it waits for a
// place and for room for its prompt; one of smaller priority value makes its place.
bool Scheduler::make_room(const Job& job) {
  if (running_.empty()) return true;
  const DecoderLimits limits = program_.limits();
  const auto fits = [&] {
    uint64_t promised = job.tokens.size() + 1 - prefixes_.match(job.tokens, running_).tokens;
    for (const auto& other : running_) promised += other->tokens.size() - std::min(other->computed, other->tokens.size());
    return running_.size() < limits.slots_max && promised <= program_.capacity().kv_tokens_free;
  };
  while (!fits()) {
    if (running_.size() < limits.slots_max && prefixes_.evict()) {
      std::lock_guard lock(mutex_);
      ++stats_.evictions;
      continue;
    }
    Job* const worst = worst_running(false);
    if (worst == nullptr || worst->priority <= job.priority) return false;
    log_info(fmt::format("[scheduler] request {} of priority {} makes place for {}", worst->id, worst->priority, job.priority));
    retire(*worst);
    step_back(*worst);
    sweep();
    if (running_.empty()) return true;
  }
  return true;
}

void Scheduler::admit() {
  for (;;) {
    const Job* next = nullptr;
    {
      std::lock_guard lock(mutex_);
      next = queue_.next();  // only this thread takes jobs out: it stays where it is
    }
    if (next == nullptr || !make_room(*next)) return;
    std::lock_guard lock(mutex_);
    std::unique_ptr<Job> job = queue_.pop();  // whoever came meanwhile and goes before it fits as well or is sorted out by its own step
    if (job->admitted == 0) {
      job->admitted = ++admissions_;
      stats_.queue_s.observe(seconds_since(job->submitted_at));
    }
    running_.push_back(std::move(job));
  }
}

void Scheduler::explain_miss(const Job& job, const PrefixCache::Match& match) const {
  if (log_level() != LogLevel::kDebug) return;
  const std::string why = job.prompt_rows         ? "the logits of every token of the prompt are asked for"
                          : match.longest > 0     ? fmt::format("the longest shared beginning, {} tokens, is under {}", match.longest, PrefixCache::kTokensMin)
                          : prefixes_.sequences() ? fmt::format("none of {} kept sequences begins like it", prefixes_.sequences())
                                                  : std::string("no sequence is kept");
  log_debug(fmt::format("[scheduler] {}: no prefix of {} tokens reused: {}", job.id, job.tokens.size(), why));
}

Result<PrefixCache::Start> Scheduler::open_slot(const Job& job, bool reuse) {
  if (reuse) return prefixes_.start(job.tokens, running_);
  ACC_TRY(const Slot slot, program_.open());
  return PrefixCache::Start{slot, 0};
}

// Gives a job its slot, with what is already computed of its tokens. False when it does better to wait for another job
// that is computing the beginning they share, or when there is no slot; alone without a slot it is over.
bool Scheduler::begin(Job& job) {
  if (job.slot) return true;
  const bool reuse = options_.reuse_prefixes && !job.prompt_rows;
  const PrefixCache::Match match = reuse ? prefixes_.match(job.tokens, running_) : PrefixCache::Match{};
  if (match.coming != nullptr) return false;
  if (options_.reuse_prefixes && match.tokens == 0) explain_miss(job, match);
  while (program_.capacity().slots_free == 0 && prefixes_.evict()) {
  }
  Result<PrefixCache::Start> start = open_slot(job, reuse);
  while (!start && prefixes_.evict()) start = open_slot(job, reuse);
  if (!start && blames_target(start.error().code) && options_.on_orphans) {
    set_aside(job, start.error());
    return false;
  }
  if (!start) {
    // Others may yet give something back; without them it stays as it is.
    const bool alone = std::none_of(running_.begin(), running_.end(), [](const auto& other) { return other && other->slot; });
    if (!alone) return false;
    job.answer->fail(start.error());
    job.answer.reset();
    return false;
  }
  job.slot = start->slot;
  job.computed = start->cached;
  job.answer->computed_by(options_.target, job.move ? &*job.move : nullptr);
  job.move.reset();
  job.answer->started(std::min<uint32_t>(start->cached, static_cast<uint32_t>(job.prompt)));
  std::lock_guard lock(mutex_);
  stats_.prompt_tokens_cached += start->cached;
  ++(start->cached > 0 ? stats_.prefix_hits : stats_.prefix_misses);
  return true;
}

Scheduler::Batch Scheduler::form_batch() {
  Batch batch;
  const bool any_answering = std::any_of(running_.begin(), running_.end(), [](const auto& job) { return answering(*job); });
  uint32_t room = program_.limits().batch_tokens_max;
  const auto add = [&](Job& job, uint32_t count) {
    const bool last = job.computed + count == job.tokens.size();
    const bool rows = job.prompt_rows && job.computed < job.prompt;
    batch.jobs.push_back(&job);
    batch.inputs.push_back({.slot = *job.slot, .tokens = std::span(job.tokens).subspan(job.computed, count),
                            .want = rows ? Want::kAll : last ? Want::kLast : Want::kNone, .top_k = 0});
    room -= count;
  };
  for (auto& job : running_) {
    if (answering(*job) && room > 0) add(*job, 1);
  }
  if (any_answering) room = std::min(room, kMixedPromptTokensMax);
  for (auto& job : running_) {
    if (answering(*job) || room == 0 || !begin(*job)) continue;
    add(*job, static_cast<uint32_t>(std::min<size_t>(room, job->tokens.size() - job->computed)));
  }
  end_answered();
  batch.statuses.resize(batch.inputs.size());
  batch.over.resize(batch.inputs.size());
  batch.broken.resize(batch.inputs.size());
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
  const Clock::time_point began = Clock::now();
  StepControl control{.deadline = std::nullopt, .stop = &stop_};
  if (options_.step_max.count() > 0) control.deadline = began + options_.step_max;
  const Result<void> stepped = program_.step(batch.inputs, batch.statuses, sink, control);
  if (!stepped) {
    // Rows may have come before the error, and an answer that ended with one of them is over.
    for (auto& job : running_) {
      const auto at = std::find(batch.jobs.begin(), batch.jobs.end(), job.get());
      if (at != batch.jobs.end() && batch.over[static_cast<size_t>(at - batch.jobs.begin())]) end(job);
    }
    sweep();
    if (stepped.error().code == ErrorCode::kCancelled && stop_) return;  // every slot is as it was; obey() or fail_all follows
    return die(stepped.error());
  }
  count(batch, seconds_since(began));
  // Successes first: a job that is over must not be picked for preemption by a neighbour's error.
  for (size_t i = 0; i < batch.jobs.size(); ++i) {
    if (batch.broken[i] && !batch.statuses[i].error) {
      batch.statuses[i].error = Error{ErrorCode::kInternal, fmt::format("[scheduler] logits are numbers; got NaN or infinity behind {} tokens", batch.jobs[i]->tokens.size())};
    }
    if (!batch.statuses[i].error) settle_success(batch, i);
  }
  for (size_t i = 0; i < batch.jobs.size(); ++i) {
    if (batch.statuses[i].error) settle_error(*batch.jobs[i], *batch.statuses[i].error);
  }
  end_answered();
}

// Jobs whose answer has ended.
void Scheduler::end_answered() {
  for (auto& job : running_) {
    if (job && job->answer == nullptr) end(job);
  }
  sweep();
}

void Scheduler::count(const Batch& batch, double seconds) {
  std::lock_guard lock(mutex_);
  uint64_t tokens = 0, of_answers = 0;
  for (size_t i = 0; i < batch.jobs.size(); ++i) {
    if (batch.statuses[i].error) continue;
    const Job& job = *batch.jobs[i];
    const size_t computed = batch.inputs[i].tokens.size();
    const bool generated = job.computed >= job.prompt;
    (generated ? stats_.generated_tokens : stats_.prompt_tokens) += computed;
    queue_.charge(job, generated ? computed * FairQueue::kGeneratedWeight : computed);
    tokens += computed;
    if (generated && computed == 1) ++of_answers;
  }
  speed_.observe(tokens - of_answers, of_answers, seconds);
  ++stats_.steps;
  stats_.batch_tokens.observe(static_cast<double>(tokens));
  stats_.batch_sequences.observe(static_cast<double>(batch.jobs.size()));
  stats_.step_s.observe(seconds);
}

void Scheduler::settle_success(Batch& batch, size_t index) {
  Job& job = *batch.jobs[index];
  job.computed += batch.inputs[index].tokens.size();
  if (!batch.over[index]) return;
  retire(job);
  job.answer.reset();
}

// A slot's own error: for lack of KV first kept sequences, then the worst job step back, unless there is no other; anything
// else ends the job.
void Scheduler::settle_error(Job& job, const Error& error) {
  if (!job.slot) return;  // stepped back for a neighbour in this very step
  const auto holders = std::count_if(running_.begin(), running_.end(), [](const auto& other) { return other && other->slot; });
  if (error.code == ErrorCode::kResourceExhausted) {
    if (prefixes_.evict()) {
      std::lock_guard lock(mutex_);
      ++stats_.evictions;
      return;
    }
    if (holders > 1) {
      Job& worst = *worst_running(true);
      log_info(fmt::format("[scheduler] request {} steps back, {} tokens will be recomputed: {}", worst.id, worst.computed, error.message));
      release(worst);
      return step_back(worst);
    }
  }
  release(job);
  if (options_.on_orphans && blames_target(error.code)) return set_aside(job, error);
  job.answer->fail(error);
  job.answer.reset();
}

// Back to the queue, to be computed again from its prompt and what it has said.
void Scheduler::step_back(Job& job) {
  const auto at = std::find_if(running_.begin(), running_.end(), [&](const auto& other) { return other.get() == &job; });
  CHECK(at != running_.end(), "who steps back was running");
  std::lock_guard lock(mutex_);
  queue_.push(std::move(*at));
  ++stats_.preemptions;
}

void Scheduler::publish() {
  const Capacity capacity = program_.capacity();
  uint64_t active = 0, ahead = 0;
  for (const auto& job : running_) {
    active += job->computed;
    ahead += answering(*job) ? 0 : job->tokens.size() - job->computed;
  }
  std::lock_guard lock(mutex_);
  ahead += queue_.tokens();
  stats_.running = static_cast<uint32_t>(running_.size());
  stats_.queued = static_cast<uint32_t>(queue_.size());
  stats_.capacity = capacity;
  stats_.kv_tokens_active = active;
  stats_.sequences_kept = prefixes_.sequences();
  stats_.prompt_tokens_ahead = ahead;
  stats_.prompt_tokens_per_s = speed_.prompt_tokens_per_s();
  stats_.step_mean_s = speed_.step_s();
}

}  // namespace accelerate
