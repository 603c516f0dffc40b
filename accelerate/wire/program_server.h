// ProgramServer - the worker's side of wire/: loads one Program and runs it for whoever holds the other end of a channel.
//
//   ACC_TRY_VOID(shake_hands(channel, deadline));
//   serve_program(channel, {.load = [&](const WireMessage& request, Progress& progress) { return compile_for(request, progress); }});
//
// One thread reads: it answers heartbeats and passes stops on while another computes. Messages: docs/wire.md.
#pragma once

#include <chrono>
#include <functional>

#include "accelerate/core/backend.h"
#include "accelerate/core/worker.h"
#include "accelerate/wire/message.h"

namespace accelerate {

struct ProgramServerOptions {
  /// What becomes of a "load" message.
  std::function<Result<Compiled>(const WireMessage& request, Progress& progress)> load;
  /// Logits rows that wait in shared memory for the other side to read them, where files travel.
  size_t region_bytes = size_t{16} << 20;
  /// End the process (exit code 1) if a step goes on so long after the other side has left; 0 = wait for it.
  std::chrono::milliseconds leave{0};
};

/// Answers until the other side is gone.
void serve_program(Channel& channel, const ProgramServerOptions& options);

}  // namespace accelerate
