#include "accelerate/engine/lineup.h"

#include <algorithm>

#include <fmt/format.h>

namespace accelerate {

Lineup::Lineup(std::vector<Candidate> candidates, Fallback fallback, const BreakerLimits& limits) : fallback_(fallback) {
  for (Candidate& candidate : candidates) entries_.push_back({.candidate = std::move(candidate), .breaker = CircuitBreaker(limits), .cause = Error{}});
}

std::optional<size_t> Lineup::find(const std::string& target) const {
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].candidate.target == target) return i;
  }
  return {};
}

void Lineup::home(size_t index, Time now) {
  entries_[index].home = true;
  begins(index, now);
  worked(index, now);
}

std::optional<size_t> Lineup::next(Time now, const Skip& skip) const {
  std::optional<size_t> best;
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (!may(entries_[i]) || skip(i) || !entries_[i].breaker.may_start(now)) continue;
    if (!best || entries_[i].breaker.failures() < entries_[*best].breaker.failures()) best = i;
  }
  return best;
}

std::optional<Lineup::Time> Lineup::next_time(Time now, const Skip& skip) const {
  std::optional<Time> first;
  for (size_t i = 0; i < entries_.size(); ++i) {
    const CircuitBreaker& breaker = entries_[i].breaker;
    if (!may(entries_[i]) || skip(i)) continue;
    if (breaker.state() == CircuitBreaker::State::kOut && !breaker.may_start(now)) continue;  // in half an hour: nobody waits for that
    if (const std::optional<Time> time = breaker.next_start(now)) first = first ? std::min(*first, *time) : *time;
  }
  return first;
}

void Lineup::begins(size_t index, Time now) {
  entries_[index].breaker.start_begins(now);
  ++entries_[index].starts;
}

void Lineup::settle(size_t index) {
  for (size_t i = 0; i < entries_.size(); ++i) entries_[i].home = i == index;
}

void Lineup::worked(size_t index, Time now) { entries_[index].breaker.start_worked(now); }

void Lineup::failed(size_t index, Time now, const Error& cause) {
  Entry& entry = entries_[index];
  entry.cause = cause;
  ++entry.failures;
  if (may_pass(cause.code)) entry.breaker.failed(now);
  else entry.breaker.refused(now);
}

Error Lineup::none_left(const std::string& name) const {
  std::string causes;
  std::optional<ErrorCode> code;
  for (const Entry& entry : entries_) {
    const std::string& known = entry.cause.message;
    if (!known.empty()) code = !code || *code == entry.cause.code ? entry.cause.code : ErrorCode::kUnavailable;
    const std::string cause = !known.empty()                                  ? known
                              : fallback_ == Fallback::kForbid && !entry.home ? "not tried, fallback is forbidden"
                                                                              : "not tried";
    causes += fmt::format("{}{}: {}", causes.empty() ? "" : "; ", entry.candidate.target, cause);
  }
  return Error{code.value_or(ErrorCode::kUnavailable), fmt::format("[engine] no target is left for '{}'; got {}; try again later, or another target", name, causes)};
}

}  // namespace accelerate
