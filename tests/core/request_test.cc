#include "accelerate/core/request.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>

namespace accelerate {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

Reply reply_of(uint32_t tokens) { return {.usage = {.completion_tokens = tokens}}; }

TEST(Stream, PartsComeInOrderAndThenTheReply) {
  Stream stream;
  EXPECT_FALSE(stream.done());
  EXPECT_EQ(stream.result().error().code, ErrorCode::kFailedPrecondition);
  EXPECT_TRUE(stream.push({.text = "a", .tokens = {1}}));
  EXPECT_TRUE(stream.push({.text = "b", .tokens = {2, 3}}));
  stream.finish(reply_of(3));
  EXPECT_FALSE(stream.done()) << "parts are left";
  EXPECT_EQ(stream.next()->text, "a");
  EXPECT_EQ(stream.next()->tokens, (std::vector<uint32_t>{2, 3}));
  EXPECT_TRUE(stream.done());
  EXPECT_FALSE(stream.next().has_value());
  EXPECT_EQ(stream.result()->usage.completion_tokens, 3u);
}

TEST(Stream, AFailureArrivesBehindThePartsBeforeIt) {
  Stream stream;
  stream.push({.text = "partial"});
  stream.finish(Error{ErrorCode::kResourceExhausted, "[test] no room"});
  EXPECT_EQ(stream.next()->text, "partial");
  EXPECT_FALSE(stream.next().has_value());
  EXPECT_EQ(stream.result().error().code, ErrorCode::kResourceExhausted);
}

TEST(Stream, WaitingEndsAtTheTimeoutAndNotBefore) {
  Stream stream;
  const auto start = Clock::now();
  EXPECT_FALSE(stream.next(50ms).has_value());
  EXPECT_GE(Clock::now() - start, 50ms);
  EXPECT_FALSE(stream.done());
  EXPECT_FALSE(stream.next(0ms).has_value());
}

TEST(Stream, AWaitingConsumerWakesForAPartAndForTheEnd) {
  for (const bool with_part : {true, false}) {
    Stream stream;
    std::thread producer([&] {
      std::this_thread::sleep_for(20ms);
      if (with_part) stream.push({.text = "x"});
      else stream.finish(reply_of(0));
    });
    EXPECT_EQ(stream.next(30s).has_value(), with_part);
    producer.join();
  }
}

TEST(Stream, ProducerAndConsumerOnTwoThreadsLoseNothing) {
  constexpr uint32_t kParts = 100'000;
  Stream stream;
  std::thread producer([&] {
    for (uint32_t i = 0; i < kParts; ++i) stream.push({.text = std::to_string(i), .tokens = {i}});
    stream.finish(reply_of(kParts));
  });
  uint32_t expected = 0, wrong = 0;
  while (const std::optional<Part> part = stream.next(30s)) {
    wrong += part->tokens != std::vector<uint32_t>{expected} || part->text != std::to_string(expected);
    ++expected;
  }
  producer.join();
  EXPECT_EQ(expected, kParts);
  EXPECT_EQ(wrong, 0u);
  EXPECT_TRUE(stream.done());
}

TEST(Stream, CancellingStopsTheProducer) {
  auto stream = std::make_shared<Stream>();
  std::thread producer([stream] {
    uint32_t pushed = 0;
    while (stream->push({.tokens = {pushed}})) { ++pushed; std::this_thread::yield(); }
    stream->finish(Reply{.finish_reason = FinishReason::kCancelled, .usage = {.completion_tokens = pushed}});
  });
  EXPECT_TRUE(stream->next(30s).has_value());
  stream->cancel();
  EXPECT_TRUE(stream->cancelled());
  EXPECT_FALSE(stream->push({.text = "late"}));
  producer.join();
  while (stream->next(30s)) {}  // what was pushed before stays readable
  EXPECT_TRUE(stream->done());
  EXPECT_EQ(stream->result()->finish_reason, FinishReason::kCancelled);
}

TEST(StreamDeathTest, AStreamFinishesOnce) {
  Stream stream;
  stream.finish(reply_of(0));
  EXPECT_DEATH(stream.finish(reply_of(0)), "finishes once");
  EXPECT_DEATH(stream.push({}), "takes no more parts");
}

TEST(FinishReason, HasTheNamesOfTheApi) {
  EXPECT_EQ(finish_reason_name(FinishReason::kStop), "stop");
  EXPECT_EQ(finish_reason_name(FinishReason::kLength), "length");
  EXPECT_EQ(finish_reason_name(FinishReason::kCancelled), "cancelled");
}

}  // namespace
}  // namespace accelerate
