#include "accelerate/engine/plan_candidates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/fake_backend.h"
#include "tests/engine/fixture_model.h"
#include "tests/engine/mortal_decoder.h"
#include "tests/engine/scratch.h"

namespace accelerate {

std::unique_ptr<Backend> make_cpu_backend(BackendContext& context);

namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;


Result<FirstStart> start(std::vector<Candidate> candidates, const FirstStartOptions& options = {.name = "model"}) {
  return start_first(candidates, options, no_progress());
}
Candidate failing(const std::string& target, ErrorCode code, const std::string& why) {
  return {.target = target, .start = [=](const StartRequest&) -> Result<std::unique_ptr<Program>> { return Error{code, why}; }, .speed = {}};
}

TEST(PlanCandidates, AreTheYesLinesInTheirOrderWithWhatWasMeasured) {
  FakeBackend backend;
  Plan plan;
  plan.entries.push_back({.hardware = "cpu", .target = {"fake", {.kind = "cpu"}}, .backend = &backend, .yes = true, .reason = {}, .memory = {}});
  plan.entries[0].measured = PlanFigures{.ttft_ms = 500, .tpot_ms = 20};
  plan.entries.push_back({.hardware = "cpu", .target = {"fake", {.kind = "cpu", .index = 1}}, .backend = &backend, .yes = true, .reason = {}, .memory = {}});
  plan.entries.push_back({.hardware = "cuda", .target = {}, .backend = nullptr, .yes = false, .reason = "absent", .memory = {}});
  uint64_t seen_memory = 0;
  uint32_t seen_slots = 0;
  backend.make = [&](const CompileOptions& options, Progress&) {
    seen_memory = options.memory_bytes, seen_slots = options.slots;
    return Result<std::unique_ptr<Program>>(std::make_unique<CountingDecoder>());
  };
  std::mutex turn;
  uint64_t took = 99;
  const auto candidates = plan_candidates(plan, {.model = fixture_model("llama_f32.gguf"), .name = "model", .compile = {.slots = 7}, .prove = false, .threads = 1,
                                                 .prompt_tokens = 512, .probed = std::make_shared<const std::vector<ProbedBackend>>(), .records = {},
                                                 .memory = {.turn = &turn, .left = [](uint64_t own) { return 1000 - own; }, .took = [&](uint64_t own) { took = own; }}});
  ASSERT_EQ(candidates.size(), 2u);
  EXPECT_EQ(candidates[0].target, "fake@cpu:0");
  EXPECT_EQ(candidates[1].target, "fake@cpu:1");
  EXPECT_NEAR(candidates[0].speed.prompt_tokens_per_s(), 1024, 1e-9);
  EXPECT_NEAR(candidates[0].speed.step_s(), 0.02, 1e-12);
  EXPECT_EQ(candidates[1].speed.step_s(), 0) << "unknown stays unknown";
  ASSERT_TRUE(candidates[0].start({.progress = no_progress(), .memory_taken = 300}));
  EXPECT_EQ(seen_memory, 700u);
  EXPECT_EQ(seen_slots, 7u);
  EXPECT_EQ(took, 300u);
  ASSERT_TRUE(candidates[0].start({.progress = no_progress(), .slots = 2}));
  EXPECT_EQ(seen_slots, 2u);
}

// Real numbers: the cpu backend in its fast arithmetic is compared with its exact one.
TEST(PlanCandidates, TheQualityAskedForIsSeenAtTheStart) {
  const TemporaryFolder home;
  const ScopedEnvironment cache("XDG_CACHE_HOME", home.path().string());
  static BackendContext context{.threads = 1};
  const std::unique_ptr<Backend> cpu = make_cpu_backend(context);
  const auto probed = std::make_shared<const std::vector<ProbedBackend>>(1, ProbedBackend{cpu.get(), cpu->probe(std::chrono::steady_clock::now() + std::chrono::seconds(20))});
  const std::shared_ptr<Model> model = fixture_model("llama_f32.gguf");
  const auto plan = make_plan({.model = *model, .hardware = "cpu", .compile = {}, .backends = *probed});
  ASSERT_TRUE(plan);
  const auto started = [&](std::optional<double> kl_max) {
    return start(plan_candidates(*plan, {.model = model, .name = "model", .compile = {}, .threads = 1, .kl_max = kl_max, .probed = probed, .records = {}, .memory = {}}));
  };
  EXPECT_TRUE(started({}));
  EXPECT_TRUE(started(0.1));
  const auto refused = started(1e-12);  // KV is f16
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kFailedPrecondition);
  EXPECT_THAT(refused.error().message, HasSubstr("at most 1e-12; got "));
}

TEST(PlanCandidates, TheFirstThatWorksIsStartedAndTheRestStandBy) {
  auto good = std::make_shared<Fate>(), spare = std::make_shared<Fate>();
  const auto first = start({failing("a", ErrorCode::kFailedPrecondition, "[gate] wrong numbers"), mortal_candidate("b", good), mortal_candidate("c", spare)});
  ASSERT_TRUE(first) << to_string(first.error());
  ASSERT_EQ(first->running.size(), 1u);
  EXPECT_EQ(first->running[0].target, "b");
  EXPECT_THAT(first->notes, ElementsAre("a did not start: [gate] wrong numbers"));
  EXPECT_EQ(spare->starts, 0);
}

TEST(PlanCandidates, OneThatDiesOfItsFirstTokenIsNoStart) {
  auto broken = std::make_shared<Fate>(), good = std::make_shared<Fate>();
  broken->dies_at = 0;
  broken->every_program = true;
  const auto first = start({mortal_candidate("a", broken), mortal_candidate("b", good)});
  ASSERT_TRUE(first);
  EXPECT_EQ(first->running[0].target, "b");
  EXPECT_EQ(broken->living, 0) << "and is gone";
}

TEST(PlanCandidates, TogetherStartsAllThatWork) {
  auto one = std::make_shared<Fate>(), two = std::make_shared<Fate>();
  const std::vector<Candidate> candidates = {mortal_candidate("a", one), failing("b", ErrorCode::kInternal, "[b] broken"), mortal_candidate("c", two)};
  const auto first = start(candidates, {.name = "model", .together = true});
  ASSERT_TRUE(first);
  ASSERT_EQ(first->running.size(), 2u);
  EXPECT_EQ(first->running[1].target, "c");
  EXPECT_THAT(first->notes, ElementsAre(HasSubstr("b did not start")));
  EXPECT_THAT(start(candidates, {.name = "model", .fallback = Fallback::kForbid, .together = true}).error().message, HasSubstr("a failure of b: [b] broken"));
}

TEST(PlanCandidates, WithoutAnyTheErrorHasEachCause) {
  const auto none = start({failing("a", ErrorCode::kInternal, "[a] x"), failing("b", ErrorCode::kInternal, "[b] y")});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::kInternal) << "they agree";
  EXPECT_THAT(none.error().message, HasSubstr("no target started 'model'; got a: [a] x; b: [b] y"));
  EXPECT_EQ(start({failing("a", ErrorCode::kInternal, "[a] x"), failing("b", ErrorCode::kUnimplemented, "[b] y")}).error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(start({failing("a", ErrorCode::kInternal, "[a] x")}).error().message, "[a] x") << "alone it speaks for itself";
  EXPECT_FALSE(start({}));
}

TEST(PlanCandidates, AStopIsNoFailureToFallBackFrom) {
  auto spare = std::make_shared<Fate>();
  EXPECT_EQ(start({failing("a", ErrorCode::kCancelled, "stopped"), mortal_candidate("b", spare)}).error().code, ErrorCode::kCancelled);
  EXPECT_EQ(spare->starts, 0);
}

}  // namespace
}  // namespace accelerate
