// This binary as its own worker (hidden verb `worker`), and how it is started.
#pragma once

#include <string>
#include <vector>

#include "accelerate/engine/engine.h"

namespace accelerate {

/// All backends of this binary.
std::vector<BackendFactory> own_backends();
/// Starts this binary as a worker.
std::vector<std::string> own_worker_argv();
/// The life of a worker whose channel is file 3; the exit code. Refused with a line on stderr where file 3 is none.
int run_own_worker();

}  // namespace accelerate
