#include "accelerate/host/host_program.h"

#include <chrono>

#include <fmt/format.h>

#include "accelerate/core/quantization.h"
#include "accelerate/host/decoder.h"
#include "accelerate/host/encoder.h"

namespace accelerate {
namespace {

/// What a user should know of: casts and what was chosen where nothing was asked.
void add_notes(const HostBuild& build, const HostPlan& plan, Sizing& sizing) {
  std::vector<std::string>& notes = sizing.notes;
  notes.insert(notes.begin(), plan.exact || build.kernel_notes.empty() ? "activations f32" : build.kernel_notes);
  // An encoder keeps nothing, but its attention reads K and V through the same pages.
  notes.insert(notes.begin() + 1, fmt::format("{} {}", plan.head ? "KV" : "K and V", plan.exact ? "f32" : "f16"));
  if (sizing.quantization) {
    const QuantizationPlan quantized = plan_quantization(build.model->tensors, *sizing.quantization);
    notes.push_back(fmt::format("weights {} instead of {}, made at load: {} MiB instead of {}", quantized.name(),
                                dtype_traits(build.model->main_dtype()).name, quantized.bytes >> 20, quantized.bytes_before >> 20));
    for (std::string& note : quantized.notes()) notes.push_back(std::move(note));
  }
  if (plan.head) notes.push_back(fmt::format("KV for {} tokens shared by {} slots", sizing.kv_tokens, sizing.slots));
}

}  // namespace

Result<std::unique_ptr<Program>> build_host_program(const HostBuild& build, Progress& progress, std::vector<std::string>& report) {
  CHECK(build.model && build.kernels && build.threads, "a host program has a model, kernels and threads");
  if (!build.model->graph) return Error{ErrorCode::kFailedPrecondition, "[host] a model has a graph when it is compiled; got none"};
  ACC_TRY_VOID(check_graph(*build.model->graph, *build.model));
  ACC_TRY(HostPlan made, make_plan(*build.model->graph, build.options.precision));
  HostParts parts{.model = build.model, .plan = std::make_unique<const HostPlan>(std::move(made)), .weights = nullptr, .kernels = build.kernels,
                  .threads = build.threads, .sizing = {}};
  HostMachine machine = build.machine;
  machine.threads = build.threads->size();
  CompileOptions options = build.options;
  options.threads = machine.threads;
  ACC_TRY(parts.sizing, choose_sizing(*build.model, *parts.plan, options, machine));
  add_notes(build, *parts.plan, parts.sizing);

  const auto begin = std::chrono::steady_clock::now();
  ACC_TRY(parts.weights, Weights::load(build.model, *parts.plan, *build.threads, progress, parts.sizing.quantization));
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  report.push_back(fmt::format("packed {} MiB of weights in {:.2f} s with {} threads", parts.weights->bytes() >> 20, seconds, machine.threads));
  const MemoryEstimate memory = parts.sizing.memory;
  report.push_back(fmt::format("memory: {} MiB weights, {} MiB KV, {} MiB buffers", memory.weights >> 20, memory.kv >> 20, memory.buffers >> 20));
  if (parts.plan->head) {
    ACC_TRY(std::unique_ptr<Program> decoder, HostDecoder::create(std::move(parts)));
    return decoder;
  }
  ACC_TRY(std::unique_ptr<Program> encoder, HostEncoder::create(std::move(parts)));
  return encoder;
}

}  // namespace accelerate
