#include "accelerate/cli/signals.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace accelerate {
namespace {

TEST(Signals, TheFirstIsCountedAndCanBeForgotten) {
  const SignalScope scope;
  EXPECT_EQ(signals_received(), 0);
  std::raise(SIGINT);
  EXPECT_EQ(signals_received(), 1);
  EXPECT_TRUE(stop_flag());
  clear_signals();
  EXPECT_EQ(signals_received(), 0);
  EXPECT_FALSE(stop_flag());
  std::raise(SIGTERM);
  EXPECT_EQ(signals_received(), 1);
}

TEST(Signals, TheSecondEndsTheProcessAtOnce) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const SignalScope scope;
    std::raise(SIGTERM);
    std::raise(SIGINT);
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 130);
}

TEST(Signals, AVerbMayWantMoreOfThem) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const SignalScope scope;
    exit_at_signal(3);
    std::raise(SIGTERM);
    std::raise(SIGTERM);
    if (signals_received() != 2) ::_exit(1);
    std::raise(SIGTERM);
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 130);
}

TEST(Signals, OldHandlersComeBack) {
  struct sigaction before = {}, after = {};
  ::sigaction(SIGINT, nullptr, &before);
  { const SignalScope scope; }
  ::sigaction(SIGINT, nullptr, &after);
  EXPECT_EQ(before.sa_handler, after.sa_handler);
}

}  // namespace
}  // namespace accelerate
