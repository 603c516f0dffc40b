// HealthMonitor - whether the models answer, by asking them, and what they are busy with.
//
//   HealthReport report = monitor.report();      // {"status":"ok","models":[...]}, 200
//
// A model is well when its last canary (Endpoint::check_health) succeeded. report() asks for a new one when the last is
// older than kCanaryAge and waits for it at most kCanaryWait; a canary that waits behind other people's work counts as
// well as long as that work moves on, and as failing after kStall without any movement. Thread-safe.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "accelerate/serve/server.h"

namespace accelerate {

std::string_view program_kind_name(ProgramKind kind);  // "decoder" ...

struct HealthOptions {
  std::chrono::milliseconds canary_age{5'000};
  std::chrono::milliseconds canary_wait{1'000};
  std::chrono::milliseconds stall{30'000};
  std::chrono::milliseconds close_wait{5'000};  // of the destructor, for canaries under way
};

struct HealthReport {
  int http_status = 503;
  std::string json;
};

class HealthMonitor {
 public:
  explicit HealthMonitor(ModelSource models, HealthOptions options = {});
  ~HealthMonitor();
  /// "ok" (200), "starting" (503: no model yet, or no canary has answered yet) or "failing" (503: a canary or the last load), and
  /// an entry a model. One that a request would load is well.
  HealthReport report();

 private:
  struct Shared;
  ModelSource models_;
  HealthOptions options_;
  std::shared_ptr<Shared> shared_;
};

}  // namespace accelerate
