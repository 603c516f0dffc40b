// An Engine over one FakeBackend. BackendFactory takes a plain function, so the backend under way is a global of the test.
#pragma once

#include "accelerate/engine/engine.h"
#include "tests/engine/fake_backend.h"
#include "tests/engine/fixture_model.h"

namespace accelerate {

struct FakeEngine {
  FakeBackend* backend = nullptr;  // the engine's
  std::unique_ptr<Engine> engine;

  explicit FakeEngine(const EngineOptions& base = {}) {
    EngineOptions options = base;
    options.backends = {{"fake", &FakeEngine::make}};
    Result<std::unique_ptr<Engine>> created = Engine::create(options);
    EXPECT_TRUE(created);
    engine = *std::move(created);
    backend = made();
  }
  static FakeBackend*& made() {
    static FakeBackend* last = nullptr;
    return last;
  }
  static std::unique_ptr<Backend> make(BackendContext& context) {
    auto backend = std::make_unique<FakeBackend>();
    backend->changed = context.changed;
    made() = backend.get();
    return backend;
  }
  Result<std::shared_ptr<Endpoint>> open(const std::string& fixture = "llama_f32.gguf", const OpenOptions& options = {}) {
    return engine->open(fixture_path(fixture).string(), options, no_progress());
  }
};

}  // namespace accelerate
