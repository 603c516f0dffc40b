#include "accelerate/serve/admin_write.h"

#include <cmath>

#include "accelerate/base/json.h"
#include "accelerate/engine/catalog.h"
#include "accelerate/engine/known_models.h"
#include "accelerate/serve/health.h"

namespace accelerate {
namespace {

template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}
Json text_or_null(const std::string& text) { return text.empty() ? Json() : Json(text); }
Json known_or_null(double value) { return value > 0 ? Json(value) : Json(); }
Json finite_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(); }

Json verdict_json(const Verdict& verdict) {
  Json devices = Json::array();
  for (const Device& device : verdict.devices) {
    devices.push_back({{"id", to_string(device)}, {"name", device.name}, {"memory_bytes", device.memory_bytes ? Json(device.memory_bytes) : Json()},
                       {"features", device.features}});
  }
  return {{"hardware", verdict.hardware}, {"verdict", verdict_state_name(verdict.state)}, {"devices", devices}, {"version", verdict.version},
          {"evidence", verdict.evidence}, {"reason", verdict.reason}, {"how_to_get", verdict.how_to_get}};
}

Json figures_json(const std::optional<PlanFigures>& figures) {
  if (!figures) return {};
  const PlanFigures& f = *figures;
  Json json = {{"ttft_ms", or_null(f.ttft_ms)}, {"tpot_ms", or_null(f.tpot_ms)}, {"tokens_per_s", or_null(f.tokens_per_s)}, {"texts_per_s", or_null(f.texts_per_s)},
               {"joules_per_token", or_null(f.joules_per_token)}, {"memory_bytes", or_null(f.memory_bytes)}, {"samples", f.samples}, {"unix_s", f.unix_s}};
  if (!f.from.empty()) json["from_shape"] = f.from;
  return json;
}

Json memory_json(const PlanEntry& entry) {
  if (!entry.yes && entry.memory.total() == 0) return {};
  return {{"weights_bytes", entry.memory.weights}, {"kv_bytes", entry.memory.kv}, {"buffers_bytes", entry.memory.buffers}, {"total_bytes", entry.memory.total()}};
}

Json entry_json(const PlanEntry& entry) {
  const bool has_target = entry.backend && !entry.target.device.kind.empty();
  return {{"hardware", entry.hardware}, {"target", has_target ? Json(to_string(entry.target)) : Json()}, {"yes", entry.yes}, {"reason", entry.reason},
          {"how_to_get", entry.how_to_get}, {"measured", figures_json(entry.measured)}, {"predicted", figures_json(entry.predicted)},
          {"parity", {{"verdict", text_or_null(entry.parity)}, {"kl_mean", or_null(entry.kl_mean)}}}, {"memory_estimate", memory_json(entry)}};
}

Json metric_json(const std::vector<double>& samples) {
  return {{"median", finite_or_null(median(samples))}, {"p50", finite_or_null(percentile(samples, 0.5))}, {"p90", finite_or_null(percentile(samples, 0.9))},
          {"p99", finite_or_null(percentile(samples, 0.99))}, {"noise", finite_or_null(noise_of(samples))}, {"samples", samples}};
}

Json result_json(const TargetResult& r) {
  Json json = {{"label", r.label}, {"target", text_or_null(r.report.target)}, {"refusal", text_or_null(r.refusal)},
               {"parity", text_or_null(r.parity)}, {"kl_mean", or_null(r.kl_mean)},
               {"threads", r.report.threads}, {"load_ms", r.report.load_ms}, {"memory_program_bytes", r.report.memory_program_bytes},
               {"rounds", r.report.rounds}, {"notes", r.report.notes}, {"energy", r.joules_per_token.empty() ? "unavailable" : "RAPL, all packages"}};
  for (const BenchMetric& metric : bench_metrics()) {
    const std::vector<double> samples = metric.samples(r);
    json["metrics"][metric.name] = samples.empty() ? Json() : metric_json(samples);
  }
  return json;
}

}  // namespace

Json hardware_json(std::span<const Verdict> verdicts) {
  Json list = Json::array();
  for (const Verdict& verdict : verdicts) list.push_back(verdict_json(verdict));
  return list;
}

Json plan_json(const ModelPlan& p) {
  Json targets = Json::array();
  for (const PlanEntry& entry : p.plan.entries) targets.push_back(entry_json(entry));
  return {{"model", p.name}, {"model_id", p.model_id}, {"quantization", p.quantization}, {"objective", objective_name(p.objective)},
          {"use", {{"name", p.use.name}, {"prompt_tokens", p.use.prompt_tokens}, {"generate_tokens", p.use.generate_tokens},
                   {"concurrency", p.use.concurrency}, {"shape", shape_bucket(p.use)}}},
          {"machine", p.fingerprint}, {"threads", p.threads}, {"best", p.plan.best() ? Json(to_string(p.plan.best()->target)) : Json()},
          {"nearest_miss", text_or_null(p.plan.nearest_miss)}, {"targets", targets}, {"notes", p.notes}};
}

Json target_bench_json(const TargetBench& bench, const BenchOptions& options) {
  Json targets = Json::array();
  for (const TargetResult& result : bench.results) targets.push_back(result_json(result));
  return {{"model", bench.model}, {"model_id", bench.model_id}, {"machine", bench.fingerprint}, {"shape", bench.shape},
          {"prompt_tokens", options.prompt_tokens}, {"generate_tokens", options.generate_tokens}, {"batch", options.batch},
          {"memory_peak_bytes", bench.memory_peak_bytes}, {"cancelled", bench.cancelled}, {"targets", targets}, {"notes", bench.notes}};
}

Json known_models_json() {
  Json list = Json::array();
  for (const KnownModel& model : known_models()) {
    list.push_back({{"name", model.name}, {"title", model.title}, {"path", text_or_null(model.path)}, {"installed", model.installed()}, {"bytes", model.bytes}});
  }
  return {{"folder", models_dir().string()}, {"models", list}};
}

uint64_t memory_needed_bytes(const ModelDescription& d) { return d.memory_weights_bytes + d.memory_kv_bytes + d.memory_buffers_bytes; }

std::vector<std::pair<std::string, double>> suggested_pairs(const GenerationDefaults& g) {
  std::vector<std::pair<std::string, double>> pairs;
  const auto add = [&](const char* name, const auto& value) {
    if (value) pairs.emplace_back(name, *value);
  };
  add("temperature", g.temperature);
  add("top_p", g.top_p);
  add("top_k", g.top_k);
  add("min_p", g.min_p);
  add("repetition_penalty", g.repetition_penalty);
  return pairs;
}

Json description_json(const ModelDescription& d, const std::optional<std::string>& id) {
  Json suggested = Json::object();
  for (const auto& [name, value] : suggested_pairs(d.suggested)) suggested[name] = value;
  return Json{{"name", d.name},
              {"id", or_null(id)},
              {"graph", text_or_null(d.graph_hash)},
              {"suggested_sampling", std::move(suggested)},
              {"path", d.path},
              {"format", d.format},
              {"family", d.family},
              {"parameters", d.parameters},
              {"quantization", d.quantization},
              {"tensor_types", d.tensor_types},
              {"layers", d.layers},
              {"width", d.width},
              {"heads", d.heads},
              {"kv_heads", d.kv_heads},
              {"vocabulary", d.vocabulary},
              {"context", d.context},
              {"tokenizer", d.tokenizer},
              {"chat_template", text_or_null(d.chat_template)},
              {"file_bytes", d.file_bytes},
              {"memory_bytes", {{"weights", d.memory_weights_bytes}, {"kv", d.memory_kv_bytes}, {"buffers", d.memory_buffers_bytes},
                                {"total", memory_needed_bytes(d)}}},
              {"refusal", text_or_null(d.refusal)}};
}

Json endpoint_json(const RosterStatus& s) {
  Json unloads = Json::object();
  for (const auto& [cause, count] : s.unloads) unloads[std::string(unload_cause_name(cause))] = count;
  Json json = {{"name", s.name}, {"model", s.word}, {"state", model_state_name(s.state)}, {"pinned", s.pinned}, {"in_use", s.in_use}, {"idle_s", s.idle_s},
               {"added_unix_s", s.added_unix_s}, {"error", text_or_null(s.error)}, {"loads", s.loads}, {"unloads", unloads},
               {"about", Json()}, {"stats", Json()}, {"targets", Json::array()}};
  if (!s.endpoint) return json;
  const EndpointInfo& i = s.endpoint->info();
  json["about"] = {{"kind", program_kind_name(i.kind)}, {"family", i.family}, {"quantization", i.quantization}, {"target", i.target}, {"context", i.context != 0 ? Json(i.context) : Json()},
                   {"parameters", i.parameters}, {"memory_bytes", s.endpoint->memory_bytes()}, {"load_ms", i.load_ms}, {"path", i.path}, {"notes", i.notes}};
  const EndpointStats stats = s.endpoint->stats();
  json["stats"] = {{"running", stats.running}, {"queued", stats.queued}, {"requests", stats.requests}, {"prompt_tokens", stats.prompt_tokens},
                   {"completion_tokens", stats.completion_tokens}, {"cached_tokens", stats.cached_tokens}, {"cancelled", stats.cancelled}, {"failed", stats.failed},
                   {"rejected", stats.rejected}, {"answers_moved", stats.answers_moved}, {"kv_tokens_free", stats.kv_tokens_free}, {"kv_tokens_total", stats.kv_tokens_total}};
  for (const TargetStats& t : stats.targets) {
    json["targets"].push_back({{"target", t.target}, {"state", t.state}, {"starts", t.starts}, {"failures", t.failures}, {"cause", text_or_null(t.cause)},
                               {"running", t.running}, {"queued", t.queued}, {"prompt_tokens_per_s", known_or_null(t.prompt_tokens_per_s)},
                               {"step_ms", known_or_null(t.step_mean_s * 1e3)}});
  }
  return json;
}

Json record_json(const Record& r) {
  return {{"kind", r.kind}, {"model_id", r.key.model_id}, {"quantization", r.key.quantization}, {"shape", text_or_null(r.key.shape)}, {"target", r.key.target},
          {"versions", r.key.versions}, {"machine", r.key.fingerprint}, {"threads", r.key.threads}, {"verdict", text_or_null(r.verdict)},
          {"samples", r.samples}, {"notes", r.notes}, {"unix_s", r.unix_s}};
}

}  // namespace accelerate
