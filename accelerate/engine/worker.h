// The worker process's life: shake hands, compile what is ordered with one of this binary's backends, serve it.
//
//   SocketChannel channel(kInheritedFile);
//   return run_worker(channel, backends) ? 0 : 1;
#pragma once

#include <vector>

#include "accelerate/core/worker.h"
#include "accelerate/engine/engine.h"
#include "accelerate/wire/message.h"

namespace accelerate {

/// Returns when the other side is gone; an error when it is none of ours.
Result<void> run_worker(Channel& channel, const std::vector<BackendFactory>& backends);

/// What a CompileOrder becomes: the backend is made into `backend`, which outlives the program.
Result<Compiled> compile_order(const WireMessage& request, const std::vector<BackendFactory>& backends, std::unique_ptr<Backend>& backend,
                               BackendContext& context, Progress& progress);

}  // namespace accelerate
