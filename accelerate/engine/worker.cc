#include "accelerate/engine/worker.h"

#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "accelerate/base/paths.h"
#include "accelerate/engine/compile_wire.h"
#include "accelerate/formats/open.h"
#include "accelerate/models/families.h"
#include "accelerate/wire/program_server.h"
#include "accelerate/wire/supervisor.h"

namespace accelerate {
namespace {

constexpr auto kHelloTime = std::chrono::seconds(30);
constexpr auto kProbeTime = std::chrono::seconds(20);
constexpr auto kLeaveTime = std::chrono::seconds(3);  // a step that goes on when nobody is left to hear of it

Result<Device> find_device(Backend& backend, const std::string& name) {
  for (const Verdict& verdict : backend.probe(std::chrono::steady_clock::now() + kProbeTime)) {
    for (const Device& device : verdict.devices) {
      if (to_string(device) == name) return device;
    }
  }
  return Error{ErrorCode::kUnavailable, fmt::format("[worker] {} finds the device it found before; got none named '{}'", backend.about().name, name)};
}

}  // namespace

Result<Compiled> compile_order(const WireMessage& request, const std::vector<BackendFactory>& backends, std::unique_ptr<Backend>& backend,
                               BackendContext& context, Progress& progress) {
  ACC_TRY(const CompileOrder order, compile_order_of(request));
  const auto found = std::find_if(backends.begin(), backends.end(), [&](const BackendFactory& factory) { return factory.name == order.backend; });
  if (found == backends.end()) return Error{ErrorCode::kNotFound, fmt::format("[worker] this binary has no backend '{}'", order.backend)};
  context.threads = std::max<uint32_t>(order.options.threads, 1);
  context.memory_bytes = order.options.memory_bytes;
  context.cache_dir = cache_dir().string();
  backend = found->make(context);
  ACC_TRY(std::shared_ptr<Model> model, open_model(order.model));
  if (model->weight_bytes() != order.weight_bytes) {
    return Error{ErrorCode::kFailedPrecondition, fmt::format("[worker] '{}' changed while it was loaded: {} bytes of weights, then {}", order.model,
                                                             order.weight_bytes, model->weight_bytes())};
  }
  ACC_TRY_VOID(add_graph(*model));
  ACC_TRY(const Device device, find_device(*backend, order.device));
  if (order.artifact.empty()) return backend->compile(std::move(model), device, order.options, progress);
  ACC_TRY(std::unique_ptr<Program> program, backend->load(std::move(model), {.id = {}, .path = order.artifact}, device, order.options, progress));
  return Compiled{.program = std::move(program), .artifact = {}, .report = {}};
}

Result<void> run_worker(Channel& channel, const std::vector<BackendFactory>& backends) {
  ACC_TRY_VOID(shake_hands(channel, std::chrono::steady_clock::now() + kHelloTime));
  BackendContext context;
  std::unique_ptr<Backend> backend;
  const auto load = [&](const WireMessage& request, Progress& progress) { return compile_order(request, backends, backend, context, progress); };
  serve_program(channel, {.load = load, .leave = kLeaveTime});
  return {};
}

}  // namespace accelerate
