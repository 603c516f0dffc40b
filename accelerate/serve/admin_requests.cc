#include "accelerate/serve/admin_requests.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "accelerate/base/thread_pool.h"
#include "accelerate/core/quantization.h"
#include "accelerate/engine/bench_targets.h"
#include "accelerate/engine/hardware.h"
#include "accelerate/engine/use_case.h"
#include "accelerate/net/url.h"
#include "accelerate/serve/json_body.h"

namespace accelerate {
namespace {

constexpr std::string_view kWhere = "admin";
constexpr Fields::NumberRange kPositive{std::numeric_limits<double>::min(), std::numeric_limits<double>::max()};

// The member `name` as a word that `find` knows; its error is the member's.
template <class T, class Found>
void named(Fields& fields, std::string_view name, Found (*find)(std::string_view), T& into) {
  std::string word;
  fields.string(name, word);
  if (word.empty()) return;
  Found found = find(word);
  if (found) into = *std::move(found);
  else fields.fail({.message = found.error().message, .param = fields.path(name), .code = "invalid_value"});
}

void read_model(Fields& fields, std::string& model) {
  fields.string("model", model);
  if (model.empty()) fields.fail(missing_parameter("model", kWhere));
}

void read_quantization(Fields& fields, CompileOptions& compile) {
  std::string word;
  fields.string("quantization", word);
  if (word.empty()) return;
  if (const auto known = quantization_from_name(word); !known) fields.fail({.message = known.error().message, .param = "quantization", .code = "invalid_value"});
  compile.quantization = word;
}

void read_count(Fields& fields, std::string_view name, int64_t most, uint32_t& into) {
  std::optional<uint32_t> count;
  fields.integer(name, {.low = 1, .high = most}, count);
  into = count.value_or(into);
}

void read_sizes(Fields& fields, CompileOptions& compile) {
  read_quantization(fields, compile);
  read_count(fields, "context", kContextAskedMax, compile.context);
  read_count(fields, "slots", limits::kSlotsMax, compile.slots);
  read_count(fields, "threads", ThreadPool::kThreadsMax, compile.threads);
}

void read_constraints(Fields& fields, PlanConstraints& constraints) {
  fields.strings("allow", hardware_names().size(), constraints.allowed);
  fields.strings("forbid", hardware_names().size(), constraints.forbidden);
  fields.number("ttft_ms_max", kPositive, constraints.ttft_ms_max);
  fields.number("tpot_ms_max", kPositive, constraints.tpot_ms_max);
  fields.number("tokens_per_s_min", kPositive, constraints.tokens_per_s_min);
  fields.number("joules_per_token_max", kPositive, constraints.joules_per_token_max);
  fields.number("kl_max", kPositive, constraints.kl_max);
  fields.integer("memory_bytes_max", {.low = 1, .high = std::numeric_limits<int64_t>::max()}, constraints.memory_bytes_max);
  fields.boolean("local_only", constraints.local_only);
}

// Either of them replaces both of the defaults.
void read_where_to_run(Fields& fields, OpenOptions& open) {
  const bool hardware = fields.find("hardware") != nullptr, targets = fields.find("targets") != nullptr, together = fields.find("together") != nullptr;
  if (hardware && targets) fields.fail(invalid_value("targets", "stands without 'hardware'", "both", kWhere));
  if (together && !targets) fields.fail(invalid_value("together", "is said of 'targets'", "none of them", kWhere));
  if (hardware || targets) open.targets.clear(), open.together = false, open.hardware = "auto";
  fields.string("hardware", open.hardware);
  fields.strings("targets", kBenchTargetsMax, open.targets);
  fields.boolean("together", open.together);
  fields.boolean("isolate", open.isolate);
}

ApiError bad_query(std::string_view name, std::string_view rule, std::string_view got) {
  return invalid_value(name, rule, fmt::format("'{}'", got.substr(0, 80)), kWhere);
}

}  // namespace

Parsed<AdminPlan> read_admin_plan(std::string_view body) {
  static constexpr std::string_view kMembers[] = {"model", "hardware", "quantization", "use", "objective", "allow", "forbid", "ttft_ms_max", "tpot_ms_max",
                                                  "tokens_per_s_min", "joules_per_token_max", "kl_max", "memory_bytes_max", "local_only", "context", "slots", "threads"};
  Parsed<Json> json = parse_body(body, kWhere);
  if (!json.ok()) return json.error();
  Fields fields(*json, "", kWhere);
  AdminPlan plan;
  fields.only(kMembers);
  read_model(fields, plan.model);
  fields.string("hardware", plan.open.hardware);
  named(fields, "use", &use_case_named, plan.open.use);
  named(fields, "objective", &objective_named, plan.open.objective);
  read_sizes(fields, plan.open.compile);
  read_constraints(fields, plan.open.constraints);
  if (fields.problem()) return *fields.problem();
  return plan;
}

Parsed<AdminBench> read_admin_bench(std::string_view body) {
  static constexpr std::string_view kMembers[] = {"model", "targets", "prompt_tokens", "generate_tokens", "batch", "rounds", "quantization", "threads"};
  Parsed<Json> json = parse_body(body, kWhere);
  if (!json.ok()) return json.error();
  Fields fields(*json, "", kWhere);
  AdminBench bench;
  fields.only(kMembers);
  read_model(fields, bench.model);
  std::vector<std::string> targets = {"auto"};
  fields.strings("targets", kBenchTargetsMax, targets);
  bench.targets = fmt::format("{}", fmt::join(targets, ","));
  read_count(fields, "prompt_tokens", kBenchTokensMax, bench.options.prompt_tokens);
  read_count(fields, "generate_tokens", kBenchTokensMax, bench.options.generate_tokens);
  read_count(fields, "batch", kBenchBatchMax, bench.options.batch);
  read_count(fields, "rounds", kBenchRoundsMax, bench.options.rounds);
  read_quantization(fields, bench.options.open.compile);
  read_count(fields, "threads", ThreadPool::kThreadsMax, bench.options.open.compile.threads);
  if (fields.problem()) return *fields.problem();
  return bench;
}

Parsed<RosterModel> read_admin_endpoint(std::string_view body, const OpenOptions& defaults) {
  static constexpr std::string_view kMembers[] = {"model", "name", "hardware", "targets", "together", "quantization", "fallback",
                                                  "context", "slots", "threads", "isolate", "deterministic", "pinned"};
  Parsed<Json> json = parse_body(body, kWhere);
  if (!json.ok()) return json.error();
  Fields fields(*json, "", kWhere);
  RosterModel model{.name = "", .word = "", .open = defaults};
  fields.only(kMembers);
  read_model(fields, model.word);
  fields.string("name", model.name);
  const bool printable = std::none_of(model.name.begin(), model.name.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; });
  if (!printable || model.name.size() > kAdminNameBytesMax) {
    fields.fail(invalid_value("name", fmt::format("has at most {} bytes, none of them a control character", kAdminNameBytesMax), std::to_string(model.name.size()), kWhere));
  }
  read_where_to_run(fields, model.open);
  named(fields, "fallback", &fallback_named, model.open.fallback);
  read_sizes(fields, model.open.compile);
  fields.boolean("deterministic", model.open.compile.deterministic);
  fields.boolean("pinned", model.pinned);
  if (fields.problem()) return *fields.problem();
  return model;
}

Parsed<std::string> read_admin_action(std::string_view body, bool with_target) {
  static constexpr std::string_view kMembers[] = {"target"};
  if (body.empty() && !with_target) return std::string();
  Parsed<Json> json = parse_body(body, kWhere);
  if (!json.ok()) return json.error();
  Fields fields(*json, "", kWhere);
  fields.only(with_target ? std::span(kMembers) : std::span<const std::string_view>());
  std::string target;
  fields.string("target", target);
  if (with_target && target.empty()) fields.fail(missing_parameter("target", kWhere));
  if (fields.problem()) return *fields.problem();
  return target;
}

Parsed<AdminRecords> read_admin_records(std::string_view query) {
  AdminRecords wish;
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(pair.size() + 1, query.size()));
    if (pair.empty()) continue;
    const std::string_view name = pair.substr(0, pair.find('='));
    const std::optional<std::string> value = name.size() == pair.size() ? std::nullopt : percent_decode(pair.substr(name.size() + 1));
    if (!value || value->empty()) return bad_query("query", "has NAME=VALUE with whole percent escapes", pair);
    if (name == "model_id") {
      wish.filter.model_id = *value;
    } else if (name == "kind") {
      if (*value != "bench" && *value != "parity") return bad_query(name, "is bench or parity", *value);
      wish.filter.kind = *value;
    } else if (name == "limit") {
      const auto [end, bad] = std::from_chars(value->data(), value->data() + value->size(), wish.limit);
      const bool whole = bad == std::errc() && end == value->data() + value->size();
      if (!whole || wish.limit == 0 || wish.limit > kAdminRecordsMax) return bad_query(name, fmt::format("is between 1 and {}", kAdminRecordsMax), *value);
    } else {
      return bad_query("query", "has model_id, kind and limit, nothing else", name);
    }
  }
  return wish;
}

}  // namespace accelerate
