// Metrics - what GET /metrics says, in Prometheus' text format 0.0.4.
//
//   metrics.count(exchange.finish());               // every request, once it is over
//   writer.send(200, {{"content-type", kMetricsContentType}}, metrics.text(models.list(), models.roster()));
//
// Counters begin with the process; a model's with its load. Labels are bounded: routes are patterns, clients are keys'
// fingerprints, and of the queue the first kQueueShownMax places are shown. Thread-safe.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "accelerate/engine/endpoint.h"
#include "accelerate/engine/model_roster.h"
#include "accelerate/engine/telemetry.h"
#include "accelerate/serve/access_log.h"

namespace accelerate {

inline constexpr std::string_view kMetricsContentType = "text/plain; version=0.0.4; charset=utf-8";

class Metrics {
 public:
  void count(const AccessRecord& record);
  /// `roster` may be empty: where models do not come and go.
  std::string text(const std::vector<std::shared_ptr<Endpoint>>& endpoints, std::span<const RosterStatus> roster = {}) const;

 private:
  mutable std::mutex mutex_;
  std::map<std::tuple<std::string, std::string, int>, uint64_t> requests_;  // route, method, status
  std::map<std::string, Histogram> durations_s_;                            // by route
};

}  // namespace accelerate
