// Stopping - a Progress that may say stop at any time, for work that looks at a flag; and StopProgress, the other way round.
//
//   const Stopping stopping(progress, "parity gate");
//   ACC_TRY(auto verdict, judge(program, {.deadline = {}, .stop = &stopping.flag()}));
//   StopProgress progress(&stop);
//   ACC_TRY_VOID(roster.load(name, progress));
//
// It is asked on a thread of its own, as a probe of a large model takes minutes, until the Stopping goes. `progress` outlives it.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "accelerate/core/backend.h"

namespace accelerate {

class Stopping {
 public:
  Stopping(Progress& progress, std::string_view what) : stop_(!progress.update(what, 0, 0, "")) {
    asking_ = std::jthread([this, &progress, what = std::string(what)](const std::stop_token& ended) {
      std::mutex mutex;
      std::unique_lock lock(mutex);
      std::condition_variable_any woken;
      while (!woken.wait_for(lock, ended, kAskedEvery, [] { return false; }) && !ended.stop_requested()) {
        if (!progress.update(what, 0, 0, "")) stop_ = true;
      }
    });
  }
  const std::atomic<bool>& flag() const { return stop_; }

 private:
  static constexpr std::chrono::milliseconds kAskedEvery{100};
  std::atomic<bool> stop_;
  std::jthread asking_;  // last: joined before the flag goes
};

/// Says stop once the flag is set; null: never. The flag outlives it.
class StopProgress final : public Progress {
 public:
  explicit StopProgress(const std::atomic<bool>* stop) : stop_(stop) {}
  bool update(std::string_view, uint64_t, uint64_t, std::string_view) override { return !stop_ || !stop_->load(); }

 private:
  const std::atomic<bool>* stop_;
};

}  // namespace accelerate
