// A FakeBackend that leaves artifacts: compile() writes "ARTIFACT" and a large part, load() takes nothing else.
#pragma once

#include <optional>
#include <string>

#include "tests/engine/fake_backend.h"
#include "tests/engine/scratch.h"

namespace accelerate {

class ArtifactBackend final : public FakeBackend {
 public:
  ArtifactBackend() { descriptor.artifacts = true; }

  int compiles = 0, loads = 0;
  CompileOptions seen;                  // of the last compile or load
  std::string loaded;                   // path of the last load
  std::optional<Error> load_error;
  bool forgetful = false;               // writes nothing

  Result<Compiled> compile(std::shared_ptr<const Model> model, const Device& device, const CompileOptions& options, Progress& progress) override {
    ++compiles;
    seen = options;
    ACC_TRY(Compiled compiled, FakeBackend::compile(std::move(model), device, options, progress));
    if (options.artifact_dir.empty() || forgetful) return compiled;
    const std::filesystem::path file = std::filesystem::path(options.artifact_dir) / "model.bin";
    write_text(file, "ARTIFACT");
    write_text(std::filesystem::path(options.artifact_dir) / "parts" / "0", std::string(1000, 'x'));
    if (read_text(file) == "ARTIFACT") compiled.artifact = Artifact{.id = {}, .path = file.string()};
    else compiled.report.push_back("the artifact could not be written");
    return compiled;
  }
  Result<std::unique_ptr<Program>> load(std::shared_ptr<const Model>, const Artifact& artifact, const Device& device, const CompileOptions& options,
                                        Progress& progress) override {
    ++loads;
    seen = options;
    loaded = artifact.path;
    if (load_error) return *load_error;
    if (read_text(artifact.path) != "ARTIFACT") return Error{ErrorCode::kDataLoss, "[fake] no artifact of ours"};
    ACC_TRY(Compiled same, FakeBackend::compile({}, device, options, progress));
    return std::move(same.program);
  }
};

}  // namespace accelerate
