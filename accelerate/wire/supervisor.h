// Supervisor - starts worker processes and watches them: the WorkerSource of a binary.
//
//   Supervisor supervisor;
//   ACC_TRY(auto worker, supervisor.start({.name = "cpu", .argv = {self, "worker"}}, deadline));
//
// A worker has its channel as file 3 and says "hello" with our protocol's number first. What it prints goes to our log,
// its last words into Worker::end(). It ends with us: it leaves when the channel closes, and is killed with its process
// group when the Worker is destroyed.
#pragma once

#include "accelerate/core/worker.h"

namespace accelerate {

class Supervisor final : public WorkerSource {
 public:
  Result<std::unique_ptr<Worker>> start(const WorkerSpec& spec, Deadline deadline) override;
  std::unique_ptr<Worker> take_connected(std::string_view kind) override;
};

/// The worker's side of the handshake: says hello and checks the other side's. unavailable with both numbers where they differ.
Result<void> shake_hands(Channel& channel, Deadline deadline);

}  // namespace accelerate
