// Bench - measures one model on one Target through the same path that serves users, raw samples kept.
//
//   ACC_TRY(BenchReport report, run_bench(engine, "smollm2", {.prompt_tokens = 512}, progress));
//
// Decoder rounds: prefill of `prompt_tokens` random tokens, then `generate_tokens` greedy steps, for `batch` sequences at
// once. Encoders: `batch` texts of `prompt_tokens` tokens. Seconds by the steady clock; medians over rounds.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "accelerate/base/limits.h"
#include "accelerate/engine/engine.h"

namespace accelerate {

inline constexpr uint32_t kBenchTokensMax = 1 << 20;  // of a prompt, and of an answer
inline constexpr uint32_t kBenchBatchMax = limits::kSlotsMax;
inline constexpr uint32_t kBenchRoundsMax = 1000;

struct BenchOptions {
  uint32_t prompt_tokens = 512, generate_tokens = 128, batch = 1, rounds = 5;
  OpenOptions open;
  const std::atomic<bool>* stop = nullptr;  // not owned; ends a round within kBenchStopPoll, where Progress ends between rounds
};
struct BenchSamples {
  std::vector<double> prefill_tokens_per_s, decode_tokens_per_s, ttft_ms, texts_per_s;
};
struct BenchReport {
  std::string model, quantization, target;
  uint32_t threads = 0, prompt_tokens = 0, generate_tokens = 0, batch = 0, rounds = 0;
  double load_ms = 0;
  uint64_t memory_peak_bytes = 0, memory_program_bytes = 0;
  uint64_t weight_bytes = 0;        // read per decoded token, as packed
  double flops_per_token = 0;       // of the linear layers, the logits not counted: 2 x weights
  double flops_per_logits = 0;      // of one row of logits
  BenchSamples samples;             // one entry a round, of ttft_ms one a sequence; empty where it does not apply
  bool cancelled = false;           // progress asked to stop: what was measured until then is kept
  std::vector<std::string> notes;
};
Result<BenchReport> run_bench(Engine& engine, const std::string& model, const BenchOptions& options, Progress& progress);

/// Median; 0 entries give NaN, which JSON and tables print as unavailable.
double median(std::vector<double> samples);

/// Read bandwidth of memory and float arithmetic of this machine with `threads` threads, each about half a second.
struct MachineLimits { double read_gbytes_per_s = 0, f32_gflops = 0; uint32_t threads = 0; };
MachineLimits measure_machine(uint32_t threads);

}  // namespace accelerate
