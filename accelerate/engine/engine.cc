#include "accelerate/engine/engine.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>

#include <fmt/format.h>

#include "accelerate/base/cpu.h"
#include "accelerate/base/log.h"
#include "accelerate/base/paths.h"
#include "accelerate/core/graph.h"
#include "accelerate/core/quantization.h"
#include "accelerate/engine/endpoints.h"
#include "accelerate/engine/first_measure.h"
#include "accelerate/engine/hardware.h"
#include "accelerate/engine/isolated_backend.h"
#include "accelerate/engine/load_choice.h"
#include "accelerate/engine/parity_gate.h"
#include "accelerate/engine/plan_candidates.h"
#include "accelerate/engine/planner.h"
#include "accelerate/engine/records.h"
#include "accelerate/engine/text_endpoint.h"
#include "accelerate/formats/model_id.h"
#include "accelerate/formats/open.h"
#include "accelerate/models/families.h"
#include "accelerate/wire/supervisor.h"

namespace accelerate {
namespace {

constexpr auto kProbeDeadline = std::chrono::seconds(20);

struct OpenedModel {
  ModelLocation location;
  std::string name;
  std::shared_ptr<Model> model;
};

std::string default_name(const ModelLocation& location) {
  if (!location.alias.empty()) return location.alias;
  std::filesystem::path path(location.path);
  if (!path.has_filename()) path = path.parent_path();
  return path.extension() == ".gguf" || path.extension() == ".safetensors" ? path.stem().string() : path.filename().string();
}

Result<OpenedModel> open_files(const std::string& word, const OpenOptions& options) {
  if (is_relay_name(word)) {
    ACC_TRY(std::shared_ptr<Model> model, make_relay_model(word, options.relays));
    std::string name = options.name.empty() ? model->config.name : options.name;
    return OpenedModel{{word, model->config.name}, std::move(name), std::move(model)};
  }
  ACC_TRY(ModelLocation location, locate_model(word));
  ACC_TRY(std::shared_ptr<Model> model, open_model(location.path));
  if (!options.chat_template.empty()) model->chat_template = options.chat_template;
  std::string name = options.name.empty() ? default_name(location) : options.name;
  return OpenedModel{std::move(location), std::move(name), std::move(model)};
}

// One spelling for backends, records and proofs; what the file is already is not asked for.
Result<CompileOptions> normalized(const Model& model, CompileOptions compile) {
  ACC_TRY(const std::optional<DType> quantization, quantization_to_apply(model, compile.quantization));
  if (compile.quantization && !quantization) log_info(fmt::format("most weights are {} already: the file stays as it is", dtype_traits(model.main_dtype()).name));
  compile.quantization.reset();
  if (quantization) compile.quantization = std::string(dtype_traits(*quantization).name);
  return compile;
}

void count_flops(const Graph& graph, ModelDescription& description) {
  const auto cost = [&](WeightId id) {
    double elements = 1;
    for (const uint64_t dimension : graph.weights[id.index].shape) elements *= double(dimension);
    return 2 * elements;
  };
  for (const Op& op : graph.ops) {
    if (const auto* linear = std::get_if<Linear>(&op)) description.flops_per_token += cost(linear->weight);
    if (const auto* mlp = std::get_if<GatedMlp>(&op)) description.flops_per_token += cost(mlp->gate) + cost(mlp->up) + cost(mlp->down);
    if (const auto* mlp = std::get_if<Mlp>(&op)) description.flops_per_token += cost(mlp->up) + cost(mlp->down);
    if (const auto* output = std::get_if<Output>(&op); output && output->head) description.flops_per_logits = cost(*output->head);
  }
}

std::string describe_tokenizer(const Model& model) {
  if (!model.tokenizer) return "none";
  if (!model.tokenizer->tokenizer_json.empty()) return "tokenizer.json";
  if (!model.tokenizer->vocabulary) return "none";
  const TokenizerSpec::Vocabulary& vocabulary = *model.tokenizer->vocabulary;
  return vocabulary.pre.empty() ? vocabulary.model : vocabulary.model + "/" + vocabulary.pre;
}

}  // namespace

struct Engine::State {
  BackendContext context;
  std::vector<std::unique_ptr<Backend>> backends, isolated;        // isolated[i] runs backends[i] in a worker; empty: none can
  mutable std::mutex mutex;
  std::map<std::string, std::shared_ptr<Endpoint>> endpoints;      // guarded by mutex; null while opening
  std::map<std::string, uint64_t> reserved;                        // guarded by mutex: bytes of models while they open
  std::mutex budget_mutex;                                         // held through a start where there is a budget
  mutable std::mutex probe_mutex;                                  // apart: a probe takes seconds, find() may not wait for it
  mutable std::vector<ProbedBackend> probed;                       // guarded by probe_mutex
  mutable std::atomic<bool> probe_wanted{true};                    // at first, and when a backend's devices changed
  mutable std::once_flag records_once;
  mutable std::unique_ptr<Records> records;                        // by records_once; null where the file can not be used
  std::optional<ProgramCache> programs;                            // nothing: no artifact is kept

  void reserve(const std::string& name, uint64_t bytes) {
    std::lock_guard lock(mutex);
    if (const auto at = endpoints.find(name); at != endpoints.end() && !at->second) reserved[name] = bytes;
  }

  // What the others leave of the budget for `name`, which has `own` bytes already; at least 1; 0 = there is no budget.
  uint64_t left_for(const std::string& name, uint64_t own) const {
    if (context.memory_bytes == 0) return 0;
    std::vector<std::shared_ptr<Endpoint>> others;
    uint64_t taken = own;
    {
      std::lock_guard lock(mutex);
      for (const auto& [other, endpoint] : endpoints) {
        if (endpoint && other != name) others.push_back(endpoint);
      }
      for (const auto& [other, bytes] : reserved) taken += other == name ? 0 : bytes;
    }
    for (const auto& endpoint : others) taken += endpoint->memory_bytes();  // takes the endpoint's own lock
    return std::max<uint64_t>(context.memory_bytes - std::min(context.memory_bytes, taken), 1);
  }

  std::vector<ProbedBackend> probe(Deadline deadline) const {
    std::lock_guard lock(probe_mutex);
    if (probe_wanted.exchange(false)) {
      probed.clear();
      for (const auto& backend : backends) probed.push_back({backend.get(), backend->probe(deadline)});
    }
    return probed;
  }

  // What a plan may choose from: a backend itself, or isolated where that is asked for, by the option or by name.
  Result<std::vector<ProbedBackend>> in_play(std::vector<ProbedBackend> all, const OpenOptions& options) const {
    const bool named = options.hardware.substr(0, options.hardware.find('@')).ends_with(kIsolatedSuffix);
    if (!options.isolate && !named) return all;
    if (isolated.empty()) return Error{ErrorCode::kUnimplemented, "[engine] this process starts no workers, so nothing can be isolated; try the ipfs-accelerate binary"};
    for (size_t i = 0; i < all.size(); ++i) {
      if (!all[i].backend->about().separate) all[i].backend = isolated[i].get();
    }
    return all;
  }
};

Engine::Engine() : state_(std::make_unique<State>()) {}

Engine::~Engine() {
  for (const auto& endpoint : endpoints()) endpoint->close();
}

Result<std::unique_ptr<Engine>> Engine::create(const EngineOptions& options) {
  std::unique_ptr<Engine> engine(new Engine);
  const CpuInfo cpu = cpu_info();
  BackendContext& context = engine->state_->context;
  context.threads = options.threads ? options.threads : cpu.threads_usable;
  if (context.threads > cpu.threads_usable) {
    log_warning(fmt::format("{} threads asked for, but the affinity and quota of this process grant {}: they will take turns",
                            context.threads, cpu.threads_usable));
  }
  context.memory_bytes = options.memory_bytes;
  context.cache_dir = cache_dir().string();
  if (options.program_cache_bytes_max != uint64_t{0}) engine->state_->programs.emplace(ProgramCacheOptions{.folder = {}, .bytes_max = options.program_cache_bytes_max});
  context.changed = [state = engine->state_.get()] { state->probe_wanted = true; };
  static Supervisor supervisor;
  context.workers = &supervisor;
  for (const BackendFactory& factory : options.backends) engine->state_->backends.push_back(factory.make(context));
  if (options.worker_argv.empty()) return engine;
  for (const auto& backend : engine->state_->backends) engine->state_->isolated.push_back(make_isolated_backend(*backend, context, options.worker_argv));
  return engine;
}

Result<std::shared_ptr<Endpoint>> Engine::open(const std::string& word, const OpenOptions& options, Progress& progress) {
  const auto start = std::chrono::steady_clock::now();
  ACC_TRY_VOID(check_constraints(options.constraints));
  ACC_TRY(const std::vector<std::string> relay_notes, check_relay(word, options.constraints));
  ACC_TRY(OpenedModel opened, open_files(word, options));
  {
    std::lock_guard lock(state_->mutex);
    if (!state_->endpoints.emplace(opened.name, nullptr).second) {
      return Error{ErrorCode::kAlreadyExists, fmt::format("[engine] names of loaded models are unique; got '{}' twice; try NAME={}",
                                                          opened.name, word)};
    }
  }
  OpenOptions named = options;
  named.name = opened.name;
  Result<std::shared_ptr<Endpoint>> endpoint = [&]() -> Result<std::shared_ptr<Endpoint>> {
    if (!is_relay_name(word)) return load(std::move(opened.model), opened.location.path, named, start, progress);
    const auto probed = state_->probe(std::chrono::steady_clock::now() + kProbeDeadline);
    return open_relay_endpoint({.model = opened.model, .name = opened.name, .path = word, .compile = options.compile, .backends = probed, .started = start, .notes = relay_notes}, progress);
  }();
  std::lock_guard lock(state_->mutex);
  state_->reserved.erase(opened.name);
  if (endpoint) state_->endpoints[opened.name] = *endpoint;
  else state_->endpoints.erase(opened.name);
  return endpoint;
}

// The Targets that `options` names or, if none, those of its hardware; best first.
Result<ModelPlan> Engine::plan_to_load(const Model& model, const OpenOptions& options, const CompileOptions& compile,
                                       std::span<const ProbedBackend> probed, Progress& progress, std::span<const Record> fresh) const {
  ACC_TRY(ModelPlan choice, begin_plan(*this, model, options, compile));
  Plan& plan = choice.plan;
  for (const std::string& target : options.targets) {
    OpenOptions only;
    only.hardware = target;
    ACC_TRY(const auto in_play, state_->in_play({probed.begin(), probed.end()}, only));
    ACC_TRY(const Plan one, make_plan({.model = model, .hardware = target, .compile = compile, .backends = in_play, .detect = false}));
    if (!one.best()) return Error{one.refusal().code, fmt::format("[engine] no target '{}' can run this; got {}", target, one.refusal().message)};
    const bool twice = std::any_of(plan.entries.begin(), plan.entries.end(), [&](const PlanEntry& entry) { return to_string(entry.target) == to_string(one.best()->target); });
    if (twice) return Error{ErrorCode::kInvalidArgument, fmt::format("[engine] targets are named once; got '{}' again", target)};
    plan.entries.push_back(*one.best());
  }
  if (options.targets.empty()) {
    ACC_TRY(const auto in_play, state_->in_play({probed.begin(), probed.end()}, options));
    ACC_TRY(plan, make_plan({.model = model, .hardware = options.hardware, .compile = compile, .backends = in_play, .detect = options.hardware != "auto"}));
  }
  ACC_TRY_VOID(choose_for_load(*this, choice, model, options, compile, progress, fresh));
  return choice;
}

Result<std::shared_ptr<Endpoint>> Engine::load(std::shared_ptr<Model> model, const std::string& path, const OpenOptions& options,
                                               std::chrono::steady_clock::time_point start, Progress& progress) {
  const std::string& name = options.name;
  ACC_TRY(CompileOptions compile, normalized(*model, options.compile));
  compile.memory_bytes = memory_left();
  ACC_TRY_VOID(add_graph(*model));
  const auto probed = std::make_shared<const std::vector<ProbedBackend>>(state_->probe(std::chrono::steady_clock::now() + kProbeDeadline));
  ACC_TRY(ModelPlan choice, plan_to_load(*model, options, compile, *probed, progress));
  if (!choice.plan.best()) return refusal_to_load(choice, options);
  if (options.together && model->graph->vocabulary == 0) {
    return Error{ErrorCode::kUnimplemented, fmt::format("[engine] several targets at once serve models that generate; '{}' makes vectors; try without --together", name)};
  }
  CandidateRequest wish{.model = model, .name = name, .compile = compile, .prove = options.parity == ParityMode::kOn,
                        .threads = context().threads, .prompt_tokens = choice.use.prompt_tokens, .kl_max = options.constraints.kl_max, .probed = probed,
                        .records = [this] { return records(); }, .memory = {}};
  if (state_->context.memory_bytes != 0) {
    wish.memory = {.turn = &state_->budget_mutex,
                   .left = [this, name](uint64_t own) { return state_->left_for(name, own); },
                   .took = [this, name](uint64_t own) { state_->reserve(name, own); }};
  }
  wish.cache = state_->programs ? &*state_->programs : nullptr;
  wish.started = options.started;
  std::vector<Candidate> candidates = plan_candidates(choice.plan, wish);
  const ShrinkOptions shrink{.slots = compile.slots, .context = compile.context ? compile.context : model->config.context, .smaller_context = options.smaller_context};
  const FirstStartOptions starting{.name = name, .fallback = options.fallback, .shrink = shrink, .together = options.together, .step_max = options.limits.step_max};
  FirstMeasure measured;
  if (const std::vector<size_t> which = to_measure(choice.plan, options); !which.empty()) {
    const RecordKey key{.model_id = choice.model_id, .quantization = choice.quantization, .shape = shape_bucket(choice.use), .target = {}, .versions = {},
                        .fingerprint = choice.fingerprint, .threads = choice.threads};
    ACC_TRY(measured, measure_first({.model = model, .plan = choice.plan, .candidates = candidates, .which = which, .use = choice.use, .key = key,
                                     .compile = compile, .start = starting, .budget = options.measure_budget, .records = records()}, progress));
    ACC_TRY(choice, plan_to_load(*model, options, compile, *probed, progress, measured.records));
    if (!choice.plan.best()) return refusal_to_load(choice, options);
    candidates = plan_candidates(choice.plan, wish);
  }
  ACC_TRY(FirstStart first, start_measured(candidates, std::move(measured), starting, progress));
  StartedProgram best = std::move(first.running.front());
  first.running.erase(first.running.begin());
  first.notes.insert(first.notes.begin(), choice.notes.begin(), choice.notes.end());
  return make_endpoint({.model = std::move(model), .program = std::move(best.program), .name = name, .path = path,
                        .target = best.target, .started = start, .reuse_prefixes = options.reuse_prefixes, .candidates = std::move(candidates),
                        .together = std::move(first.running), .fallback = options.fallback, .shrink = shrink, .limits = options.limits,
                        .notes = std::move(first.notes), .quantization = std::move(choice.quantization)});
}

uint64_t Engine::memory_left() const { return state_->left_for({}, 0); }

std::shared_ptr<Endpoint> Engine::find(const std::string& name) const {
  std::lock_guard lock(state_->mutex);
  const auto found = state_->endpoints.find(name);
  return found == state_->endpoints.end() ? nullptr : found->second;
}

std::vector<std::shared_ptr<Endpoint>> Engine::endpoints() const {
  std::lock_guard lock(state_->mutex);
  std::vector<std::shared_ptr<Endpoint>> all;
  for (const auto& [name, endpoint] : state_->endpoints) {
    if (endpoint) all.push_back(endpoint);
  }
  return all;
}

Result<void> Engine::close(const std::string& name) {
  std::shared_ptr<Endpoint> endpoint;
  {
    std::lock_guard lock(state_->mutex);
    const auto found = state_->endpoints.find(name);
    if (found == state_->endpoints.end() || !found->second) {
      return Error{ErrorCode::kNotFound, fmt::format("[engine] only loaded models can be closed; got '{}'", name)};
    }
    endpoint = std::move(found->second);
    state_->endpoints.erase(found);
  }
  endpoint->close();
  return {};
}

Result<std::string> Engine::name_of(const std::string& word, const OpenOptions& options) const {
  ACC_TRY(OpenedModel opened, open_files(word, options));
  return std::move(opened.name);
}

Result<ModelDescription> Engine::describe(const std::string& word, const OpenOptions& options) const {
  ACC_TRY(const OpenedModel opened, open_files(word, options));
  Model& model = *opened.model;
  ModelDescription description{.name = opened.name, .path = opened.location.path, .format = model.format,
                               .family = model.config.architecture, .refusal = "", .parameters = model.parameter_count(),
                               .file_bytes = 0, .context = model.config.context, .layers = model.config.layers,
                               .width = model.config.width, .heads = model.config.heads, .kv_heads = model.config.kv_heads,
                               .vocabulary = model.config.vocabulary, .tokenizer = describe_tokenizer(model),
                               .chat_template = model.chat_template, .tensor_types = {}, .graph_hash = "", .suggested = model.generation};
  description.quantization = dtype_traits(model.main_dtype()).name;
  for (const auto& file : model.files) description.file_bytes += file->bytes().size();
  for (const TensorView& tensor : model.tensors) ++description.tensor_types[std::string(dtype_traits(tensor.dtype).name)];
  if (Result<void> added = add_graph(model); !added) {
    description.refusal = added.error().message;
    return description;
  }
  description.vocabulary = model.graph->vocabulary ? model.graph->vocabulary : description.vocabulary;
  description.graph_hash = graph_hash(*model.graph);
  count_flops(*model.graph, description);
  ACC_TRY(const auto in_play, state_->in_play(state_->probe(std::chrono::steady_clock::now() + kProbeDeadline), options));
  ACC_TRY(const CompileOptions compile, normalized(model, options.compile));
  ACC_TRY(const Plan plan, make_plan({.model = model, .hardware = options.hardware, .compile = compile, .backends = in_play}));
  if (const PlanEntry* best = plan.best()) {
    description.memory_weights_bytes = best->memory.weights;
    description.memory_kv_bytes = best->memory.kv;
    description.memory_buffers_bytes = best->memory.buffers;
  } else {
    description.refusal = plan.refusal().message;
  }
  return description;
}

Result<QualityChange> Engine::compare(const std::string& before, const std::string& after, Progress& progress, const StepControl& control) const {
  QualityRequest request{.threads = state_->context.threads};
  const auto probed = state_->probe(std::chrono::steady_clock::now() + kProbeDeadline);
  request.backend = find_reference_backend(probed, request.device);
  if (!request.backend) return Error{ErrorCode::kUnavailable, fmt::format("[engine] both models run exactly on the backend '{}'; got none of that name that runs here", kReferenceBackend)};
  ACC_TRY(OpenedModel first, open_files(before, {}));
  ACC_TRY_VOID(add_graph(*first.model));
  ACC_TRY(OpenedModel second, open_files(after, {}));
  ACC_TRY_VOID(add_graph(*second.model));
  request.before = std::move(first.model);
  request.after = std::move(second.model);
  return measure_quality(request, progress, control);
}

Result<ModelPlan> Engine::plan(const std::string& word, const OpenOptions& options) const {
  ACC_TRY_VOID(check_constraints(options.constraints));
  ACC_TRY(const OpenedModel opened, open_files(word, options));
  Model& model = *opened.model;
  ACC_TRY_VOID(add_graph(model));
  ACC_TRY(const CompileOptions compile, normalized(model, options.compile));
  ACC_TRY(ModelPlan result, begin_plan(*this, model, options, compile));
  result.name = opened.name;
  const auto probed = state_->probe(std::chrono::steady_clock::now() + kProbeDeadline);
  ACC_TRY(const auto in_play, state_->in_play(probed, options));
  ACC_TRY(result.plan, make_plan({.model = model, .hardware = options.hardware, .compile = compile, .backends = in_play, .detect = true}));
  ACC_TRY(result.model_id, compute_model_id(model));
  order_by_records(records(), result, options, compile);
  return result;
}

Result<std::string> Engine::model_id(const std::string& word, const std::atomic<bool>* stop) const {
  ACC_TRY(const OpenedModel opened, open_files(word, {}));
  return compute_model_id(*opened.model, {.cache_file = {}, .stop = stop});
}

std::vector<Verdict> Engine::hardware(Deadline deadline) const {
  std::vector<Verdict> verdicts;
  const auto probed = state_->probe(deadline);
  for (const HardwareName& name : hardware_names()) {
    const size_t before = verdicts.size();
    for (const ProbedBackend& backend : probed) {
      for (const Verdict& verdict : backend.verdicts) {
        if (verdict.hardware == name.name) verdicts.push_back(verdict);
      }
    }
    if (verdicts.size() == before) verdicts.push_back(detect_unserved(name.name));
  }
  return verdicts;
}

Records* Engine::records() const {
  std::call_once(state_->records_once, [this] {
    Result<std::unique_ptr<Records>> opened = Records::open({});
    if (opened) state_->records = *std::move(opened);
    else log_warning("nothing is remembered of measurements and proofs: " + opened.error().message);
  });
  return state_->records.get();
}

const BackendContext& Engine::context() const { return state_->context; }

}  // namespace accelerate
