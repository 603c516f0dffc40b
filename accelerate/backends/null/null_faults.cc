#include "accelerate/backends/null/null_faults.h"

#include <algorithm>
#include <thread>

namespace accelerate {
namespace {

constexpr std::chrono::microseconds kLook{200};  // how often a waiting step looks at its control

Error stopped(const StepControl& control) {
  const bool asked = control.stop && control.stop->load(std::memory_order_relaxed);
  return asked ? Error{ErrorCode::kCancelled, "[null] a step runs to its end; got a stop"}
               : Error{ErrorCode::kDeadlineExceeded, "[null] a step ends before its deadline; got a later time"};
}

}  // namespace

Result<void> NullFaults::begin(const StepControl& control) {
  if (dead_) return Error{ErrorCode::kInternal, "[null] this program died of a scripted fault"};
  now_ = calls_++ == script_.fault_step ? script_.fault : NullFault::kNone;
  if (now_ == NullFault::kCallError) {
    dead_ = true;
    return Error{ErrorCode::kInternal, "[null] scripted fault of the call"};
  }
  const auto end = std::chrono::steady_clock::now() + script_.step_delay;
  while (now_ == NullFault::kHang || std::chrono::steady_clock::now() < end) {
    if (control.should_stop()) return stopped(control);
    std::this_thread::sleep_for(now_ == NullFault::kHang ? kLook : std::min<std::chrono::microseconds>(kLook, script_.step_delay));
  }
  if (control.should_stop()) return stopped(control);
  return {};
}

}  // namespace accelerate
