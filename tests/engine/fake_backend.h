// A Backend for tests: serves hardware names as told and compiles to programs made by a function of the test.
#pragma once

#include <functional>

#include "tests/engine/counting_decoder.h"

namespace accelerate {

class FakeBackend : public Backend {
 public:
  Descriptor descriptor{.name = "fake", .hardware = {"cpu"}, .summary = "for tests", .needs = {}, .how_to_get = "built in"};
  std::vector<Verdict> verdicts{{.state = Verdict::State::kAvailable, .hardware = "cpu", .devices = {{.kind = "cpu", .name = "test"}}}};
  Support support{.yes = true, .reason = "", .memory_bytes = 60, .memory = {.weights = 10, .kv = 20, .buffers = 30}};
  std::function<Result<std::unique_ptr<Program>>(const CompileOptions&, Progress&)> make = [](const CompileOptions&, Progress&) {
    auto program = std::make_unique<CountingDecoder>();
    program->vocabulary_value = 280;
    return Result<std::unique_ptr<Program>>(std::move(program));
  };
  std::function<Result<std::unique_ptr<Program>>(const Device&, const CompileOptions&)> make_on;  // instead of make, where it is set
  int probes = 0;
  std::function<void()> changed;  // the engine's, as a real backend gets it

  const Descriptor& about() const override { return descriptor; }
  std::vector<Verdict> probe(Deadline) override { ++probes; return verdicts; }
  Support supports(const Model&, const Device&, const CompileOptions&) const override { return support; }
  Result<Compiled> compile(std::shared_ptr<const Model>, const Device& device, const CompileOptions& options, Progress& progress) override {
    ACC_TRY(std::unique_ptr<Program> program, make_on ? make_on(device, options) : make(options, progress));
    Compiled compiled;
    compiled.program = std::move(program);
    return compiled;
  }
  Result<std::unique_ptr<Program>> load(std::shared_ptr<const Model>, const Artifact&, const Device&, const CompileOptions&, Progress&) override {
    return Error{ErrorCode::kUnimplemented, "[fake] nothing to load"};
  }
};

}  // namespace accelerate
