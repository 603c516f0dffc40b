#include "accelerate/engine/text_endpoint.h"

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "accelerate/engine/relay_model.h"

namespace accelerate {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

// A program that does what a test tells it to.
class ScriptedText final : public TextProgram {
 public:
  using Script = std::function<Result<void>(const Request&, Stream&, const StepControl&)>;
  explicit ScriptedText(Script script, bool alive = true) : script_(std::move(script)), alive_(alive) {}
  uint64_t memory_bytes() const override { return 0; }
  bool alive() const override { return alive_; }
  TextTraits traits() const override { return {}; }
  Result<void> generate(const Request& request, Stream& stream, const StepControl& control) override { return script_(request, stream, control); }

 private:
  Script script_;
  bool alive_;
};

std::shared_ptr<Endpoint> endpoint_of(ScriptedText::Script script, bool alive = true) {
  EndpointInfo info;
  info.name = "far";
  info.target = "relay@up";
  return make_text_endpoint({.program = std::make_unique<ScriptedText>(std::move(script), alive), .info = std::move(info)});
}

Result<void> until_stopped(const Request&, Stream& stream, const StepControl& control) {
  while (!control.should_stop()) std::this_thread::sleep_for(1ms);
  stream.finish(Reply{.finish_reason = FinishReason::kCancelled});
  return {};
}

TEST(TextEndpoint, StreamsAndCounts) {
  const auto endpoint = endpoint_of([](const Request& request, Stream& stream, const StepControl&) -> Result<void> {
    stream.push({.text = *request.text, .tokens = {}});
    Reply reply;
    reply.usage = {.prompt_tokens = 3, .completion_tokens = 2};
    reply.ttft_ms = 5;
    reply.decode_ms = 7;
    stream.finish(reply);
    return {};
  });
  EXPECT_EQ(endpoint->info().kind, ProgramKind::kText);
  EXPECT_TRUE(endpoint->info().chat);
  Request request;
  request.text = "hello";
  const auto stream = endpoint->generate(request);
  ASSERT_TRUE(stream.ok());
  EXPECT_EQ((*stream)->next(10s)->text, "hello");
  EXPECT_FALSE((*stream)->next(10s).has_value());
  ASSERT_TRUE((*stream)->result().ok());
  endpoint->close();
  const EndpointStats stats = endpoint->stats();
  EXPECT_EQ(stats.requests, 1u);
  EXPECT_EQ(stats.prompt_tokens, 3u);
  EXPECT_EQ(stats.completion_tokens, 2u);
  EXPECT_EQ(stats.finished.at("stop"), 1u);
  EXPECT_EQ(stats.running, 0u);
  EXPECT_EQ(stats.ttft_s.count(), 1u);
}

TEST(TextEndpoint, ACancelReachesTheProgram) {
  const auto endpoint = endpoint_of(until_stopped);
  const auto stream = endpoint->generate({});
  ASSERT_TRUE(stream.ok());
  EXPECT_FALSE((*stream)->next(30ms).has_value());
  EXPECT_EQ(endpoint->stats().running, 1u);
  (*stream)->cancel();
  EXPECT_FALSE((*stream)->next(10s).has_value());
  ASSERT_TRUE((*stream)->done());
  EXPECT_EQ((*stream)->result()->finish_reason, FinishReason::kCancelled);
  endpoint->close();
  EXPECT_EQ(endpoint->stats().cancelled, 1u);
}

TEST(TextEndpoint, ManyRunSideBySideUpToTheLimit) {
  const auto endpoint = endpoint_of(until_stopped);
  std::vector<std::shared_ptr<Stream>> streams;
  for (uint32_t i = 0; i < kTextRequestsMax; ++i) {
    auto stream = endpoint->generate({});
    ASSERT_TRUE(stream.ok()) << i << ": " << stream.error().message;
    streams.push_back(*stream);
  }
  EXPECT_EQ(endpoint->generate({}).error().code, ErrorCode::kResourceExhausted);
  EXPECT_EQ(endpoint->stats().rejected, 1u);
  endpoint->close();
  for (const auto& stream : streams) EXPECT_TRUE(stream->done());
  EXPECT_EQ(endpoint->generate({}).error().code, ErrorCode::kUnavailable);
}

TEST(TextEndpoint, FailuresEndTheStream) {
  const auto endpoint = endpoint_of([](const Request& request, Stream& stream, const StepControl&) -> Result<void> {
    const Error error{ErrorCode::kUnavailable, "gone"};
    if (request.text) stream.finish(error);
    return error;
  });
  Request finished;
  finished.text = "x";
  for (const Request& request : {Request{}, finished}) {
    const auto stream = endpoint->generate(request);
    ASSERT_TRUE(stream.ok());
    EXPECT_FALSE((*stream)->next(10s).has_value());
    EXPECT_EQ((*stream)->result().error().message, "gone");
  }
  endpoint->close();
  EXPECT_EQ(endpoint->stats().failed, 2u);
}

TEST(TextEndpoint, KeepsToWhatItCan) {
  const auto endpoint = endpoint_of(until_stopped);
  EXPECT_EQ(endpoint->embed({}).error().code, ErrorCode::kUnimplemented);
  EXPECT_EQ(endpoint->tokenize("x", {}).error().code, ErrorCode::kUnimplemented);
  EXPECT_EQ(endpoint->apply_template({}, {}).error().code, ErrorCode::kUnimplemented);
  EXPECT_THAT(endpoint->tokenize_chat({}, {}).error().message, HasSubstr("relay@up"));
  EXPECT_TRUE(endpoint->check_health().ok());
  EXPECT_EQ(endpoint_of(until_stopped, false)->check_health().error().code, ErrorCode::kUnavailable);
}

TEST(TextEndpoint, ARelayTakesABackendForIt) {
  const std::vector<RelayUpstream> upstreams = {{"up", "http://127.0.0.1:1/v1"}};
  const auto opened = open_relay_endpoint({.model = *make_relay_model("relay:up/m", upstreams), .name = "m", .path = "relay:up/m", .compile = {}, .backends = {}, .started = {}}, no_progress());
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code, ErrorCode::kUnavailable);
}

}  // namespace
}  // namespace accelerate
