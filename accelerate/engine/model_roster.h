// ModelRoster - the models a server is to serve, loaded or not: loaded when asked for, unloaded when nobody asked for long or
// when another one needs the memory.
//
//   ModelRoster roster(*engine, {.idle_unload = std::chrono::minutes(5), .evict = true});
//   ACC_TRY(const std::string name, roster.add({.word = "smollm2"}));
//   ACC_TRY(const std::shared_ptr<Endpoint> endpoint, roster.acquire(name));   // loads it; in use while the pointer is held
//
// Requests for a model that is loading wait for that load. A load that failed is not tried again at once: the next one waits
// kRetryFirst, then twice as long each time, at most kRetryMost; until then requests get the error there was. Everything is in
// the log, in list() and in /metrics. Thread-safe. The engine must outlive it, and it outlives what acquire() gave; its end
// stops loads and leaves the loaded endpoints to the engine.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "accelerate/engine/engine.h"

namespace accelerate {

struct RosterOptions {
  std::chrono::milliseconds idle_unload{0};  // unloaded when not in use for so long; 0 = never
  bool evict = false;                        // a load that lacks memory may unload others, the least recently used first
};

struct RosterModel {
  std::string name;      // what clients call it; empty = the engine's choice
  std::string word;      // path, alias, hub's name or relay's
  OpenOptions open;      // its name is `name`
  bool pinned = false;   // never unloaded but by unload() and remove()
};

enum class ModelState : uint8_t { kUnloaded, kLoading, kLoaded, kUnloading, kFailed };
std::string_view model_state_name(ModelState state);  // "unloaded" ...

/// Why a model was unloaded; also the label in /metrics.
enum class UnloadCause : uint8_t { kAsked, kIdle, kMemory };
std::string_view unload_cause_name(UnloadCause cause);  // "asked" ...

struct RosterStatus {
  std::string name, word;
  ModelState state = ModelState::kUnloaded;
  bool pinned = false;
  uint32_t in_use = 0;                     // requests that hold it
  double idle_s = 0;                       // since the last one let go; 0 while in use
  int64_t added_unix_s = 0;
  std::string error;                       // of the last load, where it failed
  uint64_t loads = 0;
  std::map<UnloadCause, uint64_t> unloads;
  std::shared_ptr<Endpoint> endpoint;      // null unless loaded; holding it does not count as use
};

class ModelRoster {
 public:
  static constexpr std::chrono::seconds kRetryFirst{2}, kRetryMost{300};

  ModelRoster(Engine& engine, RosterOptions options);
  ~ModelRoster();

  /// Puts a model on the roster without loading it; its name. already_exists; what Engine::name_of refuses.
  Result<std::string> add(RosterModel model);
  /// The endpoint, loaded first where it is not. not_found listing the names; the load's error.
  Result<std::shared_ptr<Endpoint>> acquire(const std::string& name);
  /// Loads it where it is not, with progress; at once even where the last load failed just now.
  Result<void> load(const std::string& name, Progress& progress);
  /// Waits at most `drain` for the requests that use it, then closes it, which ends them; the next request loads it again.
  /// not_found; failed_precondition while it loads. Nothing happens to one that is not loaded.
  Result<void> unload(const std::string& name, std::chrono::milliseconds drain);
  /// Stops its load or unloads it, and forgets it.
  Result<void> remove(const std::string& name, std::chrono::milliseconds drain);
  Result<void> pin(const std::string& name, bool pinned);
  std::vector<RosterStatus> list() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace accelerate
