// Engine - the facade: open, describe, list, bench. The only type serve/, cli/ and python/ need.
//
//   ACC_TRY(std::unique_ptr<Engine> engine, Engine::create({.backends = registry}));
//   ACC_TRY(std::shared_ptr<Endpoint> chat, engine->open("smollm2", {}, no_progress()));
//
// Thread-safe. Destroying it closes its endpoints.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "accelerate/core/backend.h"
#include "accelerate/engine/catalog.h"
#include "accelerate/engine/endpoint.h"
#include "accelerate/engine/fallback.h"
#include "accelerate/engine/plan_choice.h"
#include "accelerate/engine/quality.h"
#include "accelerate/engine/relay_model.h"

namespace accelerate {

struct StartReport;

/// How cli/ and python/ introduce the generated backend registry to the engine.
struct BackendFactory {
  std::string name;
  std::unique_ptr<Backend> (*make)(BackendContext& context) = nullptr;
};

struct EngineOptions {
  std::vector<BackendFactory> backends;
  std::vector<std::string> worker_argv;  // starts a worker that has the same backends (engine/worker.h); empty: nothing can be isolated
  uint32_t threads = 0;         // 0 = usable quota (CpuInfo::threads_usable)
  uint64_t memory_bytes = 0;    // budget of all models together; 0 = what the machine and its cgroup allow
  std::optional<uint64_t> program_cache_bytes_max = {};  // of compiled artifacts; 0 = none is kept; nothing = engine/program_cache.h's default
};

/// Whether a target is compared with the reference before it serves (engine/parity_gate.h).
enum class ParityMode : uint8_t { kOn, kOff };

inline constexpr uint32_t kContextAskedMax = uint32_t{1} << 24;  // tokens; no model takes more, and a typo should not reserve memory

struct OpenOptions {
  CompileOptions compile;
  std::string hardware = "auto";  // a name of engine/hardware.h
  std::string name;               // what clients call it; empty = alias or file name
  std::string chat_template;      // Jinja text instead of the model's own
  ParityMode parity = ParityMode::kOn;
  bool isolate = false;           // in a worker process: Target "cpu-isolated@cpu:0" instead of "cpu@cpu:0"
  bool reuse_prefixes = true;     // keep the KV of what was computed for prompts that begin alike
  std::vector<std::string> targets = {};  // exact ones, "backend@device:0", in this order, instead of the plan's own
  bool together = false;          // all of `targets` answer side by side, requests go where they end first
  Fallback fallback = Fallback::kAllow;
  bool smaller_context = false;   // where memory does not suffice the context may be cut; notes say so
  PoolLimits limits = {};
  std::vector<RelayUpstream> relays = {};  // that "relay:NAME/model" may mean
  std::function<void(const StartReport&)> started = {};  // told of each program that was proven, on the thread that starts it
  // What the Targets are chosen by, when planned and when loaded (engine/plan_choice.h); those that stand by keep to it, too.
  std::optional<UseCase> use = {};         // nothing: chat, or embeddings for an encoder
  Objective objective = Objective::kLatency;
  PlanConstraints constraints = {};
  std::chrono::milliseconds measure_budget{0};  // for measuring Targets that nobody measured yet (engine/first_measure.h); 0 = not
};

/// What a model is, read from its files without loading weights.
struct ModelDescription {
  std::string name, path, format, family, quantization;
  std::string refusal;                // why it cannot run here; empty = it can
  uint64_t parameters = 0, file_bytes = 0;
  uint64_t memory_weights_bytes = 0, memory_kv_bytes = 0, memory_buffers_bytes = 0;  // estimate for the default options
  uint32_t context = 0, layers = 0, width = 0, heads = 0, kv_heads = 0, vocabulary = 0;
  std::string tokenizer;              // "gpt2/smollm", "tokenizer.json", or "none"
  std::string chat_template;          // text; empty = none
  std::map<std::string, uint64_t> tensor_types;  // dtype -> count
  std::string graph_hash;             // what is computed, whatever file it came from (core/graph.h); empty with a refusal of the graph
  GenerationDefaults suggested;       // sampling as the model's makers suggest it; shown, never applied
  double flops_per_token = 0;         // of the linear layers, the logits not counted: 2 x weights
  double flops_per_logits = 0;        // of one row of logits
};

/// The Targets of a model in their order, and what that order is of; engine/plan_choice.h.
struct ModelPlan {
  Plan plan;
  std::string name, model_id, quantization, fingerprint;
  UseCase use;
  Objective objective = Objective::kLatency;
  uint32_t threads = 0;
  std::vector<std::string> notes;      // why no records could be read, and the like
};

class Engine {
 public:
  static Result<std::unique_ptr<Engine>> create(const EngineOptions& options);
  ~Engine();

  /// Loads `model` (path, alias, hub's name or relay's) on the first Target of its plan that starts, proves it with a canary and
  /// keeps it under its name. The other Targets stand by (OpenOptions::fallback). already_exists if the name is taken;
  /// failed_precondition with the nearest miss where no Target keeps the constraints. `progress` sees packing; false from it cancels.
  Result<std::shared_ptr<Endpoint>> open(const std::string& model, const OpenOptions& options, Progress& progress);
  /// By the name clients use; null if there is none.
  std::shared_ptr<Endpoint> find(const std::string& name) const;
  std::vector<std::shared_ptr<Endpoint>> endpoints() const;
  /// Forgets the endpoint and closes it; its memory goes when the last holder lets go.
  Result<void> close(const std::string& name);

  /// What open() would call it. Reads the files' heads.
  Result<std::string> name_of(const std::string& model, const OpenOptions& options) const;
  Result<ModelDescription> describe(const std::string& model, const OpenOptions& options) const;
  /// Every Target that could serve `model`, best first, by the records of this machine; nothing is loaded. Looks for the
  /// engines that no backend serves, too. invalid_argument for constraints that are none.
  Result<ModelPlan> plan(const std::string& model, const OpenOptions& options) const;
  /// What two models answer to the same text, exactly computed one after the other (engine/quality.h); unavailable without the
  /// backend that computes references.
  Result<QualityChange> compare(const std::string& before, const std::string& after, Progress& progress, const StepControl& control) const;
  /// The model's id (formats/model_id.h): reads every byte once, then remembers. `stop` may be null.
  Result<std::string> model_id(const std::string& model, const std::atomic<bool>* stop) const;
  /// One verdict per hardware name of engine/hardware.h, in priority order, within `deadline`.
  std::vector<Verdict> hardware(Deadline deadline) const;
  const BackendContext& context() const;
  /// What was measured and proven here; opened at the first call. Null where the file can not be used, which the log says once.
  Records* records() const;
  /// What the open models leave of EngineOptions::memory_bytes, at least 1; 0 = there is no budget.
  uint64_t memory_left() const;

 private:
  Engine();
  struct State;
  Result<ModelPlan> plan_to_load(const Model& model, const OpenOptions& options, const CompileOptions& compile, std::span<const ProbedBackend> probed,
                                 Progress& progress, std::span<const Record> fresh = {}) const;
  Result<std::shared_ptr<Endpoint>> load(std::shared_ptr<Model> model, const std::string& path, const OpenOptions& options, std::chrono::steady_clock::time_point start, Progress& progress);
  std::unique_ptr<State> state_;
};

}  // namespace accelerate
