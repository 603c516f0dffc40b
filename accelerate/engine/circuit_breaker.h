// CircuitBreaker - when a Target that failed may be started again: later after each failure, and never without end.
//
//   if (breaker.may_start(now)) {
//     breaker.start_begins(now);                       // half-open: nobody else starts it meanwhile
//     start() ? breaker.start_worked(now) : breaker.failed(now);
//   }
//
// closed -> open after a failure, for a time that doubles with each failure in a row -> half-open while one start is tried
// -> closed. A Target that was begun starts_max times within `window` is out: until reset() or until `rest` is over. Pure:
// the clock is the caller's. Not thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <string_view>

namespace accelerate {

struct BreakerLimits {
  std::chrono::milliseconds backoff_first{250};                        // a crash by chance costs no more than this
  std::chrono::milliseconds backoff_max{std::chrono::seconds(60)};
  uint32_t starts_max = 6;                                             // begun within `window`; waits of 8 s together
  std::chrono::milliseconds window{std::chrono::minutes(10)};
  std::chrono::milliseconds rest{std::chrono::minutes(30)};            // of a Target that is out
  std::chrono::milliseconds healthy_after{std::chrono::seconds(60)};   // up for so long: its next failure is a first one again
};

class CircuitBreaker {
 public:
  using Time = std::chrono::steady_clock::time_point;
  enum class State : uint8_t { kClosed, kOpen, kHalfOpen, kOut };

  explicit CircuitBreaker(const BreakerLimits& limits = {}) : limits_(limits) {}

  bool may_start(Time now) const;
  /// The earliest time at which may_start() holds if nothing else happens; nothing while half-open.
  std::optional<Time> next_start(Time now) const;
  void start_begins(Time now);
  void start_worked(Time now);
  /// A start failed, or what ran died.
  void failed(Time now);
  /// It failed for a reason that another try does not change: out at once.
  void refused(Time now);
  /// Somebody asks for another try: as if nothing had happened.
  void reset();
  State state() const { return state_; }
  uint32_t failures() const { return failures_; }  // in a row

 private:
  BreakerLimits limits_;
  State state_ = State::kClosed;
  uint32_t failures_ = 0;
  std::deque<Time> starts_;  // at most starts_max
  Time until_{};             // of open and out
  std::optional<Time> up_since_;
};

std::string_view breaker_state_name(CircuitBreaker::State state);  // "closed", "open", "half-open", "out"

}  // namespace accelerate
