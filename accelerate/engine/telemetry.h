// Telemetry - what is counted while requests are served; plain data that doors turn into metrics.
//
//   Histogram wait(kLatencyBounds_s);
//   wait.observe(0.012);
//
// Not thread-safe: whoever owns a value guards it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "accelerate/core/program.h"

namespace accelerate {

/// Counts of observations up to each bound, as Prometheus has them.
class Histogram {
 public:
  /// `bounds` ascend and outlive the histogram.
  explicit Histogram(std::span<const double> bounds) : bounds_(bounds), counts_(bounds.size() + 1, 0) {}
  void observe(double value);
  std::span<const double> bounds() const { return bounds_; }
  /// Of each bucket alone, not cumulated; the last is above all bounds.
  std::span<const uint64_t> counts() const { return counts_; }
  double sum() const { return sum_; }
  /// Of the same bounds.
  void add(const Histogram& other);
  uint64_t count() const;

 private:
  std::span<const double> bounds_;
  std::vector<uint64_t> counts_;
  double sum_ = 0;
};

// Seconds: from a short prompt's prefill to a long one's behind a full queue.
inline constexpr double kLatencyBounds_s[] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300};
// Seconds of one token: 1000 tok/s to one in 2.5 s.
inline constexpr double kTokenBounds_s[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2.5};
inline constexpr double kBatchBounds[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024};

/// One waiting request, as the metrics and /health show the queue.
struct QueuedRequest {
  std::string id, client;
  int32_t priority = 0;
  uint32_t prompt_tokens = 0;
  double waited_s = 0;
};

/// Of one scheduler, as of its last step.
struct SchedulerStats {
  uint32_t running = 0, queued = 0;
  Capacity capacity;
  uint64_t kv_tokens_active = 0;     // held by running sequences; what is neither active nor free is kept for reuse
  uint64_t sequences_kept = 0;
  uint64_t steps = 0, preemptions = 0, evictions = 0;
  uint64_t prompt_tokens = 0, prompt_tokens_cached = 0, generated_tokens = 0;  // computed or reused, recomputation included
  uint64_t prefix_hits = 0, prefix_misses = 0;
  uint64_t prompt_tokens_ahead = 0;  // of requests that are here, not computed yet
  double prompt_tokens_per_s = 0, step_mean_s = 0;  // live averages; 0 = not known yet
  Histogram batch_tokens{kBatchBounds}, batch_sequences{kBatchBounds}, step_s{kTokenBounds_s}, queue_s{kLatencyBounds_s};

  /// What another scheduler of the same model counts, too; averages stay.
  void add(const SchedulerStats& other);
  /// What remains of it when its program is gone: the counters.
  void forget_present();
};

/// One Target of an endpoint, for people and metrics.
struct TargetStats {
  std::string target;
  std::string state;                      // "running", "starting", "draining", "stopped"; "resting" = out for a while
  uint64_t starts = 0, failures = 0;
  std::string cause;                      // of the last failure
  uint32_t running = 0, queued = 0;
  double prompt_tokens_per_s = 0, step_mean_s = 0;  // 0 = not known yet
};

}  // namespace accelerate
