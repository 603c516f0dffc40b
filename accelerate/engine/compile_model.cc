#include "accelerate/engine/compile_model.h"

#include <chrono>
#include <map>
#include <memory>

#include <fmt/format.h>

namespace accelerate {

Result<CompileReport> compile_model(Engine& engine, const std::string& model, const OpenOptions& options, Progress& progress) {
  const auto begin = std::chrono::steady_clock::now();
  if (is_relay_name(model)) return Error{ErrorCode::kUnimplemented, fmt::format("[compile] a model is compiled where it runs; got '{}' of another server", model)};
  ACC_TRY(const ModelDescription description, engine.describe(model, options));
  const auto told = std::make_shared<std::map<std::string, StartReport>>();  // by Target: several may be tried
  OpenOptions open = options;
  open.started = [told](const StartReport& report) { (*told)[report.target] = report; };
  ACC_TRY(std::shared_ptr<Endpoint> endpoint, engine.open(model, open, progress));
  const EndpointInfo info = endpoint->info();
  CompileReport report{.name = info.name, .path = info.path, .quantization = info.quantization, .start = {}, .weights_bytes = description.file_bytes, .notes = info.notes};
  ACC_TRY_VOID(engine.close(info.name));
  endpoint.reset();  // its threads are gone: nobody starts anything any more
  const auto found = told->find(info.target);
  CHECK(found != told->end(), "what runs was told of");
  report.start = std::move(found->second);
  report.total_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return report;
}

}  // namespace accelerate
