// EncoderPool - the Program of an endpoint that makes vectors or scores, and the next Target when it fails.
//
//   ACC_TRY(const std::string target, pool.run([&](EncoderProgram& program) { return program.encode(...); }, stop));
//
// A call keeps no state: when a Target fails it, the same call is made on the next one of the lineup, which is started for
// it, within the limits of circuit breakers. Thread-safe; one call runs at a time.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "accelerate/engine/lineup.h"
#include "accelerate/engine/telemetry.h"

namespace accelerate {

class EncoderPool {
 public:
  using Call = std::function<Result<void>(EncoderProgram&)>;
  struct Ran {
    std::string target;               // that answered
    std::vector<std::string> notes;   // moves on the way
  };

  EncoderPool(std::string name, std::vector<Candidate> candidates, StartedProgram running, Fallback fallback, const PoolLimits& limits);

  /// `stop` may be null. With fallback forbidden the error names the Target that failed; with none left, the cause of each.
  Result<Ran> run(const Call& call, const std::atomic<bool>* stop);
  /// As DecoderPool::switch_to.
  Result<void> switch_to(const std::string& target);
  uint64_t memory_bytes() const { return memory_bytes_.load(); }
  std::vector<TargetStats> targets() const;
  uint64_t moved() const { return moved_.load(); }

 private:
  using Clock = std::chrono::steady_clock;
  Result<void> start_next(const std::atomic<bool>* stop);
  void fail(const Error& why);
  Result<StartedProgram> start(size_t index, const std::atomic<bool>* stop);
  void use(size_t index, StartedProgram started);

  const std::string name_;
  const Fallback fallback_;
  const PoolLimits limits_;
  std::mutex run_mutex_;           // of calls and starts, which take long
  mutable std::mutex mutex_;       // below; taken inside the other
  Lineup lineup_;
  size_t current_ = 0;
  uint32_t faults_ = 0;                      // calls in a row that failed
  std::unique_ptr<EncoderProgram> program_;  // changed with both mutexes held
  std::atomic<uint64_t> memory_bytes_{0}, moved_{0};
};

}  // namespace accelerate
