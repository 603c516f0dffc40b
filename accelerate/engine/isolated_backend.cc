#include "accelerate/engine/isolated_backend.h"

#include <chrono>
#include <filesystem>

#include <fmt/format.h>

#include "accelerate/engine/compile_wire.h"
#include "accelerate/wire/remote_program.h"

namespace accelerate {
namespace {

constexpr auto kStartTime = std::chrono::seconds(30);  // to the handshake; ten times what a machine under load was seen to take

class IsolatedBackend final : public Backend {
 public:
  IsolatedBackend(Backend& inner, const BackendContext& context, std::vector<std::string> argv)
      : inner_(inner), about_(inner.about()), workers_(*context.workers), threads_(context.threads), argv_(std::move(argv)) {
    about_.name += kIsolatedSuffix;
    about_.summary += ", in a worker process";
  }
  const Descriptor& about() const override { return about_; }
  std::vector<Verdict> probe(Deadline deadline) override { return inner_.probe(deadline); }
  Support supports(const Model& model, const Device& device, const CompileOptions& options) const override {
    return inner_.supports(model, device, options);
  }
  Result<Compiled> compile(std::shared_ptr<const Model> model, const Device& device, const CompileOptions& options, Progress& progress) override {
    return start(*model, device, options, {}, progress);
  }
  Result<std::unique_ptr<Program>> load(std::shared_ptr<const Model> model, const Artifact& artifact, const Device& device, const CompileOptions& options,
                                        Progress& progress) override {
    if (!about_.artifacts) return Error{ErrorCode::kUnimplemented, fmt::format("[isolated] {} leaves no artifact", inner_.about().name)};
    ACC_TRY(Compiled loaded, start(*model, device, options, std::filesystem::absolute(artifact.path).string(), progress));
    return std::move(loaded.program);
  }

 private:
  Result<Compiled> start(const Model& model, const Device& device, const CompileOptions& options, std::string artifact, Progress& progress) {
    if (const Support support = inner_.supports(model, device, options); !support.yes) return Error{support.code, support.reason};
    ACC_TRY(std::unique_ptr<Worker> worker, workers_.start({.name = fmt::format("{}@{}", about_.name, to_string(device)), .argv = argv_, .environment = {}},
                                                           std::chrono::steady_clock::now() + kStartTime));
    CompileOrder order{.backend = inner_.about().name, .device = to_string(device), .model = std::filesystem::absolute(model.path).string(),
                       .weight_bytes = model.weight_bytes(), .options = options, .artifact = std::move(artifact)};
    if (order.options.threads == 0) order.options.threads = threads_;
    return load_remote(std::move(worker), to_message(order), progress);
  }

  Backend& inner_;
  Descriptor about_;
  WorkerSource& workers_;
  const uint32_t threads_;
  const std::vector<std::string> argv_;
};

}  // namespace

std::string_view backend_named(std::string_view target) {
  std::string_view name = target.substr(0, target.find('@'));
  if (name.ends_with(kIsolatedSuffix)) name.remove_suffix(kIsolatedSuffix.size());
  return name;
}

std::unique_ptr<Backend> make_isolated_backend(Backend& inner, const BackendContext& context, std::vector<std::string> argv) {
  return std::make_unique<IsolatedBackend>(inner, context, std::move(argv));
}

}  // namespace accelerate
