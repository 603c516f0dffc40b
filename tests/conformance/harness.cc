#include "tests/conformance/harness.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <map>
#include <sstream>
#include <stdexcept>

#include <fmt/format.h>

#include "accelerate/backends/registry.h"
#include "accelerate/base/cpu.h"
#include "accelerate/engine/hardware.h"
#include "accelerate/engine/isolated_backend.h"
#include "accelerate/formats/open.h"
#include "accelerate/models/families.h"
#include "accelerate/wire/supervisor.h"
#include "tests/conformance/goldens.h"
#include "tests/real_models.h"

namespace accelerate::conformance {
namespace {

BackendContext& context() {
  static Supervisor workers;
  static BackendContext context{.threads = cpu_info().threads_usable, .memory_bytes = 0, .cache_dir = cache_dir().string(), .workers = &workers};
  return context;
}

Result<std::shared_ptr<const Model>> open_with_graph(const std::filesystem::path& path) {
  ACC_TRY(const std::shared_ptr<Model> model, open_model(path));
  ACC_TRY(Graph graph, build_graph(*model));
  model->graph = std::make_shared<const Graph>(std::move(graph));
  ACC_TRY_VOID(check_graph(*model->graph, *model));
  return std::shared_ptr<const Model>(model);
}

Result<std::unique_ptr<Program>> compile(const std::string& backend, std::shared_ptr<const Model> model, const CompileOptions& options) {
  ACC_TRY(const Device device, device_of(backend));
  ACC_TRY(Compiled compiled, find_backend(backend)->compile(std::move(model), device, options, no_progress()));
  return std::move(compiled.program);
}

template <class Kind> Result<std::unique_ptr<Kind>> as_kind(Result<std::unique_ptr<Program>> program, std::string_view name) {
  if (!program) return program.error();
  auto* kind = dynamic_cast<Kind*>(program->get());
  if (!kind) return Error{ErrorCode::kInternal, fmt::format("[conformance] the model compiles to a program of kind {}", name)};
  program->release();
  return std::unique_ptr<Kind>(kind);
}

class CallbackSink final : public LogitsSink {
 public:
  explicit CallbackSink(const OnRow& on_row) : on_row_(on_row) {}
  void row(size_t input, size_t token, std::span<const float> logits) override { on_row_(input, token, logits); }

 private:
  const OnRow& on_row_;
};

}  // namespace

std::vector<std::string> backend_names() {
  std::vector<std::string> names;
  if (const char* chosen = std::getenv(kConformanceVariable); chosen && *chosen) {
    std::istringstream words(chosen);
    for (std::string name; std::getline(words, name, ',');) names.push_back(name);
    return names;
  }
  for (const std::string& name : registered_names()) {
    if (!find_backend(name)->about().install) names.push_back(name);
  }
  return names;
}

std::vector<std::string> registered_names() {
  std::vector<std::string> names;
  // Of those that run weights: relay passes text on to other servers, serves no hardware name, and has tests of its own.
  const auto is_hardware = [](const std::string& word) {
    return std::any_of(hardware_names().begin(), hardware_names().end(), [&](const HardwareName& known) { return known.name == word; });
  };
  for (const BackendEntry& entry : backend_registry()) {
    const std::vector<std::string>& served = find_backend(std::string(entry.name))->about().hardware;
    if (std::any_of(served.begin(), served.end(), is_hardware)) names.emplace_back(entry.name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

Backend* find_backend(const std::string& name) {
  static std::map<std::string, std::unique_ptr<Backend>> made;
  if (name.ends_with(kIsolatedSuffix)) {
    std::unique_ptr<Backend>& backend = made[name];
    Backend* inner = find_backend(name.substr(0, name.size() - kIsolatedSuffix.size()));
    if (!backend && inner) backend = make_isolated_backend(*inner, context(), {"/proc/self/exe", std::string(kWorkerArgument)});
    return backend.get();
  }
  for (const BackendEntry& entry : backend_registry()) {
    if (entry.name != name) continue;
    std::unique_ptr<Backend>& backend = made[name];
    if (!backend) backend = entry.make(context());
    return backend.get();
  }
  return nullptr;
}

Result<Device> device_of(const std::string& name) {
  static std::map<std::string, std::vector<Verdict>> probed;
  Backend* backend = find_backend(name);
  if (!backend) return Error{ErrorCode::kNotFound, fmt::format("[conformance] the registry has no backend '{}'", name)};
  if (!probed.contains(name)) probed[name] = backend->probe(std::chrono::steady_clock::now() + std::chrono::seconds(10));
  std::string reasons;
  for (const Verdict& verdict : probed[name]) {
    if (verdict.state == Verdict::State::kAvailable && !verdict.devices.empty()) return verdict.devices.front();
    reasons += fmt::format("{}: {}; ", verdict_state_name(verdict.state), verdict.reason);
  }
  return Error{ErrorCode::kUnavailable, fmt::format("[conformance] backend '{}' has no device here: {}", name, reasons)};
}

std::filesystem::path fixture_path(const std::string& name) { return data_folder() / "fixtures" / name; }

std::shared_ptr<const Model> open_fixture(const std::string& name) {
  Result<std::shared_ptr<const Model>> model = open_with_graph(fixture_path(name));
  if (!model) throw std::runtime_error(name + ": " + to_string(model.error()));
  return *model;
}

Result<std::shared_ptr<const Model>> open_real(const std::string& name) {
  const std::filesystem::path path = testing::real_model(name);
  if (!std::filesystem::exists(path)) return Error{ErrorCode::kNotFound, testing::real_model_absent(path)};
  return open_with_graph(path);
}

Result<std::unique_ptr<DecoderProgram>> compile_decoder(const std::string& backend, std::shared_ptr<const Model> model, const CompileOptions& options) {
  return as_kind<DecoderProgram>(compile(backend, std::move(model), options), "decoder");
}

Result<std::unique_ptr<EncoderProgram>> compile_encoder(const std::string& backend, std::shared_ptr<const Model> model, const CompileOptions& options) {
  return as_kind<EncoderProgram>(compile(backend, std::move(model), options), "encoder");
}

Result<void> step(DecoderProgram& program, std::span<const SlotInput> inputs, std::span<SlotStatus> statuses, const OnRow& on_row,
                  const StepControl& control) {
  CallbackSink sink(on_row);
  return program.step(inputs, statuses, sink, control);
}

Result<void> step_one(DecoderProgram& program, Slot slot, std::span<const uint32_t> tokens, Want want, const OnRow& on_row) {
  const SlotInput input{.slot = slot, .tokens = tokens, .want = want};
  SlotStatus status;
  ACC_TRY_VOID(step(program, {&input, 1}, {&status, 1}, on_row));
  if (status.error) return *status.error;
  return {};
}

Result<void> run_walks(DecoderProgram& program, std::span<const Walk> walks, const OnPosition& on_position) {
  struct State { Slot slot; size_t done = 0, chunk = 0; };
  std::vector<State> states(walks.size());
  for (State& state : states) { ACC_TRY(state.slot, program.open()); }
  while (true) {
    std::vector<SlotInput> inputs;
    std::vector<size_t> owners;
    for (size_t w = 0; w < walks.size(); ++w) {
      const Walk& walk = walks[w];
      State& state = states[w];
      if (state.done == walk.tokens.size()) continue;
      const size_t size = walk.chunks[std::min(state.chunk++, walk.chunks.size() - 1)];
      const size_t count = std::min(size, walk.tokens.size() - state.done);
      inputs.push_back({.slot = state.slot, .tokens = walk.tokens.subspan(state.done, count), .want = Want::kAll});
      owners.push_back(w);
    }
    if (inputs.empty()) break;
    std::vector<SlotStatus> statuses(inputs.size());
    ACC_TRY_VOID(step(program, inputs, statuses, [&](size_t input, size_t token, std::span<const float> logits) {
      on_position(owners[input], states[owners[input]].done + token, logits);
    }));
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (statuses[i].error) return *statuses[i].error;
      states[owners[i]].done += inputs[i].tokens.size();
    }
  }
  for (const State& state : states) program.close(state.slot);
  return {};
}

Result<void> collect_walks(DecoderProgram& program, std::span<Walk> walks) {
  for (Walk& walk : walks) walk.logits.assign(walk.tokens.size() * program.vocabulary(), std::numeric_limits<float>::quiet_NaN());
  return run_walks(program, walks, [&](size_t walk, size_t position, std::span<const float> logits) {
    std::copy(logits.begin(), logits.end(), walks[walk].logits.begin() + static_cast<ptrdiff_t>(position * logits.size()));
  });
}

double log_sum_exp(std::span<const float> x) {
  const float largest = *std::max_element(x.begin(), x.end());
  double sum = 0;
  for (const float value : x) sum += std::exp(value - largest);
  return largest + std::log(sum);
}

double relative_error(std::span<const float> got, std::span<const float> golden) {
  if (got.size() != golden.size()) return std::numeric_limits<double>::infinity();
  double difference = 0, scale = 0;
  for (size_t i = 0; i < golden.size(); ++i) {
    if (!std::isfinite(got[i])) return std::numeric_limits<double>::infinity();
    difference = std::max(difference, std::fabs(double{got[i]} - golden[i]));
    scale = std::max(scale, std::fabs(double{golden[i]}));
  }
  return difference / scale;
}

void BackendTest::SetUp() {
  const Result<Device> device = device_of(GetParam());
  if (!device) GTEST_SKIP() << device.error().message;
}

std::string isa_here() {
  const Result<Isa> isa = usable_isa();
  return isa ? std::string(isa_name(*isa)) : to_string(isa.error());
}

bool is_portable() { return isa_here() == isa_name(Isa::kPortable); }

}  // namespace accelerate::conformance
