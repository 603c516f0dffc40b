// Ctrl-C and SIGTERM as a counter that loops look at; the second one ends the process at once (exit code 130), or a later
// one for a verb that has a use for more.
//
//   SignalScope scope;                       // handlers are ours until the end of the scope
//   while (signals_received() == 0) work();
//
// One scope at a time, on the main thread; signals_received() is safe anywhere.
#pragma once

#include <atomic>
#include <csignal>

namespace accelerate {

class SignalScope {
 public:
  SignalScope();
  ~SignalScope();
  SignalScope(const SignalScope&) = delete;
  SignalScope& operator=(const SignalScope&) = delete;

 private:
  struct sigaction old_interrupt_, old_terminate_;
};

/// How often SIGINT or SIGTERM came since the scope began or clear_signals().
int signals_received();
/// True from the first signal on: for calls that take a stop flag.
const std::atomic<bool>& stop_flag();
/// The `count`-th signal ends the process, from now to the end of the scope.
void exit_at_signal(int count);
/// Forgets them: an interactive chat goes on after a stopped answer.
void clear_signals();

}  // namespace accelerate
