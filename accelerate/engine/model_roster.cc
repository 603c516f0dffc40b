#include "accelerate/engine/model_roster.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <ctime>
#include <thread>

#include <fmt/format.h>

#include "accelerate/base/log.h"

namespace accelerate {
namespace {

using Clock = std::chrono::steady_clock;

struct Entry {
  RosterModel model;                 // guarded by State::mutex, as everything here but `stop`
  ModelState state = ModelState::kUnloaded;
  std::shared_ptr<Endpoint> endpoint;
  uint32_t in_use = 0;
  Clock::time_point used = Clock::now(), retry_at;
  Clock::duration backoff{0};
  std::optional<Error> error;
  int64_t added_unix_s = std::time(nullptr);
  uint64_t loads = 0;
  std::map<UnloadCause, uint64_t> unloads;
  std::atomic<bool> stop{false};     // of its load
};

}  // namespace

std::string_view model_state_name(ModelState state) {
  switch (state) {
    case ModelState::kUnloaded: return "unloaded";
    case ModelState::kLoading: return "loading";
    case ModelState::kLoaded: return "loaded";
    case ModelState::kUnloading: return "unloading";
    case ModelState::kFailed: return "failed";
  }
  return "unknown";
}

std::string_view unload_cause_name(UnloadCause cause) {
  switch (cause) {
    case UnloadCause::kAsked: return "asked";
    case UnloadCause::kIdle: return "idle";
    case UnloadCause::kMemory: return "memory";
  }
  return "unknown";
}

// Outlives the roster where an endpoint that it gave is still held.
struct ModelRoster::State {
  State(Engine& of, RosterOptions given) : engine(of), options(given) {}

  Engine& engine;
  const RosterOptions options;
  mutable std::mutex mutex;
  std::condition_variable changed;
  std::map<std::string, std::shared_ptr<Entry>> entries;  // guarded by mutex
  std::atomic<bool> stopping{false};
  std::thread idler;

  Result<std::shared_ptr<Entry>> find(const std::string& name) const;
  Result<std::shared_ptr<Entry>> loaded(std::unique_lock<std::mutex>& lock, const std::string& name, Progress& progress, bool at_once);
  void load(std::unique_lock<std::mutex>& lock, const std::shared_ptr<Entry>& entry, Progress& progress);
  Result<std::shared_ptr<Endpoint>> open(const Entry& entry, Progress& progress);
  void unload(std::unique_lock<std::mutex>& lock, Entry& entry, UnloadCause cause, std::chrono::milliseconds drain);
  bool evict_one(const Entry& for_whom);
  void unload_idle();
};

namespace {

// A load's: ends with the roster, with the model's removal, or as the caller wishes.
class RosterProgress final : public Progress {
 public:
  RosterProgress(Progress& inner, const std::atomic<bool>& stopping, const std::atomic<bool>& stop) : inner_(inner), stopping_(stopping), stop_(stop) {}
  bool update(std::string_view what, uint64_t done, uint64_t total, std::string_view unit) override {
    return inner_.update(what, done, total, unit) && !stopping_ && !stop_;
  }

 private:
  Progress& inner_;
  const std::atomic<bool>&stopping_, &stop_;
};

}  // namespace

Result<std::shared_ptr<Entry>> ModelRoster::State::find(const std::string& name) const {
  const auto at = entries.find(name);
  if (at != entries.end()) return at->second;
  std::string names;
  for (const auto& [other, entry] : entries) names += (names.empty() ? "" : ", ") + other;
  return Error{ErrorCode::kNotFound, fmt::format("[roster] a model that is served is asked for by its name; got '{}'; try {}", name, names.empty() ? "adding one" : names)};
}

// The entry, its model loaded; waits for whoever loads or unloads it.
Result<std::shared_ptr<Entry>> ModelRoster::State::loaded(std::unique_lock<std::mutex>& lock, const std::string& name, Progress& progress, bool at_once) {
  bool tried = false;  // by us or by whom we waited for
  while (true) {
    ACC_TRY(const std::shared_ptr<Entry> entry, find(name));
    if (stopping) return Error{ErrorCode::kUnavailable, "[roster] models are loaded while the server runs; got one that is stopping"};
    switch (entry->state) {
      case ModelState::kLoaded: return entry;
      case ModelState::kLoading: tried = true; [[fallthrough]];
      case ModelState::kUnloading:
        changed.wait(lock, [&, was = entry->state] { return entry->state != was; });
        continue;
      case ModelState::kFailed:
        if (tried) return *entry->error;
        if (!at_once && Clock::now() < entry->retry_at) {
          const auto left = std::chrono::ceil<std::chrono::seconds>(entry->retry_at - Clock::now()).count();
          return Error{ErrorCode::kUnavailable, fmt::format("[roster] '{}' could not be loaded and is tried again in {} s; got {}", name, left, entry->error->message)};
        }
        [[fallthrough]];
      case ModelState::kUnloaded:
        tried = true;
        load(lock, entry, progress);
    }
  }
}

void ModelRoster::State::load(std::unique_lock<std::mutex>& lock, const std::shared_ptr<Entry>& entry, Progress& progress) {
  entry->state = ModelState::kLoading;
  lock.unlock();
  Result<std::shared_ptr<Endpoint>> opened = open(*entry, progress);
  lock.lock();
  if (opened) {
    entry->endpoint = *std::move(opened);
    entry->state = ModelState::kLoaded;
    entry->error.reset();
    entry->backoff = Clock::duration{0};
    ++entry->loads;
  } else {
    entry->state = ModelState::kFailed;
    entry->error = opened.error();
    entry->backoff = std::clamp<Clock::duration>(entry->backoff * 2, kRetryFirst, kRetryMost);
    entry->retry_at = Clock::now() + entry->backoff;
    log_warning(fmt::format("[roster] {} could not be loaded: {}", entry->model.name, opened.error().message));
  }
  entry->used = Clock::now();
  changed.notify_all();
}

// Without the lock. What an entry is to be does not change while it loads.
Result<std::shared_ptr<Endpoint>> ModelRoster::State::open(const Entry& entry, Progress& progress) {
  RosterProgress watched(progress, stopping, entry.stop);
  if (options.evict && engine.context().memory_bytes != 0) {  // before it is made smaller for want of memory
    ACC_TRY(const ModelDescription needs, engine.describe(entry.model.word, entry.model.open));
    const uint64_t bytes = needs.memory_weights_bytes + needs.memory_kv_bytes + needs.memory_buffers_bytes;
    while (engine.memory_left() < bytes && evict_one(entry)) {}
  }
  while (true) {
    Result<std::shared_ptr<Endpoint>> opened = engine.open(entry.model.word, entry.model.open, watched);
    const bool lacks_memory = !opened && opened.error().code == ErrorCode::kResourceExhausted;
    if (!lacks_memory || !options.evict || !evict_one(entry)) return opened;
  }
}

bool ModelRoster::State::evict_one(const Entry& for_whom) {
  std::unique_lock lock(mutex);
  std::shared_ptr<Entry> oldest;
  for (const auto& [name, entry] : entries) {
    const bool may_go = entry->state == ModelState::kLoaded && !entry->model.pinned && entry->in_use == 0;
    if (may_go && (!oldest || entry->used < oldest->used)) oldest = entry;
  }
  if (!oldest) return false;
  log_info(fmt::format("[roster] {} makes room for {}", oldest->model.name, for_whom.model.name));
  unload(lock, *oldest, UnloadCause::kMemory, std::chrono::milliseconds(0));
  return true;
}

void ModelRoster::State::unload(std::unique_lock<std::mutex>& lock, Entry& entry, UnloadCause cause, std::chrono::milliseconds drain) {
  entry.state = ModelState::kUnloading;  // from here on nobody acquires it
  if (!changed.wait_for(lock, drain, [&] { return entry.in_use == 0; })) {
    log_warning(fmt::format("[roster] {} is unloaded under {} requests: they had {} ms to end", entry.model.name, entry.in_use, drain.count()));
  }
  std::shared_ptr<Endpoint> endpoint = std::move(entry.endpoint);
  const std::string name = entry.model.name;
  lock.unlock();
  const uint64_t bytes = endpoint->memory_bytes();
  if (const Result<void> closed = engine.close(name); !closed) log_warning(closed.error().message);
  endpoint.reset();
  log_info(fmt::format("[roster] {} is unloaded ({}): {:.1f} MB given back", name, unload_cause_name(cause), static_cast<double>(bytes) / 1e6));
  lock.lock();
  entry.state = ModelState::kUnloaded;
  ++entry.unloads[cause];
  changed.notify_all();
}

void ModelRoster::State::unload_idle() {
  const auto pause = std::clamp<std::chrono::milliseconds>(options.idle_unload / 4, std::chrono::milliseconds(10), std::chrono::milliseconds(1000));
  std::unique_lock lock(mutex);
  while (!changed.wait_for(lock, pause, [&] { return stopping.load(); })) {
    std::vector<std::shared_ptr<Entry>> idle;
    for (const auto& [name, entry] : entries) idle.push_back(entry);
    for (const auto& entry : idle) {  // looked at anew: the lock was away
      const bool may_go = entry->state == ModelState::kLoaded && !entry->model.pinned && entry->in_use == 0;
      if (may_go && Clock::now() - entry->used >= options.idle_unload) unload(lock, *entry, UnloadCause::kIdle, std::chrono::milliseconds(0));
    }
  }
}

ModelRoster::ModelRoster(Engine& engine, RosterOptions options) : state_(std::make_shared<State>(engine, options)) {
  if (options.idle_unload.count() > 0) state_->idler = std::thread([state = state_.get()] { state->unload_idle(); });
}

ModelRoster::~ModelRoster() {
  {
    std::unique_lock lock(state_->mutex);
    state_->stopping = true;
    state_->changed.notify_all();
    state_->changed.wait(lock, [&] {
      return std::none_of(state_->entries.begin(), state_->entries.end(), [](const auto& entry) {
        return entry.second->state == ModelState::kLoading || entry.second->state == ModelState::kUnloading;
      });
    });
  }
  if (state_->idler.joinable()) state_->idler.join();
}

Result<std::string> ModelRoster::add(RosterModel model) {
  model.open.name = model.name;
  ACC_TRY(model.name, state_->engine.name_of(model.word, model.open));
  model.open.name = model.name;
  std::lock_guard lock(state_->mutex);
  auto entry = std::make_shared<Entry>();
  entry->model = model;
  if (state_->entries.emplace(model.name, std::move(entry)).second) return model.name;
  return Error{ErrorCode::kAlreadyExists, fmt::format("[roster] names of served models are unique; got '{}' twice; try NAME={}", model.name, model.word)};
}

Result<std::shared_ptr<Endpoint>> ModelRoster::acquire(const std::string& name) {
  std::unique_lock lock(state_->mutex);
  ACC_TRY(const std::shared_ptr<Entry> entry, state_->loaded(lock, name, no_progress(), false));
  std::shared_ptr<Endpoint> endpoint = entry->endpoint;
  Endpoint* plain = endpoint.get();
  ++entry->in_use;
  // Released by the last copy. The state is held, not the roster: a request may let go late.
  const auto release = [state = state_, entry, held = std::move(endpoint)](Endpoint*) mutable {
    held.reset();
    std::lock_guard unlocked(state->mutex);
    --entry->in_use;
    entry->used = Clock::now();
    state->changed.notify_all();
  };
  return std::shared_ptr<Endpoint>(plain, release);
}

Result<void> ModelRoster::load(const std::string& name, Progress& progress) {
  std::unique_lock lock(state_->mutex);
  ACC_TRY_VOID(state_->loaded(lock, name, progress, true));
  return {};
}

Result<void> ModelRoster::unload(const std::string& name, std::chrono::milliseconds drain) {
  std::unique_lock lock(state_->mutex);
  ACC_TRY(const std::shared_ptr<Entry> entry, state_->find(name));
  state_->changed.wait(lock, [&] { return entry->state != ModelState::kUnloading; });
  if (entry->state == ModelState::kLoading) return Error{ErrorCode::kFailedPrecondition, fmt::format("[roster] what is loaded can be unloaded; got '{}', which is loading; try again then, or remove it", name)};
  if (entry->state == ModelState::kLoaded) state_->unload(lock, *entry, UnloadCause::kAsked, drain);
  return {};
}

Result<void> ModelRoster::remove(const std::string& name, std::chrono::milliseconds drain) {
  std::unique_lock lock(state_->mutex);
  ACC_TRY(const std::shared_ptr<Entry> entry, state_->find(name));
  entry->stop = true;
  state_->entries.erase(name);  // nobody finds it any more; who waits for it is told so
  state_->changed.wait(lock, [&] { return entry->state != ModelState::kUnloading && entry->state != ModelState::kLoading; });
  if (entry->state == ModelState::kLoaded) state_->unload(lock, *entry, UnloadCause::kAsked, drain);
  return {};
}

Result<void> ModelRoster::pin(const std::string& name, bool pinned) {
  std::lock_guard lock(state_->mutex);
  ACC_TRY(const std::shared_ptr<Entry> entry, state_->find(name));
  entry->model.pinned = pinned;
  return {};
}

std::vector<RosterStatus> ModelRoster::list() const {
  std::lock_guard lock(state_->mutex);
  std::vector<RosterStatus> all;
  for (const auto& [name, entry] : state_->entries) {
    const double idle_s = entry->in_use > 0 ? 0 : std::chrono::duration<double>(Clock::now() - entry->used).count();
    all.push_back({.name = name, .word = entry->model.word, .state = entry->state, .pinned = entry->model.pinned, .in_use = entry->in_use, .idle_s = idle_s,
                   .added_unix_s = entry->added_unix_s, .error = entry->error ? entry->error->message : "", .loads = entry->loads, .unloads = entry->unloads,
                   .endpoint = entry->endpoint});
  }
  return all;
}

}  // namespace accelerate
