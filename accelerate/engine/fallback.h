// Fallback - what may happen when a Target fails.
//
//   ACC_TRY(Fallback fallback, fallback_named("notify"));
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

#include "accelerate/base/result.h"
#include "accelerate/engine/circuit_breaker.h"

namespace accelerate {

enum class Fallback : uint8_t {
  kForbid,  // an answer whose Target fails ends with an error that names it and the cause; no other Target is started
  kAllow,   // it goes on with the next Target; told in the reply, the log and the metrics
  kNotify,  // and in the stream
};
std::string_view fallback_name(Fallback fallback);         // "forbid", "allow", "notify"
Result<Fallback> fallback_named(std::string_view name);    // invalid_argument listing the names

/// How often and how long things are tried before an answer fails.
struct PoolLimits {
  BreakerLimits breaker;
  uint32_t moves_max = 8;                                              // of one answer: what kills its eighth Target will kill the ninth
  uint32_t slot_faults_max = 3;                                        // answers without numbers within fault_window: then the Target counts as failed
  std::chrono::milliseconds fault_window{std::chrono::minutes(5)};
  std::chrono::milliseconds step_max{std::chrono::minutes(5)};         // a longer step is a hang; the longest real ones take seconds
  std::chrono::milliseconds start_max{std::chrono::minutes(15)};       // a restart, reference and compile included
  std::chrono::milliseconds watch_period{200};                         // between looks at Program::alive()
};

}  // namespace accelerate
