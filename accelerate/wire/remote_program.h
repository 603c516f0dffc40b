// RemoteProgram - a Program that runs in a worker: a decoder, an encoder or a tensor program, by what the worker loaded.
//
//   ACC_TRY(Compiled compiled, load_remote(std::move(worker), std::move(load), progress));
//   compiled.program->alive()     // false once its worker is gone: seen between calls, too
//
// A dead worker is an error of the call (unavailable, with how it ended), never a crash of ours. As its kind of Program
// says of threads.
#pragma once

#include "accelerate/core/backend.h"
#include "accelerate/core/worker.h"
#include "accelerate/wire/worker_link.h"

namespace accelerate {

/// Sends `load` to the worker and makes the Program of what it answers. `progress` sees the worker's; false from it stops
/// the load. Errors are the worker's own, or how it died.
Result<Compiled> load_remote(std::unique_ptr<Worker> worker, WireMessage load, Progress& progress, LinkLimits limits = {});

}  // namespace accelerate
