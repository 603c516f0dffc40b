// BenchRounds - the rounds of one loaded model, as engine/bench.h defines them; run_bench and run_target_bench share them.
//
//   BenchRounds rounds(endpoint, options, vocabulary);
//   ACC_TRY_VOID(rounds.warm_up());
//   ACC_TRY_VOID(rounds.run(samples));      // adds one round
//
// Every BenchRounds draws the same tokens in the same order, so targets are measured on the same inputs.
#pragma once

#include <chrono>
#include <random>

#include "accelerate/engine/bench.h"

namespace accelerate {

inline constexpr std::chrono::milliseconds kBenchStopPoll{100};

class BenchRounds {
 public:
  /// `endpoint` outlives it.
  BenchRounds(Endpoint& endpoint, const BenchOptions& options, uint32_t vocabulary)
      : endpoint_(&endpoint), options_(options), vocabulary_(vocabulary) {}
  /// cancelled where `control` says stop: the round counts for nothing.
  Result<void> warm_up(const StepControl& control = {});
  Result<void> run(BenchSamples& samples, const StepControl& control = {});

 private:
  Endpoint* endpoint_;
  BenchOptions options_;
  uint32_t vocabulary_;
  std::mt19937_64 random_{20240229};
};

/// invalid_argument for a zero.
Result<void> check_bench_options(const BenchOptions& options);
/// out_of_range where prompt and answer do not fit.
Result<void> check_bench_context(const BenchOptions& options, const EndpointInfo& info);
/// `open` with slots and KV for the batch, where it does not say.
OpenOptions bench_open_options(const BenchOptions& options, OpenOptions open);
/// A report of what is known before the first round.
BenchReport begin_report(const Engine& engine, const ModelDescription& description, const EndpointInfo& info, const BenchOptions& options,
                         const OpenOptions& open);

}  // namespace accelerate
