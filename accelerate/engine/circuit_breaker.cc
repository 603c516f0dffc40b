#include "accelerate/engine/circuit_breaker.h"

#include <algorithm>

namespace accelerate {

bool CircuitBreaker::may_start(Time now) const {
  if (state_ == State::kHalfOpen) return false;
  return state_ == State::kClosed || now >= until_;
}

std::optional<CircuitBreaker::Time> CircuitBreaker::next_start(Time now) const {
  if (state_ == State::kHalfOpen) return {};
  return state_ == State::kClosed ? now : std::max(now, until_);
}

void CircuitBreaker::start_begins(Time now) {
  if (state_ == State::kOut) {  // rested: all anew
    starts_.clear();
    failures_ = 0;
  }
  while (!starts_.empty() && now - starts_.front() > limits_.window) starts_.pop_front();
  starts_.push_back(now);
  state_ = State::kHalfOpen;
  up_since_.reset();
}

void CircuitBreaker::start_worked(Time now) {
  state_ = State::kClosed;
  up_since_ = now;
}

void CircuitBreaker::failed(Time now) {
  if (up_since_ && now - *up_since_ >= limits_.healthy_after) failures_ = 0;
  up_since_.reset();
  ++failures_;
  while (!starts_.empty() && now - starts_.front() > limits_.window) starts_.pop_front();
  if (starts_.size() >= limits_.starts_max) return refused(now);
  auto backoff = limits_.backoff_first;
  for (uint32_t i = 1; i < failures_ && backoff < limits_.backoff_max; ++i) backoff *= 2;
  state_ = State::kOpen;
  until_ = now + std::min(backoff, limits_.backoff_max);
}

void CircuitBreaker::refused(Time now) {
  state_ = State::kOut;
  until_ = now + limits_.rest;
  up_since_.reset();
}

void CircuitBreaker::reset() {
  state_ = State::kClosed;
  failures_ = 0;
  starts_.clear();
}

std::string_view breaker_state_name(CircuitBreaker::State state) {
  switch (state) {
    case CircuitBreaker::State::kClosed: return "closed";
    case CircuitBreaker::State::kOpen: return "open";
    case CircuitBreaker::State::kHalfOpen: return "half-open";
    case CircuitBreaker::State::kOut: break;
  }
  return "out";
}

}  // namespace accelerate
