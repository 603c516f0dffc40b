#include "accelerate/serve/follow.h"

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace accelerate {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

// A client that can be told to leave.
class FakeWriter final : public ResponseWriter {
 public:
  bool send(int, const HttpHeaders&, std::string_view) override { return true; }
  bool begin_stream(int, const HttpHeaders&) override { return true; }
  bool write(std::string_view) override { return !gone; }
  bool client_gone() override { return gone; }
  std::atomic<bool> gone{false};
};

std::vector<std::shared_ptr<Stream>> streams_of(size_t count) {
  std::vector<std::shared_ptr<Stream>> out;
  for (size_t i = 0; i < count; ++i) out.push_back(std::make_shared<Stream>());
  return out;
}

TEST(Follow, CarriesPartsThenTheEnd) {
  const auto streams = streams_of(1);
  std::thread producer([&] {
    for (const char* word : {"a", "b", "c"}) {
      std::this_thread::sleep_for(2ms);
      streams[0]->push({word, {}});
    }
    streams[0]->finish(Reply{});
  });
  FakeWriter writer;
  std::vector<std::string> seen;
  const Followed end = follow(
      streams, writer,
      [&](size_t, const Part& part) {
        seen.push_back(part.text);
        return true;
      },
      [&](size_t, const Result<Reply>& result) {
        seen.push_back(result.ok() ? "end" : "error");
        return true;
      });
  producer.join();
  EXPECT_EQ(end, Followed::kDone);
  EXPECT_THAT(seen, ElementsAre("a", "b", "c", "end"));
}

TEST(Follow, TakesSeveralStreamsInTurn) {
  const auto streams = streams_of(3);
  std::atomic<int> carried{0};
  std::thread producer([&] {  // the first one is silent until the others are through: it must not hold them up
    for (int i = 0; i < 20; ++i) {
      streams[1]->push({"b", {}});
      streams[2]->push({"c", {}});
    }
    streams[2]->finish(Reply{});
    streams[1]->finish(Reply{});
    for (int i = 0; i < 10000 && carried < 40; ++i) std::this_thread::sleep_for(1ms);
    streams[0]->push({"a", {}});
    streams[0]->finish(Reply{});
  });
  FakeWriter writer;
  std::string order;
  std::vector<size_t> ends;
  EXPECT_EQ(follow(
                streams, writer,
                [&](size_t, const Part& part) {
                  order += part.text;
                  ++carried;
                  return true;
                },
                [&](size_t index, const Result<Reply>&) {
                  ends.push_back(index);
                  return true;
                }),
            Followed::kDone);
  producer.join();
  EXPECT_EQ(order.size(), 41u);
  EXPECT_EQ(order.back(), 'a');
  EXPECT_NE(order.substr(0, 30).find("bc"), std::string::npos) << "interleaved: " << order;
  EXPECT_EQ(ends.back(), 0u);
}

TEST(Follow, AClientThatLeavesCancelsEveryStream) {
  const auto streams = streams_of(2);
  FakeWriter writer;
  std::thread client([&] {
    std::this_thread::sleep_for(30ms);
    writer.gone = true;
  });
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(follow(streams, writer, [](size_t, const Part&) { return true; }, [](size_t, const Result<Reply>&) { return true; }),
            Followed::kClientGone);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 5s);
  client.join();
  EXPECT_TRUE(streams[0]->cancelled());
  EXPECT_TRUE(streams[1]->cancelled());
}

TEST(Follow, ACallbackCanStopIt) {
  const auto streams = streams_of(2);
  streams[0]->push({"x", {}});
  FakeWriter writer;
  EXPECT_EQ(follow(streams, writer, [](size_t, const Part&) { return false; }, [](size_t, const Result<Reply>&) { return true; }),
            Followed::kStopped);
  EXPECT_TRUE(streams[1]->cancelled());
}

TEST(Follow, AFailureIsHandedOn) {
  const auto streams = streams_of(2);
  streams[1]->finish(Error{ErrorCode::kInternal, "broken"});
  FakeWriter writer;
  std::string message;
  EXPECT_EQ(follow(
                streams, writer, [](size_t, const Part&) { return true; },
                [&](size_t index, const Result<Reply>& result) {
                  EXPECT_EQ(index, 1u);
                  message = result.error().message;
                  return false;
                }),
            Followed::kStopped);
  EXPECT_EQ(message, "broken");
  EXPECT_TRUE(streams[0]->cancelled()) << "one choice of a request failed, so the request did";
}

}  // namespace
}  // namespace accelerate
