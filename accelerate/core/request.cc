#include "accelerate/core/request.h"

namespace accelerate {

std::string_view finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop: return "stop";
    case FinishReason::kLength: return "length";
    case FinishReason::kToolCalls: return "tool_calls";
    case FinishReason::kCancelled: break;
  }
  return "cancelled";
}

std::optional<Part> Stream::next(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, timeout, [&] { return !parts_.empty() || result_.has_value(); });
  if (parts_.empty()) return std::nullopt;
  Part part = std::move(parts_.front());
  parts_.pop_front();
  return part;
}

Result<Reply> Stream::result() const {
  std::lock_guard lock(mutex_);
  if (!result_) return Error{ErrorCode::kFailedPrecondition, "[core] a stream has a result once it is over; got a running one"};
  return *result_;
}

bool Stream::done() const {
  std::lock_guard lock(mutex_);
  return parts_.empty() && result_.has_value();
}

bool Stream::push(Part part) {
  if (cancelled()) return false;
  part.pushed_at = std::chrono::steady_clock::now();
  {
    std::lock_guard lock(mutex_);
    CHECK(!result_, "a finished stream takes no more parts");
    parts_.push_back(std::move(part));
  }
  changed_.notify_all();
  return true;
}

void Stream::finish(Result<Reply> result) {
  {
    std::lock_guard lock(mutex_);
    CHECK(!result_, "a stream finishes once");
    result_ = std::move(result);
  }
  changed_.notify_all();
}

}  // namespace accelerate
