#include "accelerate/serve/health.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <tuple>

#include <fmt/format.h>

#include "accelerate/base/json.h"
#include "accelerate/base/log.h"

namespace accelerate {
namespace {

using Clock = std::chrono::steady_clock;

auto movement(const EndpointStats& s) {
  return std::tuple(s.running, s.queued, s.kv_tokens_free, s.requests, s.prompt_tokens, s.completion_tokens, s.cancelled, s.failed);
}

struct Patient {
  std::weak_ptr<Endpoint> endpoint;      // a name may be opened anew
  std::optional<Result<void>> verdict;   // of the last canary
  Clock::time_point checked, moved;
  bool checking = false;
  EndpointStats last;
};

Json queue_json(const std::vector<QueuedRequest>& queue) {
  Json out = Json::array();
  for (const QueuedRequest& queued : queue) {
    out.push_back({{"id", queued.id}, {"client", queued.client}, {"priority", queued.priority}, {"prompt_tokens", queued.prompt_tokens},
                   {"waited_s", queued.waited_s}});
  }
  return out;
}

Json entry_json(const EndpointInfo& info, const EndpointStats& stats, std::string_view status) {
  return {{"id", info.name},
          {"status", status},
          {"kind", program_kind_name(info.kind)},
          {"target", info.target},
          {"quantization", info.quantization},
          {"context", info.context != 0 ? Json(info.context) : Json()},  // of a relay nobody says it
          {"memory_bytes", info.memory_bytes},
          {"running", stats.running},
          {"queued", stats.queued},
          {"queue", queue_json(stats.queue)},
          {"kv_tokens_free", stats.kv_tokens_free},
          {"kv_tokens_total", stats.kv_tokens_total},
          {"requests", stats.requests},
          {"prompt_tokens", stats.prompt_tokens},
          {"completion_tokens", stats.completion_tokens},
          {"cached_tokens", stats.cached_tokens},
          {"cancelled", stats.cancelled},
          {"failed", stats.failed}};
}

}  // namespace

std::string_view program_kind_name(ProgramKind kind) {
  switch (kind) {
    case ProgramKind::kDecoder: return "decoder";
    case ProgramKind::kEncoder: return "encoder";
    case ProgramKind::kTensor: return "tensor";
    case ProgramKind::kText: return "text";
  }
  return "unknown";
}

// Outlives the monitor where a canary never comes back.
struct HealthMonitor::Shared {
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::string, std::shared_ptr<Patient>> patients;
  int checks_running = 0;

  void start_check(const std::shared_ptr<Shared>& self, const std::shared_ptr<Endpoint>& endpoint, const std::shared_ptr<Patient>& patient);
};

// Called with the mutex held.
void HealthMonitor::Shared::start_check(const std::shared_ptr<Shared>& self, const std::shared_ptr<Endpoint>& endpoint,
                                        const std::shared_ptr<Patient>& patient) {
  try {
    std::thread([self, held = std::shared_ptr<Endpoint>(endpoint), patient]() mutable {
      const Result<void> verdict = held->check_health();
      held.reset();  // before the monitor is told: nothing of the engine's is held after it stopped waiting
      std::lock_guard lock(self->mutex);
      patient->verdict = verdict;
      patient->checked = Clock::now();
      patient->checking = false;
      --self->checks_running;
      self->changed.notify_all();
    }).detach();
    patient->checking = true;
    patient->moved = Clock::now();
    ++checks_running;
  } catch (const std::exception& problem) {  // no thread to spare: the last verdict stands
    log_warning(fmt::format("[health] a canary needs a thread; got {}", problem.what()));
  }
}

HealthMonitor::HealthMonitor(ModelSource models, HealthOptions options)
    : models_(std::move(models)), options_(options), shared_(std::make_shared<Shared>()) {}

HealthMonitor::~HealthMonitor() {
  std::unique_lock lock(shared_->mutex);
  if (!shared_->changed.wait_for(lock, options_.close_wait, [&] { return shared_->checks_running == 0; })) {
    log_warning("[health] a canary is still out; the server stops without it");
  }
}

HealthReport HealthMonitor::report() {
  const auto endpoints = models_.list();
  std::unique_lock lock(shared_->mutex);
  std::map<std::string, std::shared_ptr<Patient>> patients;  // those of models that are still there
  for (const auto& endpoint : endpoints) {
    std::shared_ptr<Patient>& patient = patients[endpoint->info().name];
    const auto known = shared_->patients.find(endpoint->info().name);
    if (known != shared_->patients.end() && known->second->endpoint.lock() == endpoint) patient = known->second;
    else patient = std::make_shared<Patient>(Patient{.endpoint = endpoint, .verdict = {}, .checked = {}, .moved = Clock::now(), .checking = false, .last = {}});
    const bool stale = !patient->verdict || Clock::now() - patient->checked >= options_.canary_age;
    if (stale && !patient->checking) shared_->start_check(shared_, endpoint, patient);
  }
  shared_->patients = patients;
  shared_->changed.wait_for(lock, options_.canary_wait, [&] {
    return std::none_of(patients.begin(), patients.end(), [](const auto& entry) { return entry.second->checking; });
  });
  bool failing = false;
  Json models = Json::array();
  for (const RosterStatus& status : models_.roster()) {  // those that a request would load
    if (status.endpoint) continue;
    Json entry = {{"id", status.name}, {"status", model_state_name(status.state)}};
    if (!status.error.empty()) entry["error"] = status.error;
    failing |= status.state == ModelState::kFailed;
    models.push_back(std::move(entry));
  }
  bool starting = endpoints.empty() && models.empty();
  for (const auto& endpoint : endpoints) {
    Patient& patient = *patients[endpoint->info().name];
    const EndpointStats stats = endpoint->stats();
    if (movement(stats) != movement(patient.last)) patient.moved = Clock::now();
    patient.last = stats;
    const bool stalled = patient.checking && Clock::now() - patient.moved >= options_.stall;
    const bool failed = stalled || (patient.verdict && !patient.verdict->ok());
    const bool unknown = !failed && !patient.verdict;
    Json entry = entry_json(endpoint->info(), stats, failed ? "failing" : unknown ? "starting" : "ok");
    if (stalled) entry["error"] = fmt::format("[health] a canary is answered; got none, and no movement for {} ms", options_.stall.count());
    else if (failed) entry["error"] = patient.verdict->error().message;
    models.push_back(std::move(entry));
    failing |= failed;
    starting |= unknown;
  }
  const bool well = !failing && !starting;
  return {.http_status = well ? 200 : 503,
          .json = dump_json({{"status", failing ? "failing" : starting ? "starting" : "ok"}, {"models", std::move(models)}})};
}

}  // namespace accelerate
