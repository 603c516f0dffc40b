#include "accelerate/backends/cpu/cpu.h"

#include <algorithm>
#include <map>
#include <mutex>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "accelerate/base/cpu.h"
#include "accelerate/core/graph.h"
#include "accelerate/core/quantization.h"
#include "accelerate/host/host_program.h"
#include "accelerate/host/sizing.h"

namespace accelerate {
namespace {

/// What the table does to activations where exactness was not asked for.
std::string kernel_notes(Isa isa) { return isa == Isa::kAvx512Bf16 ? "activations bf16 in matrix products, f32 elsewhere" : "activations f32"; }

Support no(const Error& error) { return {.yes = false, .reason = error.message, .code = error.code, .memory_bytes = 0, .memory = {}}; }

class CpuBackend final : public Backend {
 public:
  explicit CpuBackend(const BackendContext& context) : context_(context) {
    about_.name = "cpu";
    about_.hardware = {"cpu"};
    about_.summary = "native kernels on CPU threads: weights stay in the file's own quantization, or become another one at load";
    about_.needs = {"a 64-bit CPU; AVX2 or AVX-512 are used where they run"};
    about_.how_to_get = "built in";
  }

  const Descriptor& about() const override { return about_; }

  std::vector<Verdict> probe(Deadline) override {
    const CpuInfo cpu = cpu_info();
    Verdict verdict{.hardware = "cpu", .version = "built in"};
    const Result<Isa> isa = usable_isa();
    if (!isa) {
      verdict.state = Verdict::State::kBroken;
      verdict.reason = isa.error().message;
      verdict.how_to_get = fmt::format("unset {} or set it to a family this machine runs", kIsaVariable);
      return {verdict};
    }
    verdict.state = Verdict::State::kAvailable;
    verdict.evidence = fmt::format("{} kernels ran here; {} of {} CPUs usable", isa_name(*isa), cpu.threads_usable, cpu.cores_logical);
    verdict.devices.push_back({.kind = "cpu", .index = 0, .name = cpu.model,
                               .memory_bytes = context_.memory_bytes != 0 ? context_.memory_bytes : cpu.memory_bytes,
                               .features = {std::string(isa_name(*isa))}});
    return {verdict};
  }

  Support supports(const Model& model, const Device& device, const CompileOptions& options) const override {
    if (const Result<void> able = check(model, device, options); !able) return no(able.error());
    const Result<MemoryEstimate> memory = estimate_memory(model, options, machine(options));
    if (!memory) return no(memory.error());
    return {.yes = true, .reason = "", .memory_bytes = memory->total(), .memory = *memory};
  }

  Result<Compiled> compile(std::shared_ptr<const Model> model, const Device& device, const CompileOptions& options, Progress& progress) override {
    CHECK(model, "a model to compile");
    ACC_TRY_VOID(check(*model, device, options));
    ACC_TRY(const Isa isa, usable_isa());
    const HostMachine machine = this->machine(options);
    Compiled compiled;
    const uint32_t threads = options.threads != 0 ? options.threads : machine.threads;
    compiled.report.push_back(fmt::format("{} kernels, {} threads", isa_name(isa), threads));
    // Sized before any thread starts, so that absurd options cost nothing.
    ACC_TRY(const MemoryEstimate memory, estimate_memory(*model, options, machine));
    (void)memory;
    const HostBuild build{.model = std::move(model), .kernels = &native_kernels(isa), .threads = pool(threads), .options = options,
                          .machine = machine, .kernel_notes = kernel_notes(isa)};
    ACC_TRY(compiled.program, build_host_program(build, progress, compiled.report));
    return compiled;
  }

  Result<std::unique_ptr<Program>> load(std::shared_ptr<const Model>, const Artifact&, const Device&, const CompileOptions&, Progress&) override {
    return Error{ErrorCode::kUnimplemented, "[cpu] compiling leaves nothing on disk that could be loaded; compile the model"};
  }

 private:
  Result<void> check(const Model& model, const Device& device, const CompileOptions& options) const {
    if (device.kind != "cpu") return Error{ErrorCode::kInvalidArgument, fmt::format("[cpu] runs on cpu devices; got {}", to_string(device))};
    if (!model.graph) {
      return Error{ErrorCode::kUnimplemented, fmt::format("[cpu] needs a graph of the model; got none for architecture '{}'", model.config.architecture)};
    }
    ACC_TRY_VOID(quantization_to_apply(model, options.quantization));
    if (const Result<Isa> isa = usable_isa(); !isa) return isa.error();
    return {};
  }

  HostMachine machine(const CompileOptions& options) const {
    return {.threads = context_.threads != 0 ? context_.threads : 1, .memory_bytes = options.memory_bytes != 0 ? options.memory_bytes : context_.memory_bytes};
  }

  /// One pool for each thread count in use: several models take turns instead of fighting for the CPUs.
  std::shared_ptr<ThreadPool> pool(uint32_t threads) {
    std::lock_guard lock(mutex_);
    std::shared_ptr<ThreadPool> pool = pools_[threads].lock();
    if (!pool) {
      pool = std::make_shared<ThreadPool>(ThreadPool::Options{.threads = threads});
      pools_[threads] = pool;
    }
    return pool;
  }

  BackendContext context_;
  Descriptor about_;
  std::mutex mutex_;
  std::map<uint32_t, std::weak_ptr<ThreadPool>> pools_;
};

}  // namespace

std::unique_ptr<Backend> make_cpu_backend(BackendContext& context) { return std::make_unique<CpuBackend>(context); }

}  // namespace accelerate
