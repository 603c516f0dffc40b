#include "accelerate/engine/encoder_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/counting_decoder.h"
#include "tests/engine/fake_encoder.h"

namespace accelerate {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using namespace std::chrono_literals;

class EncoderPoolTest : public ::testing::Test {
 protected:
  EncoderPoolTest() {
    limits_.breaker.backoff_first = limits_.breaker.backoff_max = 2ms;
    limits_.breaker.starts_max = 3;
  }
  Candidate candidate(const std::string& target) {
    return {.target = target, .start = [this, target](const StartRequest&) -> Result<std::unique_ptr<Program>> {
      ++starts_[target];
      if (start_error_) return *start_error_;
      return std::unique_ptr<Program>(std::make_unique<FakeEncoder>());
    }, .speed = {}};
  }
  EncoderPool pool(std::vector<Candidate> candidates, Fallback fallback = Fallback::kAllow) {
    return EncoderPool("bert", std::move(candidates), {.target = "a", .program = std::make_unique<FakeEncoder>(), .notes = {}}, fallback, limits_);
  }
  // Fails `failures_` times, then works.
  Result<EncoderPool::Ran> run(EncoderPool& pool) {
    return pool.run([this](EncoderProgram&) -> Result<void> {
      if (failures_ == 0) return {};
      --failures_;
      return error_;
    }, nullptr);
  }
  PoolLimits limits_;
  std::map<std::string, int> starts_;
  std::optional<Error> start_error_;
  int failures_ = 0;
  Error error_{ErrorCode::kUnavailable, "[test] killed"};
};

TEST_F(EncoderPoolTest, TheSameCallIsMadeOnTheNextTarget) {
  EncoderPool pool = this->pool({candidate("a"), candidate("b")});
  EXPECT_EQ(run(pool)->target, "a");
  failures_ = 1;
  const auto ran = run(pool);
  ASSERT_TRUE(ran) << to_string(ran.error());
  EXPECT_EQ(ran->target, "b");
  EXPECT_THAT(ran->notes, ElementsAre("moved to b: a failed: [test] killed"));
  EXPECT_EQ(pool.moved(), 1u);
  EXPECT_EQ(pool.targets()[0].cause, "[test] killed");
  EXPECT_EQ(pool.targets()[1].state, "running");
  EXPECT_EQ(run(pool)->target, "b") << "and stays";
}

TEST_F(EncoderPoolTest, AnErrorOfTheRequestMovesNothing) {
  EncoderPool pool = this->pool({candidate("a"), candidate("b")});
  failures_ = 1;
  error_ = {ErrorCode::kInvalidArgument, "[test] bad input"};
  EXPECT_EQ(run(pool).error().message, "[test] bad input");
  EXPECT_TRUE(starts_.empty());
}

TEST_F(EncoderPoolTest, AloneItKeepsItsPlaceUntilItFailsAgainAndAgain) {
  EncoderPool pool = this->pool({candidate("a")});
  failures_ = 3;
  EXPECT_FALSE(run(pool));
  EXPECT_FALSE(run(pool));
  EXPECT_TRUE(starts_.empty());
  EXPECT_TRUE(run(pool)) << "the third fault starts it again, for the same call";
  EXPECT_EQ(starts_["a"], 1);
}

TEST_F(EncoderPoolTest, ForbiddenFallbackNamesTheTarget) {
  EncoderPool pool = this->pool({candidate("a"), candidate("b")}, Fallback::kForbid);
  failures_ = 1;
  EXPECT_THAT(run(pool).error().message, HasSubstr("a failure of a: [test] killed"));
  EXPECT_TRUE(run(pool));
  EXPECT_EQ(starts_.count("b"), 0u);
}

TEST_F(EncoderPoolTest, WithNoTargetLeftTheErrorHasEachCause) {
  EncoderPool pool = this->pool({candidate("a"), candidate("b")});
  failures_ = 1;
  start_error_ = Error{ErrorCode::kUnavailable, "[test] no device"};
  const auto ran = run(pool);
  ASSERT_FALSE(ran);
  EXPECT_THAT(ran.error().message, HasSubstr("got a: [test] no device; b: [test] no device"));
  EXPECT_EQ(starts_["b"], 3);
  EXPECT_EQ(starts_["a"], 2);
}

TEST_F(EncoderPoolTest, AStopEndsTheWait) {
  limits_.breaker.backoff_first = limits_.breaker.backoff_max = 1h;
  EncoderPool pool = this->pool({candidate("a"), candidate("b")});
  failures_ = 1;
  start_error_ = Error{ErrorCode::kUnavailable, "[test] no device"};
  const std::atomic<bool> stop{true};
  EXPECT_EQ(pool.run([](EncoderProgram&) -> Result<void> { return Error{ErrorCode::kUnavailable, "x"}; }, &stop).error().code, ErrorCode::kCancelled);
}

TEST_F(EncoderPoolTest, AnotherKindOfProgramIsRefused) {
  Candidate wrong = candidate("b");
  wrong.start = [](const StartRequest&) { return Result<std::unique_ptr<Program>>(std::make_unique<CountingDecoder>()); };
  EncoderPool pool = this->pool({candidate("a"), wrong});
  failures_ = 1;
  EXPECT_EQ(run(pool)->target, "a") << "started again, as soon as its breaker allowed";
  EXPECT_THAT(pool.targets()[1].cause, HasSubstr("another kind of program"));
}

TEST_F(EncoderPoolTest, ASwitchHappensBetweenTwoCalls) {
  EncoderPool pool = this->pool({candidate("a"), candidate("b")});
  EXPECT_TRUE(pool.switch_to("a"));
  EXPECT_TRUE(starts_.empty()) << "it is there";
  EXPECT_EQ(pool.switch_to("c").error().code, ErrorCode::kNotFound);
  start_error_ = Error{ErrorCode::kUnavailable, "[test] no device"};
  EXPECT_THAT(pool.switch_to("b").error().message, HasSubstr("no device"));
  EXPECT_EQ(run(pool)->target, "a") << "all as it was";
  start_error_.reset();
  EXPECT_TRUE(pool.switch_to("b"));
  EXPECT_EQ(run(pool)->target, "b");
}

}  // namespace
}  // namespace accelerate
