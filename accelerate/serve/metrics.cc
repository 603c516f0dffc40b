#include "accelerate/serve/metrics.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "accelerate/base/cpu.h"

namespace accelerate {
namespace {

using Labels = std::vector<std::pair<std::string_view, std::string>>;

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') out += "\\n";
    else out += c;
  }
  return out;
}

// Methods and routes that nobody serves are one label: who sends them chooses their names.
std::string bounded_method(const std::string& method) {
  static constexpr std::array<std::string_view, 6> kKnown = {"GET", "HEAD", "POST", "OPTIONS", "PUT", "DELETE"};
  return std::find(kKnown.begin(), kKnown.end(), method) == kKnown.end() ? "other" : method;
}

class Page {
 public:
  void family(std::string_view name, std::string_view type, std::string_view help) {
    name_ = fmt::format("ipfs_accelerate_{}", name);
    fmt::format_to(std::back_inserter(text_), "# HELP {0} {2}\n# TYPE {0} {1}\n", name_, type, help);
  }
  void sample(const Labels& labels, double value, std::string_view suffix = "") {
    text_ += name_;
    text_ += suffix;
    for (size_t i = 0; i < labels.size(); ++i) {
      fmt::format_to(std::back_inserter(text_), "{}{}=\"{}\"", i == 0 ? "{" : ",", labels[i].first, escaped(labels[i].second));
    }
    if (!labels.empty()) text_ += '}';
    fmt::format_to(std::back_inserter(text_), " {}\n", value);
  }
  void histogram(Labels labels, const Histogram& histogram) {
    uint64_t cumulated = 0;
    labels.emplace_back("le", "");
    for (size_t i = 0; i < histogram.counts().size(); ++i) {
      cumulated += histogram.counts()[i];
      labels.back().second = i < histogram.bounds().size() ? fmt::format("{}", histogram.bounds()[i]) : "+Inf";
      sample(labels, static_cast<double>(cumulated), "_bucket");
    }
    labels.pop_back();
    sample(labels, histogram.sum(), "_sum");
    sample(labels, static_cast<double>(cumulated), "_count");
  }
  std::string take() { return std::move(text_); }

 private:
  std::string name_, text_;
};

struct Snapshot {
  EndpointInfo info;
  EndpointStats stats;
  uint64_t memory_bytes = 0;
  Labels model() const { return {{"model", info.name}}; }
};

struct Value {
  std::string_view name, type, help;
  double (*of)(const Snapshot& model);
  bool decoders_only;
};
constexpr std::string_view kCounter = "counter", kGauge = "gauge";
constexpr std::array kValues = {
    Value{"requests_total", kCounter, "Requests a model took.", [](const Snapshot& m) { return static_cast<double>(m.stats.requests); }, false},
    Value{"requests_rejected_total", kCounter, "Requests refused because the queue was full or the model gone.", [](const Snapshot& m) { return static_cast<double>(m.stats.rejected); }, true},
    Value{"requests_cancelled_total", kCounter, "Requests whose client left, or that were cut off.", [](const Snapshot& m) { return static_cast<double>(m.stats.cancelled); }, false},
    Value{"requests_failed_total", kCounter, "Requests that ended in an error of the engine.", [](const Snapshot& m) { return static_cast<double>(m.stats.failed); }, false},
    Value{"answers_moved_total", kCounter, "Answers that went on with another target, or with their own after it was started again.", [](const Snapshot& m) { return static_cast<double>(m.stats.answers_moved); }, false},
    Value{"requests_running", kGauge, "Requests with a place in the batch.", [](const Snapshot& m) { return static_cast<double>(m.stats.running); }, true},
    Value{"requests_queued", kGauge, "Requests that wait for one.", [](const Snapshot& m) { return static_cast<double>(m.stats.queued); }, true},
    Value{"prompt_tokens_total", kCounter, "Tokens of prompts, reused ones included.", [](const Snapshot& m) { return static_cast<double>(m.stats.prompt_tokens); }, false},
    Value{"prompt_tokens_cached_total", kCounter, "Of these, tokens whose KV was there already.", [](const Snapshot& m) { return static_cast<double>(m.stats.cached_tokens); }, true},
    Value{"completion_tokens_total", kCounter, "Tokens of answers that ended.", [](const Snapshot& m) { return static_cast<double>(m.stats.completion_tokens); }, true},
    Value{"computed_prompt_tokens_total", kCounter, "Prompt tokens computed, recomputation included.", [](const Snapshot& m) { return static_cast<double>(m.stats.scheduler.prompt_tokens); }, true},
    Value{"computed_generated_tokens_total", kCounter, "Generated tokens computed.", [](const Snapshot& m) { return static_cast<double>(m.stats.scheduler.generated_tokens); }, true},
    Value{"prefix_hits_total", kCounter, "Requests that began with something computed before.", [](const Snapshot& m) { return static_cast<double>(m.stats.scheduler.prefix_hits); }, true},
    Value{"prefix_misses_total", kCounter, "Requests that did not.", [](const Snapshot& m) { return static_cast<double>(m.stats.scheduler.prefix_misses); }, true},
    Value{"prefix_sequences", kGauge, "Ended sequences whose KV is kept for reuse.", [](const Snapshot& m) { return static_cast<double>(m.stats.scheduler.sequences_kept); }, true},
    Value{"prefix_evictions_total", kCounter, "Kept sequences given up for lack of KV.", [](const Snapshot& m) { return static_cast<double>(m.stats.scheduler.evictions); }, true},
    Value{"preemptions_total", kCounter, "Running requests that stepped back, for lack of KV or for a more urgent one.", [](const Snapshot& m) { return static_cast<double>(m.stats.scheduler.preemptions); }, true},
    Value{"steps_total", kCounter, "Steps of the program.", [](const Snapshot& m) { return static_cast<double>(m.stats.scheduler.steps); }, true},
    Value{"kv_tokens_max", kGauge, "Tokens the KV cache holds at most.", [](const Snapshot& m) { return static_cast<double>(m.stats.kv_tokens_total); }, true},
    Value{"kv_tokens_active", kGauge, "Tokens held by running requests.", [](const Snapshot& m) { return static_cast<double>(m.stats.scheduler.kv_tokens_active); }, true},
    Value{"kv_tokens_unused", kGauge, "Tokens of pages that nobody holds; neither active nor unused = kept for reuse.", [](const Snapshot& m) { return static_cast<double>(m.stats.scheduler.capacity.kv_tokens_free); }, true},
    Value{"slots_free", kGauge, "Sequences that could be opened, kept ones not counted.", [](const Snapshot& m) { return static_cast<double>(m.stats.scheduler.capacity.slots_free); }, true},
    Value{"model_memory_bytes", kGauge, "Weights, KV and buffers of a model.", [](const Snapshot& m) { return static_cast<double>(m.memory_bytes); }, false},
    Value{"model_load_seconds", kGauge, "How long the model took to load.", [](const Snapshot& m) { return m.info.load_ms / 1000; }, false},
    Value{"model_loaded_timestamp_seconds", kGauge, "When it was loaded, in Unix time.", [](const Snapshot& m) { return static_cast<double>(m.info.created_unix_s); }, false},
};

struct Distribution {
  std::string_view name, help;
  const Histogram& (*of)(const EndpointStats& stats);
};
constexpr std::array kDistributions = {
    Distribution{"queue_seconds", "From a request's arrival to its first place in the batch.", [](const EndpointStats& s) -> const Histogram& { return s.scheduler.queue_s; }},
    Distribution{"ttft_seconds", "From a request's arrival to its first token.", [](const EndpointStats& s) -> const Histogram& { return s.ttft_s; }},
    Distribution{"tpot_seconds", "Mean time of a token of an answer after the first.", [](const EndpointStats& s) -> const Histogram& { return s.tpot_s; }},
    Distribution{"step_seconds", "Time of a step of the program.", [](const EndpointStats& s) -> const Histogram& { return s.scheduler.step_s; }},
    Distribution{"batch_tokens", "Tokens of a step.", [](const EndpointStats& s) -> const Histogram& { return s.scheduler.batch_tokens; }},
    Distribution{"batch_sequences", "Sequences of a step.", [](const EndpointStats& s) -> const Histogram& { return s.scheduler.batch_sequences; }},
};

struct TargetValue {
  std::string_view name, type, help;
  double (*of)(const TargetStats& target);
};
constexpr std::array kTargetValues = {
    TargetValue{"target_running", kGauge, "1 while a program of this target answers, else 0.", [](const TargetStats& t) { return t.state == "running" ? 1.0 : 0.0; }},
    TargetValue{"target_starts_total", kCounter, "Times a program was started there.", [](const TargetStats& t) { return static_cast<double>(t.starts); }},
    TargetValue{"target_failures_total", kCounter, "Times one died, hung, gave no numbers or did not start.", [](const TargetStats& t) { return static_cast<double>(t.failures); }},
};

void write_targets(Page& page, const std::vector<Snapshot>& models) {
  for (const TargetValue& value : kTargetValues) {
    page.family(value.name, value.type, value.help);
    for (const Snapshot& model : models) {
      for (const TargetStats& target : model.stats.targets) page.sample({{"model", model.info.name}, {"target", target.target}}, value.of(target));
    }
  }
}

void write_models(Page& page, const std::vector<Snapshot>& models) {
  for (const Value& value : kValues) {
    page.family(value.name, value.type, value.help);
    for (const Snapshot& model : models) {
      if (!value.decoders_only || model.info.kind == ProgramKind::kDecoder) page.sample(model.model(), value.of(model));
    }
  }
  for (const Distribution& distribution : kDistributions) {
    page.family(distribution.name, "histogram", distribution.help);
    for (const Snapshot& model : models) {
      if (model.info.kind == ProgramKind::kDecoder) page.histogram(model.model(), distribution.of(model.stats));
    }
  }
  page.family("requests_finished_total", kCounter, "Answers by the reason of their end.");
  for (const Snapshot& model : models) {
    for (const auto& [reason, count] : model.stats.finished) page.sample({{"model", model.info.name}, {"reason", reason}}, static_cast<double>(count));
  }
  write_targets(page, models);
  page.family("queue_place_seconds", kGauge, "How long the request at each place of the queue has waited; place 1 is served next.");
  for (const Snapshot& model : models) {
    for (size_t i = 0; i < model.stats.queue.size(); ++i) {
      const QueuedRequest& queued = model.stats.queue[i];
      page.sample({{"model", model.info.name}, {"place", std::to_string(i + 1)}, {"client", queued.client}, {"priority", std::to_string(queued.priority)}},
                  queued.waited_s);
    }
  }
  page.family("model_info", kGauge, "What is served, and by what.");
  for (const Snapshot& model : models) {
    page.sample({{"model", model.info.name}, {"family", model.info.family}, {"quantization", model.info.quantization}, {"target", model.info.target}}, 1);
  }
}

void write_roster(Page& page, std::span<const RosterStatus> roster) {
  page.family("model_loaded", kGauge, "1 while a model that is served is loaded, else 0.");
  for (const RosterStatus& status : roster) page.sample({{"model", status.name}}, status.state == ModelState::kLoaded ? 1 : 0);
  page.family("model_loads_total", kCounter, "Times a model was loaded.");
  for (const RosterStatus& status : roster) page.sample({{"model", status.name}}, static_cast<double>(status.loads));
  page.family("model_unloads_total", kCounter, "Times a model was unloaded: asked for, idle, or for another one's memory.");
  for (const RosterStatus& status : roster) {
    for (const auto& [cause, count] : status.unloads) page.sample({{"model", status.name}, {"reason", std::string(unload_cause_name(cause))}}, static_cast<double>(count));
  }
}

}  // namespace

void Metrics::count(const AccessRecord& record) {
  const std::string route = record.route.empty() ? "none" : record.route;
  std::lock_guard lock(mutex_);
  ++requests_[{route, bounded_method(record.method), record.status}];
  durations_s_.try_emplace(route, kLatencyBounds_s).first->second.observe(record.duration_ms / 1000);
}

std::string Metrics::text(const std::vector<std::shared_ptr<Endpoint>>& endpoints, std::span<const RosterStatus> roster) const {
  std::vector<Snapshot> models;
  for (const auto& endpoint : endpoints) models.push_back({endpoint->info(), endpoint->stats(), endpoint->memory_bytes()});
  Page page;
  page.family("resident_memory_bytes", kGauge, "Memory of this process that is in RAM.");
  page.sample({}, static_cast<double>(resident_bytes()));
  {
    std::lock_guard lock(mutex_);
    page.family("http_requests_total", kCounter, "Requests by route, method and status; 499 = the client left first.");
    for (const auto& [key, count] : requests_) {
      page.sample({{"route", std::get<0>(key)}, {"method", std::get<1>(key)}, {"status", std::to_string(std::get<2>(key))}}, static_cast<double>(count));
    }
    page.family("http_request_seconds", "histogram", "From a request's last byte to its answer's.");
    for (const auto& [route, histogram] : durations_s_) page.histogram({{"route", route}}, histogram);
  }
  write_models(page, models);
  if (!roster.empty()) write_roster(page, roster);
  return page.take();
}

}  // namespace accelerate
