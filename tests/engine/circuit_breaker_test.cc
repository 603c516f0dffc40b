#include "accelerate/engine/circuit_breaker.h"

#include <gtest/gtest.h>

namespace accelerate {
namespace {

using namespace std::chrono_literals;
using State = CircuitBreaker::State;

const CircuitBreaker::Time kBegin{1h};

TEST(CircuitBreaker, WaitsTwiceAsLongAfterEachFailure) {
  CircuitBreaker breaker({.backoff_first = 100ms, .backoff_max = 300ms, .starts_max = 100, .window = 10min, .rest = 1h, .healthy_after = 60s});
  EXPECT_TRUE(breaker.may_start(kBegin));
  EXPECT_EQ(breaker.next_start(kBegin), kBegin);
  auto now = kBegin;
  for (const auto wait : {100ms, 200ms, 300ms, 300ms}) {
    breaker.start_begins(now);
    EXPECT_EQ(breaker.state(), State::kHalfOpen);
    EXPECT_FALSE(breaker.may_start(now + 1h)) << "one start at a time";
    EXPECT_FALSE(breaker.next_start(now));
    breaker.failed(now);
    EXPECT_EQ(breaker.state(), State::kOpen);
    EXPECT_FALSE(breaker.may_start(now + wait - 1ms));
    EXPECT_TRUE(breaker.may_start(now + wait));
    EXPECT_EQ(breaker.next_start(now), now + wait);
    now += wait;
  }
  EXPECT_EQ(breaker.failures(), 4u);
}

TEST(CircuitBreaker, ALongHealthyTimeForgivesAShortOneDoesNot) {
  CircuitBreaker breaker({.backoff_first = 100ms, .backoff_max = 10s, .starts_max = 100, .window = 10min, .rest = 1h, .healthy_after = 60s});
  auto now = kBegin;
  for (int i = 0; i < 3; ++i) {
    breaker.start_begins(now);
    breaker.start_worked(now);
    EXPECT_EQ(breaker.state(), State::kClosed);
    now += 1s;
    breaker.failed(now);
    now = *breaker.next_start(now);
  }
  EXPECT_EQ(breaker.failures(), 3u);
  breaker.start_begins(now);
  breaker.start_worked(now);
  now += 60s;
  breaker.failed(now);
  EXPECT_EQ(breaker.failures(), 1u);
  EXPECT_EQ(breaker.next_start(now), now + 100ms);
}

TEST(CircuitBreaker, IsOutAfterTooManyStartsUntilItRestedOrSomebodyAsks) {
  CircuitBreaker breaker({.backoff_first = 1ms, .backoff_max = 1ms, .starts_max = 3, .window = 10min, .rest = 30min, .healthy_after = 60s});
  auto now = kBegin;
  const auto fail_until_out = [&] {
    int starts = 0;
    while (breaker.state() != State::kOut && starts < 100) {
      breaker.start_begins(now);
      breaker.failed(now);
      now += 1ms;
      ++starts;
    }
    return starts;
  };
  EXPECT_EQ(fail_until_out(), 3);
  EXPECT_FALSE(breaker.may_start(now + 29min));
  EXPECT_TRUE(breaker.may_start(now + 30min));
  now += 30min;
  EXPECT_EQ(fail_until_out() + 0, 0) << "still out until a start begins";
  breaker.start_begins(now);
  breaker.failed(now);
  EXPECT_EQ(breaker.state(), State::kOpen) << "rested: all tries anew";
  EXPECT_EQ(fail_until_out(), 2);
  breaker.reset();
  EXPECT_TRUE(breaker.may_start(now));
  EXPECT_EQ(fail_until_out(), 3);
}

TEST(CircuitBreaker, StartsOutsideTheWindowDoNotCount) {
  CircuitBreaker breaker({.backoff_first = 1ms, .backoff_max = 1ms, .starts_max = 2, .window = 1min, .rest = 30min, .healthy_after = 1h});
  auto now = kBegin;
  for (int i = 0; i < 20; ++i, now += 61s) {
    breaker.start_begins(now);
    breaker.failed(now);
    EXPECT_EQ(breaker.state(), State::kOpen) << i;
  }
}

TEST(CircuitBreaker, ARefusalIsOutAtOnce) {
  CircuitBreaker breaker;
  breaker.start_begins(kBegin);
  breaker.refused(kBegin);
  EXPECT_EQ(breaker.state(), State::kOut);
  EXPECT_FALSE(breaker.may_start(kBegin + 10min));
  EXPECT_EQ(breaker_state_name(State::kOut), "out");
  EXPECT_EQ(breaker_state_name(State::kHalfOpen), "half-open");
  EXPECT_EQ(breaker_state_name(State::kOpen), "open");
  EXPECT_EQ(breaker_state_name(State::kClosed), "closed");
}

}  // namespace
}  // namespace accelerate
