// IsolatedBackend - another backend's programs in a worker process of our own binary: a crash, a hang or a leak there is
// an error here, and the worker's memory is the system's again when it ends.
//
//   auto isolated = make_isolated_backend(*cpu, context, {"/proc/self/exe", "worker"});   // named "cpu-isolated"
//   ACC_TRY(Compiled compiled, isolated->compile(model, device, options, progress));      // starts a worker of its own
//
// Probes and supports() are the inner backend's, asked in this process. One worker a program; it ends with the program.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "accelerate/core/backend.h"

namespace accelerate {

inline constexpr std::string_view kIsolatedSuffix = "-isolated";

/// The backend that computes for a Target "cpu@cpu:0" or "cpu-isolated@cpu:0": "cpu".
std::string_view backend_named(std::string_view target);

/// Borrows `inner` and `context.workers`, which outlive it. `argv` starts the worker (engine/worker.h).
std::unique_ptr<Backend> make_isolated_backend(Backend& inner, const BackendContext& context, std::vector<std::string> argv);

}  // namespace accelerate
