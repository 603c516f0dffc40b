// Worker, Channel, WorkerSource - a process or a browser tab that runs Programs for us, as a backend sees it.
//
//   ACC_TRY(std::unique_ptr<Worker> worker, context.workers->start({.name = "torch", .argv = {python, script}}, deadline));
//   ACC_TRY_VOID(worker->channel().send(message, deadline));
//   ACC_TRY(std::vector<std::byte> answer, worker->channel().receive(deadline));
//
// Abstract: wire/ makes them, the engine hands them to backends in their context, and serve/ adds what connects by itself.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "accelerate/base/result.h"

namespace accelerate {

using Deadline = std::chrono::steady_clock::time_point;

/// Whole messages in order, both ways. One sender and one receiver at a time, each on any thread.
class Channel {
 public:
  virtual ~Channel() = default;
  /// deadline_exceeded, or unavailable once the other side is gone; either may have sent a part, so the channel is over.
  virtual Result<void> send(std::span<const std::byte> message, Deadline deadline) = 0;
  /// The next message; deadline_exceeded leaves the channel as it was, unavailable means that nothing will come any more.
  virtual Result<std::vector<std::byte>> receive(Deadline deadline) = 0;

  /// Whether open files travel beside messages: between processes of one machine, over a Unix socket.
  virtual bool carries_files() const { return false; }
  /// `descriptor` goes with the next send(), which does not close it. failed_precondition where files do not travel.
  virtual Result<void> attach(int descriptor);
  /// The file that came with the message received last, the caller's to close; -1 = none. A second call gives -1.
  virtual int take_file() { return -1; }
};

/// Destroying it ends the process, or lets go of the tab.
class Worker {
 public:
  virtual ~Worker() = default;
  virtual const std::string& name() const = 0;
  virtual Channel& channel() = 0;
  virtual bool alive() const = 0;
  /// Ends it at once, without asking; alive() is false afterwards. Any thread.
  virtual void kill() = 0;
  /// How it ended ("killed by signal 9 (Killed); it said: ..."), or nothing known: empty.
  virtual std::string end() const { return {}; }
};

struct WorkerSpec {
  std::string name;                      // for logs
  std::vector<std::string> argv;         // argv[0] is looked up on PATH
  std::vector<std::string> environment;  // "NAME=value", on top of ours
};

/// Thread-safe, lives as long as the process.
class WorkerSource {
 public:
  virtual ~WorkerSource() = default;
  /// A supervised child whose channel has shaken hands before `deadline`.
  virtual Result<std::unique_ptr<Worker>> start(const WorkerSpec& spec, Deadline deadline) = 0;
  /// Takes a worker of that kind ("browser") that connected by itself; null when none waits.
  virtual std::unique_ptr<Worker> take_connected(std::string_view kind) = 0;
};

/// Starts nothing (unimplemented) and has nothing connected: a build or a test without wire/.
WorkerSource& no_workers();

}  // namespace accelerate
