// What a failing Program does to those it serves, through the whole engine: null's scripted faults under a real tokenizer,
// scheduler and stream.

#include <thread>

#include <gmock/gmock.h>

#include "accelerate/backends/null/null.h"
#include "accelerate/engine/engine.h"
#include "tests/conformance/harness.h"

namespace accelerate::conformance {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

constexpr uint64_t kCanarySteps = 1;  // opening asks for one token

class Faults : public ::testing::Test {
 protected:
  std::shared_ptr<Endpoint> open(NullScript script, Fallback fallback = Fallback::kAllow) {
    set_null_script(std::move(script));
    engine_ = std::move(*Engine::create({.backends = {{"null", &make_null_backend}}}));
    auto endpoint = engine_->open(fixture_path("llama_f32.gguf").string(), {.hardware = "null", .fallback = fallback}, no_progress());
    EXPECT_TRUE(endpoint) << (endpoint ? "" : to_string(endpoint.error()));
    return endpoint ? *endpoint : nullptr;
  }
  static Request ask(uint32_t most) {
    return {.text = "Hello", .tokens = {}, .sampling = {.temperature = 0, .logit_bias = {}}, .max_tokens = most, .stop = {}};
  }
  struct Heard {
    std::vector<uint32_t> tokens;
    Result<Reply> result = Reply{};
  };
  static Heard hear(Stream& stream) {
    Heard heard;
    while (!stream.done()) {
      if (const auto part = stream.next(10s)) heard.tokens.insert(heard.tokens.end(), part->tokens.begin(), part->tokens.end());
    }
    heard.result = stream.result();
    return heard;
  }
  std::unique_ptr<Engine> engine_;
};

TEST_F(Faults, WithoutOneTheScriptIsSaidAndTheTargetNamed) {
  const auto endpoint = open({.tokens = {50, 51, 52}, .end_token = 2});
  const Heard heard = hear(**endpoint->generate(ask(10)));
  ASSERT_TRUE(heard.result) << to_string(heard.result.error());
  EXPECT_EQ(heard.tokens, (std::vector<uint32_t>{50, 51, 52}));
  EXPECT_EQ(heard.result->served_by, "null@null:0");
}

TEST_F(Faults, ADeadProgramIsStartedAgainAndItsAnswerGoesOn) {
  // Every start of this one dies at its third step: ten tokens take five of them, and each says what its script begins with.
  const auto endpoint = open({.tokens = {50, 51, 52, 53}, .fault = NullFault::kCallError, .fault_step = kCanarySteps + 2});
  const Heard heard = hear(**endpoint->generate(ask(10)));
  ASSERT_TRUE(heard.result) << to_string(heard.result.error());
  EXPECT_EQ(heard.tokens, (std::vector<uint32_t>{50, 51, 50, 51, 50, 51, 50, 51, 50, 51})) << "what came before a fault stays said";
  EXPECT_THAT(heard.result->notes, ::testing::Contains(HasSubstr("null@null:0")));
  EXPECT_EQ(endpoint->stats().failed, 0u);
}

TEST_F(Faults, ADeadProgramEndsItsStreamsWithItsErrorWhereFallbackIsForbidden) {
  const auto endpoint = open({.tokens = {50, 51, 52, 53}, .fault = NullFault::kCallError, .fault_step = kCanarySteps + 2}, Fallback::kForbid);
  const Heard heard = hear(**endpoint->generate(ask(10)));
  EXPECT_EQ(heard.tokens, (std::vector<uint32_t>{50, 51})) << "what came before the fault stays said";
  ASSERT_FALSE(heard.result);
  EXPECT_THAT(heard.result.error().message, HasSubstr("null@null:0"));
  EXPECT_EQ(endpoint->stats().failed, 1u);
}

TEST_F(Faults, ABrokenSlotIsComputedAgain) {
  for (const NullFault fault : {NullFault::kSlotError, NullFault::kNan}) {
    const auto endpoint = open({.tokens = {50, 51, 52}, .fault = fault, .fault_step = kCanarySteps + 1});
    const Heard broken = hear(**endpoint->generate(ask(10)));
    ASSERT_TRUE(broken.result) << to_string(broken.result.error());
    EXPECT_THAT(broken.result->notes, ::testing::Contains(HasSubstr("null@null:0 began again after token 1: [null]")));
    EXPECT_EQ(endpoint->stats().answers_moved, 1u);
    const Heard next = hear(**endpoint->generate(ask(10)));
    ASSERT_TRUE(next.result) << to_string(next.result.error());
    EXPECT_EQ(next.tokens.size(), 3u);
    EXPECT_TRUE(endpoint->check_health());
  }
}

TEST_F(Faults, AHangEndsWhenTheModelIsClosed) {
  const auto endpoint = open({.tokens = {50, 51, 52}, .fault = NullFault::kHang, .fault_step = kCanarySteps + 1});
  const auto stream = *endpoint->generate(ask(10));
  while (!stream->next(10ms)) {}
  std::this_thread::sleep_for(30ms);
  EXPECT_FALSE(stream->done());
  const auto begin = std::chrono::steady_clock::now();
  endpoint->close();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
  ASSERT_TRUE(stream->done());
  EXPECT_EQ(stream->result().error().code, ErrorCode::kCancelled);
}

TEST_F(Faults, ABrokenProgramIsNotServedAtAll) {
  set_null_script({.fault = NullFault::kNan, .fault_step = 0});
  engine_ = std::move(*Engine::create({.backends = {{"null", &make_null_backend}}}));
  const auto endpoint = engine_->open(fixture_path("llama_f32.gguf").string(), {.hardware = "null"}, no_progress());
  ASSERT_FALSE(endpoint) << "the canary died";
  EXPECT_THAT(endpoint.error().message, HasSubstr("NaN"));
  EXPECT_TRUE(engine_->endpoints().empty());
}

}  // namespace
}  // namespace accelerate::conformance
