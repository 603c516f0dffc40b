// A scripted Program straight from the backend.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>

#include "accelerate/backends/null/null.h"

namespace accelerate::null_harness {

inline const Device kNull{.kind = "null"};

inline std::unique_ptr<Program> compile(NullScript script, const CompileOptions& options = {}) {
  set_null_script(std::move(script));
  BackendContext context;
  auto compiled = make_null_backend(context)->compile(std::make_shared<Model>(), kNull, options, no_progress());
  CHECK(compiled.ok(), "a script compiles");
  return std::move(compiled->program);
}

/// The tokens with the largest logits, one a row.
class Tops final : public LogitsSink {
 public:
  void row(size_t, size_t, std::span<const float> logits) override {
    tokens.push_back(static_cast<uint32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin()));
  }
  std::vector<uint32_t> tokens;
};

}  // namespace accelerate::null_harness
