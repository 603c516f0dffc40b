#include "accelerate/cli/signals.h"

#include <unistd.h>

namespace accelerate {
namespace {

constexpr int kExitInterrupted = 130;
std::atomic<int> received{0};
std::atomic<bool> stop{false};
constexpr int kExitAt = 2;
std::atomic<int> exit_at{kExitAt};
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<bool>::is_always_lock_free, "used in a signal handler");

void on_signal(int) {
  stop = true;
  if (received.fetch_add(1) + 1 >= exit_at) ::_exit(kExitInterrupted);
}

}  // namespace

SignalScope::SignalScope() {
  clear_signals();
  exit_at = kExitAt;
  struct sigaction action = {};
  action.sa_handler = on_signal;  // no SA_RESTART: a read of the terminal must end
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, &old_interrupt_);
  ::sigaction(SIGTERM, &action, &old_terminate_);
}

SignalScope::~SignalScope() {
  ::sigaction(SIGINT, &old_interrupt_, nullptr);
  ::sigaction(SIGTERM, &old_terminate_, nullptr);
}

int signals_received() { return received.load(); }
void exit_at_signal(int count) { exit_at = count; }
const std::atomic<bool>& stop_flag() { return stop; }
void clear_signals() {
  received = 0;
  stop = false;
}

}  // namespace accelerate
