// Printing and comparing benches of several targets; their JSON is serve's.
//
//   console.put(target_bench_table(bench, options));
//   ACC_TRY(std::vector<std::string> regressions, compare_benches(earlier_json, now_json));
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "accelerate/serve/admin_write.h"  // target_bench_json

namespace accelerate {

std::string target_bench_table(const TargetBench& bench, const BenchOptions& options);
/// One line a raw sample: model,target,metric,round,value (RFC 4180).
std::string target_bench_csv(const TargetBench& bench);

/// One line for each figure of a target in both that became worse by more than the noise of both runs together, 10 % at
/// least. invalid_argument where `earlier` is no such JSON, or of another model, shape or machine.
Result<std::vector<std::string>> compare_benches(const nlohmann::json& earlier, const nlohmann::json& now);

}  // namespace accelerate
