// Waits and faults that both kinds of scripted programs share.
#pragma once

#include "accelerate/backends/null/null.h"
#include "accelerate/core/program.h"

namespace accelerate {

/// Counts the calls of one program and says what goes wrong in each.
class NullFaults {
 public:
  explicit NullFaults(const NullScript& script) : script_(script) {}

  /// Waits as scripted. cancelled or deadline_exceeded by `control`; internal for kCallError and ever after.
  Result<void> begin(const StepControl& control);
  /// The fault of the call begun last, kCallError excepted.
  NullFault now() const { return now_; }

 private:
  const NullScript& script_;
  uint64_t calls_ = 0;
  NullFault now_ = NullFault::kNone;
  bool dead_ = false;
};

}  // namespace accelerate
