// The native CPU backend: host/'s executor with the kernels of the best instruction set this machine runs. The embedded
// default, and with Precision::kExact the reference of the parity gate.
//
//   auto backend = make_cpu_backend(context);
//
// Programs that ask for the same number of threads share one pool. Thread-safe.
#pragma once

#include <memory>

#include "accelerate/core/backend.h"

namespace accelerate {

std::unique_ptr<Backend> make_cpu_backend(BackendContext& context);

}  // namespace accelerate
