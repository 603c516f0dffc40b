#include "accelerate/wire/supervisor.h"

#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "accelerate/base/process.h"
#include "accelerate/wire/message.h"
#include "accelerate/wire/socket_channel.h"

namespace accelerate {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using ::testing::HasSubstr;
constexpr const char* kRole = "IPFS_ACCELERATE_TEST_WORKER";  // this binary, started by itself, is the worker

[[noreturn]] void be_worker(const std::string& role) {
  if (role == "mute") std::this_thread::sleep_for(60s);
  if (role == "dies") {
    std::fputs("first line\nlast words\n", stderr);
    std::_Exit(7);
  }
  SocketChannel channel(kInheritedFile);
  if (role == "other") {
    WireMessage hello("hello");
    (void)channel.send(hello.set("protocol", kWireProtocol + 1).encode(), Clock::now() + 5s);
    (void)channel.receive(Clock::now() + 5s);
    std::_Exit(0);
  }
  if (!shake_hands(channel, Clock::now() + 10s)) std::_Exit(1);
  while (auto bytes = channel.receive(Clock::now() + 60s)) {
    const auto message = WireMessage::decode(*std::move(bytes));
    if (message && message->type() == "crash") {
      std::fputs("about to crash\n", stderr);
      std::abort();
    }
    WireMessage pid("pid");
    (void)channel.send(pid.set("pid", static_cast<uint64_t>(::getpid())).encode(), Clock::now() + 5s);
  }
  std::_Exit(0);
}
const bool started_as_worker = [] {
  if (const char* role = std::getenv(kRole)) be_worker(role);
  return false;
}();

Result<std::unique_ptr<Worker>> start(const std::string& role, std::chrono::milliseconds time = 10s) {
  Supervisor supervisor;
  return supervisor.start({.name = "test", .argv = {"/proc/self/exe"}, .environment = {std::string(kRole) + "=" + role}}, Clock::now() + time);
}

bool is_there(uint64_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string number, name, state;
  return (file >> number >> name >> state) && state != "Z";
}

uint64_t pid_of(Worker& worker) {
  EXPECT_TRUE(worker.channel().send(WireMessage("who").encode(), Clock::now() + 5s));
  auto bytes = worker.channel().receive(Clock::now() + 5s);
  EXPECT_TRUE(bytes);
  return *WireMessage::decode(*std::move(bytes))->number("pid");
}

TEST(Supervisor, AWorkerShakesHandsAnswersAndIsGoneWithItsOwner) {
  ASSERT_FALSE(started_as_worker);
  uint64_t pid = 0;
  {
    auto worker = start("answers");
    ASSERT_TRUE(worker) << to_string(worker.error());
    pid = pid_of(**worker);
    EXPECT_NE(pid, static_cast<uint64_t>(::getpid()));
    EXPECT_TRUE((*worker)->alive());
    EXPECT_EQ((*worker)->name(), "test");
  }
  EXPECT_FALSE(is_there(pid));
}

TEST(Supervisor, ACrashIsToldWithItsLastWords) {
  auto worker = start("answers");
  ASSERT_TRUE(worker) << to_string(worker.error());
  ASSERT_TRUE((*worker)->channel().send(WireMessage("crash").encode(), Clock::now() + 5s));
  EXPECT_EQ((*worker)->channel().receive(Clock::now() + 10s).error().code, ErrorCode::kUnavailable);
  EXPECT_THAT((*worker)->end(), HasSubstr("was killed by signal 6"));
  for (int i = 0; i < 200 && (*worker)->end().find("about to crash") == std::string::npos; ++i) std::this_thread::sleep_for(10ms);
  EXPECT_THAT((*worker)->end(), HasSubstr("it said: about to crash"));
  EXPECT_FALSE((*worker)->alive());
}

TEST(Supervisor, AStoppedWorkerIsKilled) {
  auto worker = start("answers");
  ASSERT_TRUE(worker) << to_string(worker.error());
  const uint64_t pid = pid_of(**worker);
  ::kill(static_cast<pid_t>(pid), SIGSTOP);
  (*worker)->kill();
  EXPECT_FALSE((*worker)->alive());
  EXPECT_FALSE(is_there(pid));
}

TEST(Supervisor, WhatDoesNotComeUpIsRefusedWithTheReason) {
  const auto dies = start("dies");
  ASSERT_FALSE(dies);
  EXPECT_EQ(dies.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(dies.error().message, HasSubstr("it exited with 7"));
  const auto mute = start("mute", 200ms);
  ASSERT_FALSE(mute);
  EXPECT_THAT(mute.error().message, HasSubstr("in time"));
  const auto other = start("other");
  ASSERT_FALSE(other);
  EXPECT_THAT(other.error().message, HasSubstr("one protocol; got 2, ours is 1"));
  Supervisor supervisor;
  EXPECT_EQ(supervisor.start({.name = "none", .argv = {"no-such-program-here"}, .environment = {}}, Clock::now() + 1s).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(supervisor.take_connected("browser"), nullptr);
}

}  // namespace
}  // namespace accelerate
