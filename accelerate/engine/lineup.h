// Lineup - the Targets of one endpoint in the order of its Plan: which may be started next, and why each was given up.
//
//   if (const std::optional<size_t> next = lineup.next(now, busy)) { lineup.begins(*next, now); ... lineup.worked(*next, now); }
//   else return lineup.none_left("smollm2");
//
// Pure: the clock is the caller's. Not thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "accelerate/engine/candidates.h"
#include "accelerate/engine/fallback.h"

namespace accelerate {

class Lineup {
 public:
  using Time = CircuitBreaker::Time;
  using Skip = std::function<bool(size_t)>;

  Lineup(std::vector<Candidate> candidates, Fallback fallback, const BreakerLimits& limits);

  size_t size() const { return entries_.size(); }
  const Candidate& candidate(size_t index) const { return entries_[index].candidate; }
  std::optional<size_t> find(const std::string& target) const;

  /// One that runs from the beginning: with fallback forbidden only these are started again.
  void home(size_t index, Time now);
  /// Of those that may be started now and that `skip` does not name, who failed least often in a row, then the first.
  std::optional<size_t> next(Time now, const Skip& skip) const;
  /// When the first of them may be; nothing when all are out.
  std::optional<Time> next_time(Time now, const Skip& skip) const;
  void begins(size_t index, Time now);
  void worked(size_t index, Time now);
  /// A start failed, or what ran died: out at once if another try can not help.
  void failed(size_t index, Time now, const Error& cause);
  /// From now on only this one is home.
  void settle(size_t index);
  void reset(size_t index) { entries_[index].breaker.reset(); }

  const CircuitBreaker& breaker(size_t index) const { return entries_[index].breaker; }
  const std::string& cause(size_t index) const { return entries_[index].cause.message; }  // of the last failure; empty = none
  uint64_t starts(size_t index) const { return entries_[index].starts; }
  uint64_t failures(size_t index) const { return entries_[index].failures; }
  /// With the cause of every Target, and their code where they agree; else unavailable.
  Error none_left(const std::string& name) const;

 private:
  struct Entry {
    Candidate candidate;
    CircuitBreaker breaker;
    Error cause;
    uint64_t starts = 0, failures = 0;
    bool home = false;
  };
  bool may(const Entry& entry) const { return entry.candidate.start && (fallback_ != Fallback::kForbid || entry.home); }

  std::vector<Entry> entries_;
  Fallback fallback_;
};

}  // namespace accelerate
