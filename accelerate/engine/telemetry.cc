#include "accelerate/engine/telemetry.h"

#include <algorithm>
#include <numeric>

namespace accelerate {

void Histogram::observe(double value) {
  ++counts_[static_cast<size_t>(std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin())];
  sum_ += value;
}

uint64_t Histogram::count() const { return std::accumulate(counts_.begin(), counts_.end(), uint64_t{0}); }

void Histogram::add(const Histogram& other) {
  CHECK(other.counts_.size() == counts_.size(), "histograms of the same bounds are added");
  for (size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
  sum_ += other.sum_;
}

void SchedulerStats::add(const SchedulerStats& other) {
  running += other.running, queued += other.queued;
  capacity.kv_tokens_free += other.capacity.kv_tokens_free, capacity.kv_tokens_total += other.capacity.kv_tokens_total;
  capacity.slots_free += other.capacity.slots_free;
  kv_tokens_active += other.kv_tokens_active, sequences_kept += other.sequences_kept;
  steps += other.steps, preemptions += other.preemptions, evictions += other.evictions;
  prompt_tokens += other.prompt_tokens, prompt_tokens_cached += other.prompt_tokens_cached, generated_tokens += other.generated_tokens;
  prefix_hits += other.prefix_hits, prefix_misses += other.prefix_misses;
  prompt_tokens_ahead += other.prompt_tokens_ahead;
  batch_tokens.add(other.batch_tokens), batch_sequences.add(other.batch_sequences), step_s.add(other.step_s), queue_s.add(other.queue_s);
}

void SchedulerStats::forget_present() {
  running = queued = 0;
  capacity = {};
  kv_tokens_active = sequences_kept = prompt_tokens_ahead = 0;
  prompt_tokens_per_s = step_mean_s = 0;
}

}  // namespace accelerate
