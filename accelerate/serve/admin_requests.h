// Requests of the admin routes: JSON or a query in, what the engine takes out.
//
//   Parsed<AdminPlan> plan = read_admin_plan(request.body);
//   if (!plan.ok()) return to.fail(plan.error());
//   engine.plan(plan->model, plan->wish);
//
// A member that is not known is refused by its name, unlike OpenAI's routes, where clients send much that means nothing here:
// who administers a machine has to learn of a typo. Ranges are the command line's. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "accelerate/engine/bench.h"
#include "accelerate/engine/model_roster.h"
#include "accelerate/engine/records.h"
#include "accelerate/serve/api_error.h"

namespace accelerate {

inline constexpr size_t kAdminNameBytesMax = 256;  // of an endpoint: it is repeated in every reply and metric
inline constexpr uint32_t kAdminRecordsDefault = 100, kAdminRecordsMax = 1000;

struct AdminPlan {
  std::string model;
  OpenOptions open;
};
Parsed<AdminPlan> read_admin_plan(std::string_view body);

struct AdminBench {
  std::string model;
  std::string targets;  // as bench_targets() takes them; "auto" where none are named
  BenchOptions options;
};
Parsed<AdminBench> read_admin_bench(std::string_view body);

/// A model to add; what it does not say is as in `defaults`. "hardware" and "targets" exclude each other.
Parsed<RosterModel> read_admin_endpoint(std::string_view body, const OpenOptions& defaults);

/// The "target" of a switch; of other actions, whose body is empty or {}, an empty text.
Parsed<std::string> read_admin_action(std::string_view body, bool with_target);

struct AdminRecords {
  RecordFilter filter;
  uint32_t limit = kAdminRecordsDefault;
};
/// Of "model_id=...&kind=bench&limit=10".
Parsed<AdminRecords> read_admin_records(std::string_view query);

}  // namespace accelerate
