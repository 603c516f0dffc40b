#include "accelerate/wire/program_server.h"

#include <gtest/gtest.h>

#include "accelerate/wire/worker_link.h"
#include "tests/engine/counting_decoder.h"
#include "tests/wire/thread_worker.h"

namespace accelerate {
namespace {

using namespace std::chrono_literals;

Result<Compiled> counting(const WireMessage&, Progress&) { return Compiled{std::make_unique<CountingDecoder>(), {}, {"made"}}; }

TEST(ProgramServer, NothingIsServedBeforeALoadAndOnlyOneProgram) {
  WorkerLink link(ThreadWorker::serving(counting));
  EXPECT_EQ(link.call(WireMessage("open")).error().code, ErrorCode::kFailedPrecondition);
  const auto loaded = link.call(WireMessage("load"));
  ASSERT_TRUE(loaded) << to_string(loaded.error());
  EXPECT_EQ(*loaded->number("vocabulary"), CountingDecoder::kVocabulary);
  EXPECT_EQ(*loaded->texts("report"), std::vector<std::string>{"made"});
  EXPECT_FALSE(loaded->has("artifact"));
  EXPECT_EQ(link.call(WireMessage("load")).error().code, ErrorCode::kFailedPrecondition);
  EXPECT_EQ(link.call(WireMessage("dance")).error().code, ErrorCode::kDataLoss) << "no slot given, before no such thing";
  WireMessage dance("dance");
  EXPECT_EQ(link.call(std::move(dance.set("index", 1).set("generation", 1).set("tokens", 1))).error().code, ErrorCode::kUnimplemented);
  EXPECT_EQ(link.call(WireMessage("encode")).error().code, ErrorCode::kDataLoss);
  EXPECT_TRUE(link.alive()) << "bad requests are errors, no deaths";
}

TEST(ProgramServer, ALoadThatFailsOrThrowsSaysWhy) {
  WorkerLink failing(ThreadWorker::serving([](const WireMessage&, Progress&) -> Result<Compiled> { return Error{ErrorCode::kNotFound, "[x] none"}; }));
  EXPECT_EQ(failing.call(WireMessage("load")).error().message, "[x] none");
  WorkerLink throwing(ThreadWorker::serving([](const WireMessage&, Progress&) -> Result<Compiled> { throw std::bad_alloc(); }));
  EXPECT_EQ(throwing.call(WireMessage("load")).error().code, ErrorCode::kResourceExhausted);
}

TEST(ProgramServer, AStopDuringALoadIsSeenByItsProgress) {
  std::atomic<bool> stop{false};
  WorkerLink link(ThreadWorker::serving([&](const WireMessage&, Progress& progress) -> Result<Compiled> {
    stop = true;
    while (progress.update("tensors", 1, 10, "tensors")) std::this_thread::sleep_for(1ms);
    return Error{ErrorCode::kCancelled, "[x] stopped"};
  }));
  EXPECT_EQ(link.call(WireMessage("load"), {.control = {.deadline = {}, .stop = &stop}}).error().code, ErrorCode::kCancelled);
}

TEST(ProgramServer, HeartbeatsAreAnsweredWhileItComputes) {
  WorkerLink link(ThreadWorker::serving([](const WireMessage&, Progress&) -> Result<Compiled> {
    std::this_thread::sleep_for(600ms);
    return Compiled{std::make_unique<CountingDecoder>(), {}, {}};
  }), {.heartbeat = 50ms, .silence = 400ms, .stop = 400ms});
  EXPECT_TRUE(link.call(WireMessage("load")));
}

TEST(ProgramServer, EndsWhenTheOtherSideLeaves) {
  auto pair = make_socket_pair();
  ASSERT_TRUE(pair);
  SocketChannel theirs(pair->theirs);
  std::thread server([&] { serve_program(theirs, {.load = counting}); });
  pair->ours.reset();
  server.join();  // or the test hangs
}

}  // namespace
}  // namespace accelerate
