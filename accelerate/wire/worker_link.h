// WorkerLink - calls to one worker, one at a time: deadlines, heartbeats, stops, and how it died.
//
//   WorkerLink link(std::move(worker));
//   ACC_TRY(WireMessage answer, link.call(WireMessage("step"), {.control = control}));
//   if (!link.alive()) ...        // the call's error says how the worker ended
//
// A worker that is silent while a call runs is asked ("ping"); its reader answers even while it computes. One that stays
// silent (stopped, swapped out, dead machine), does not obey a stop, or computes past a call's limit is killed: the call
// fails with unavailable and so does every later one. Thread-safe; calls of several threads take turns.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "accelerate/core/program.h"
#include "accelerate/core/worker.h"
#include "accelerate/wire/message.h"

namespace accelerate {

struct LinkLimits {
  std::chrono::milliseconds heartbeat{1000};  // silence after which the worker is asked
  std::chrono::milliseconds silence{5000};    // after which it is dead to us: five times what a starved machine was seen to take
  std::chrono::milliseconds stop{5000};       // a chunk of work may take so long after it was told to stop
};

struct CallOptions {
  StepControl control{};
  std::optional<std::chrono::milliseconds> limit{};         // of the whole call; past it the worker hangs
  std::function<Result<void>(WireMessage&)> on_message{};   // what comes before the answer ("more"): on the calling thread
};

class WorkerLink {
 public:
  explicit WorkerLink(std::unique_ptr<Worker> worker, LinkLimits limits = {});

  /// The answer, or the worker's own error, or how it died (then alive() is false).
  Result<WireMessage> call(WireMessage request, const CallOptions& options = {});
  /// The file that came with the message taken last; -1 = none. Between calls or in on_message.
  int take_file() { return worker_->channel().take_file(); }
  bool carries_files() const { return worker_->channel().carries_files(); }
  bool alive() const { return !dead_ && worker_->alive(); }
  const std::string& name() const { return worker_->name(); }

 private:
  struct Call;
  Result<std::optional<WireMessage>> take(Call& call, const CallOptions& options);
  Result<void> watch(Call& call, const CallOptions& options);
  Result<void> post(const WireMessage& message);
  Error die(const std::string& why);

  std::unique_ptr<Worker> worker_;
  const LinkLimits limits_;
  std::mutex mutex_;
  uint64_t calls_ = 0;            // guarded by mutex_
  std::optional<Error> death_;    // guarded by mutex_
  std::atomic<bool> dead_{false};
};

}  // namespace accelerate
