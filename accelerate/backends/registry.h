// The backends this binary was built with: a generated list, in no particular order (order is the planner's business).
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "accelerate/core/backend.h"

namespace accelerate {

struct BackendEntry {
  std::string_view name;
  std::unique_ptr<Backend> (*make)(BackendContext& context);
};

/// Static lifetime, thread-safe.
std::span<const BackendEntry> backend_registry();

}  // namespace accelerate
