#include "accelerate/wire/worker_link.h"

#include <atomic>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/wire/thread_worker.h"

namespace accelerate {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using ::testing::HasSubstr;
constexpr LinkLimits kShort{.heartbeat = 30ms, .silence = 200ms, .stop = 200ms};

Result<WireMessage> next(Channel& channel) {
  ACC_TRY(auto bytes, channel.receive(Clock::now() + 10s));
  return WireMessage::decode(std::move(bytes));
}
void say(Channel& channel, WireMessage message, const WireMessage& request) {
  message.set("id", *request.number("id"));
  (void)channel.send(message.encode(), Clock::now() + 10s);
}

TEST(WorkerLink, NewsComeBeforeTheAnswer) {
  WorkerLink link(std::make_unique<ThreadWorker>([](Channel& channel) {
    while (auto request = next(channel)) {
      for (const char* what : {"a", "b"}) {
        WireMessage news("news");
        say(channel, std::move(news.set_text("what", what).set_flag("more", true).set_flag("acknowledge", true)), *request);
        if (auto acknowledged = next(channel); !acknowledged || acknowledged->type() != "acknowledged") return;
      }
      say(channel, WireMessage("done"), *request);
    }
  }));
  for (int i = 0; i < 2; ++i) {
    std::string news;
    const auto answer = link.call(WireMessage("do"), {.on_message = [&](WireMessage& message) -> Result<void> {
                                    ACC_TRY(const std::string what, message.text("what"));
                                    news += what;
                                    return {};
                                  }});
    ASSERT_TRUE(answer) << to_string(answer.error());
    EXPECT_EQ(answer->type(), "done");
    EXPECT_EQ(news, "ab");
  }
  EXPECT_TRUE(link.alive());
}

TEST(WorkerLink, AnErrorOfTheWorkerLeavesItAlive) {
  WorkerLink link(std::make_unique<ThreadWorker>([](Channel& channel) {
    while (auto request = next(channel)) say(channel, to_message({ErrorCode::kOutOfRange, "[x] no"}), *request);
  }));
  EXPECT_EQ(link.call(WireMessage("do")).error().code, ErrorCode::kOutOfRange);
  EXPECT_TRUE(link.alive());
}

TEST(WorkerLink, ADeathIsNamedAndStays) {
  WorkerLink link(std::make_unique<ThreadWorker>([](Channel& channel) { (void)next(channel); }));
  const auto answer = link.call(WireMessage("do"));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(answer.error().message, HasSubstr("worker 'thread' was killed by a test"));
  EXPECT_FALSE(link.alive());
  EXPECT_EQ(link.call(WireMessage("do")).error().message, answer.error().message);
}

TEST(WorkerLink, ASilentWorkerIsAskedThenKilled) {
  std::atomic<int> pings{0};
  WorkerLink link(std::make_unique<ThreadWorker>([&](Channel& channel) {
    while (auto message = next(channel)) pings += message->type() == "ping";
  }), kShort);
  const auto answer = link.call(WireMessage("do"));
  EXPECT_EQ(answer.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(answer.error().message, HasSubstr("no heartbeat within 200 ms"));
  EXPECT_GE(pings.load(), 1);
  EXPECT_FALSE(link.alive());
}

TEST(WorkerLink, AHeartbeatKeepsALongCallGoingUpToItsLimit) {
  const auto body = [](Channel& channel) {
    auto request = next(channel);
    for (int i = 0; i < 10 && request; ++i) {
      if (auto ping = next(channel); !ping || ping->type() != "ping") return;
      (void)channel.send(WireMessage("pong").encode(), Clock::now() + 1s);
    }
    say(channel, WireMessage("done"), *request);
    (void)next(channel);
  };
  WorkerLink patient(std::make_unique<ThreadWorker>(body), kShort);
  EXPECT_TRUE(patient.call(WireMessage("do"))) << "ten heartbeats of 30 ms are more than the silence of 200 ms";
  WorkerLink limited(std::make_unique<ThreadWorker>(body), kShort);
  const auto late = limited.call(WireMessage("do"), {.control = {}, .limit = 100ms});
  ASSERT_FALSE(late);
  EXPECT_THAT(late.error().message, HasSubstr("hangs: no answer within 100 ms"));
}

TEST(WorkerLink, AStopIsPassedOnAndObeyed) {
  std::atomic<bool> stop{false};
  WorkerLink link(std::make_unique<ThreadWorker>([&](Channel& channel) {
    while (auto request = next(channel)) {
      stop = true;
      if (auto stopped = next(channel); !stopped || stopped->type() != "stop") return;
      say(channel, to_message({ErrorCode::kCancelled, "[x] stopped"}), *request);
    }
  }), kShort);
  EXPECT_EQ(link.call(WireMessage("do"), {.control = {.deadline = {}, .stop = &stop}}).error().code, ErrorCode::kCancelled);
  EXPECT_TRUE(link.alive());
}

TEST(WorkerLink, ADeadlineTravelsAndAWorkerThatIgnoresItIsKilled) {
  std::atomic<uint64_t> told{0};
  WorkerLink link(std::make_unique<ThreadWorker>([&](Channel& channel) {
    if (auto request = next(channel)) told = request->number("deadline_ms").ok() ? *request->number("deadline_ms") : 0;
    while (auto message = next(channel)) {
      if (message->type() == "ping") (void)channel.send(WireMessage("pong").encode(), Clock::now() + 1s);
    }
  }), kShort);
  const auto answer = link.call(WireMessage("do"), {.control = {.deadline = Clock::now() + 50ms}});
  ASSERT_FALSE(answer);
  EXPECT_THAT(answer.error().message, HasSubstr("did not stop within 200 ms"));
  EXPECT_GT(told.load(), 0u);
  EXPECT_LE(told.load(), 51u);
}

TEST(WorkerLink, GarbageAndAnswersToNobodyKill) {
  WorkerLink garbage(std::make_unique<ThreadWorker>([](Channel& channel) {
    (void)next(channel);
    (void)channel.send(std::vector<std::byte>(9, std::byte{0x7f}), Clock::now() + 1s);
    (void)next(channel);
  }));
  EXPECT_THAT(garbage.call(WireMessage("do")).error().message, HasSubstr("no protocol of ours"));
  WorkerLink wrong(std::make_unique<ThreadWorker>([](Channel& channel) {
    (void)next(channel);
    WireMessage other("done");
    (void)channel.send(other.set("id", 77).encode(), Clock::now() + 1s);
    (void)next(channel);
  }));
  EXPECT_THAT(wrong.call(WireMessage("do")).error().message, HasSubstr("what it was not asked"));
}

}  // namespace
}  // namespace accelerate
