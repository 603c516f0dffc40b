// Progress on stderr: a bar that redraws itself on a terminal, else at most one line per 10 % of each stage. Stages that
// end within the quiet time leave no trace. Ctrl-C and SIGTERM make update() ask for a stop.
//
//   ProgressLine progress(console);
//   ACC_TRY(std::string path, pull_model("smollm2", progress));
//
// Thread-safe. The bar is wiped at the end of the scope.
#pragma once

#include <chrono>
#include <map>
#include <mutex>
#include <string>

#include "accelerate/cli/console.h"
#include "accelerate/core/backend.h"

namespace accelerate {

class ProgressLine : public Progress {
 public:
  static constexpr std::chrono::milliseconds kQuietTime{300};         // on a terminal
  static constexpr std::chrono::milliseconds kQuietTimeInLogs{2000};  // a line stays in a log: worth it for long work only
  static constexpr std::chrono::milliseconds kRedrawInterval{80};

  explicit ProgressLine(Console& console)
      : ProgressLine(console, console.streams().err_is_terminal ? kQuietTime : kQuietTimeInLogs) {}
  ProgressLine(Console& console, std::chrono::milliseconds quiet_time) : console_(console), quiet_time_(quiet_time) {}
  ~ProgressLine() override;
  bool update(std::string_view what, uint64_t done, uint64_t total, std::string_view unit) override;

 private:
  using Clock = std::chrono::steady_clock;
  struct Stage {
    Clock::time_point begin;
    uint64_t done_last = 0;
    int tenths_told = 0;
    bool told = false;
  };
  void draw(std::string_view what, uint64_t done, uint64_t total, std::string_view unit);
  void tell(std::string_view what, uint64_t done, uint64_t total, std::string_view unit, Stage& stage);

  Console& console_;
  const std::chrono::milliseconds quiet_time_;
  std::mutex mutex_;
  std::map<std::string, Stage, std::less<>> stages_;  // by the first word of `what`: "fetching"
  Clock::time_point drawn_at_{};
  bool drawn_ = false;
};

}  // namespace accelerate
