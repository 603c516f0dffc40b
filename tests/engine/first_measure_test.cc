#include "accelerate/engine/first_measure.h"

#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "accelerate/engine/bench.h"
#include "tests/engine/fake_encoder.h"
#include "tests/engine/fake_engine.h"
#include "tests/engine/faulty_backends.h"
#include "tests/engine/scratch.h"

namespace accelerate {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using std::chrono::microseconds;
using std::chrono::milliseconds;

// Programs that are counted, from their start to their end.
struct Census {
  std::atomic<int> living{0}, most{0};
};
class CountedDecoder final : public PassThroughDecoder {
 public:
  CountedDecoder(Census& census, std::unique_ptr<CountingDecoder> inner, int64_t dies_at) : PassThroughDecoder(std::move(inner)), census_(census), dies_at_(dies_at) {
    census_.most = std::max(census_.most.load(), ++census_.living);
  }
  ~CountedDecoder() override { --census_.living; }
  Result<void> step(std::span<const SlotInput> inputs, std::span<SlotStatus> statuses, LogitsSink& sink, const StepControl& control) override {
    if (dies_at_ >= 0 && steps_++ >= dies_at_) return Error{ErrorCode::kInternal, "[test] died of work"};
    return inner_->step(inputs, statuses, sink, control);
  }

 private:
  Census& census_;
  const int64_t dies_at_;
  int64_t steps_ = 0;
};

// One backend with two devices of different speed; device 0 comes first where nothing is measured.
class FirstMeasureTest : public ::testing::Test {
 protected:
  static constexpr microseconds kFast{20}, kSlow{1000};  // of a step: far apart, as the machine that tests is busy
  struct Machine {
    microseconds step_time{0};
    std::optional<Error> start_error;
    int64_t dies_at = -1;
    int starts = 0;
  };
  FirstMeasureTest() {
    fake_.backend->verdicts[0].devices = {{.kind = "cpu", .index = 0}, {.kind = "cpu", .index = 1}};
    fake_.backend->make_on = [this](const Device& device, const CompileOptions&) -> Result<std::unique_ptr<Program>> {
      Machine& machine = machines_[device.index];
      ++machine.starts;
      if (machine.start_error) return *machine.start_error;
      auto program = std::make_unique<CountingDecoder>();
      program->vocabulary_value = 280;
      program->limits_value.context_max = 2048;
      program->step_time = machine.step_time;
      return std::unique_ptr<Program>(std::make_unique<CountedDecoder>(census_, std::move(program), machine.dies_at));
    };
  }
  static OpenOptions options(milliseconds budget = std::chrono::seconds(30)) {
    OpenOptions options;
    options.parity = ParityMode::kOff;
    options.measure_budget = budget;
    options.use = *use_case_named("completion");  // 64 tokens in, 64 out
    return options;
  }
  Result<std::shared_ptr<Endpoint>> open(const OpenOptions& options, Progress& progress = no_progress()) {
    return fake_.engine->open(fixture_path("llama_f32.gguf").string(), options, progress);
  }
  // Where it is served; closed again.
  std::string target(const OpenOptions& options) {
    const auto endpoint = open(options);
    EXPECT_TRUE(endpoint) << (endpoint ? "" : to_string(endpoint.error()));
    if (!endpoint) return {};
    notes_ = (*endpoint)->info().notes;
    EXPECT_TRUE(fake_.engine->close("llama_f32"));
    return (*endpoint)->info().target;
  }
  std::vector<Record> records() { return *fake_.engine->records()->find({.kind = "bench"}); }

  TemporaryFolder home_;
  ScopedEnvironment state_{"XDG_STATE_HOME", (home_ / "state").string()}, cache_{"XDG_CACHE_HOME", (home_ / "cache").string()};
  Census census_;
  Machine machines_[2];
  FakeEngine fake_;
  std::vector<std::string> notes_;
};

TEST_F(FirstMeasureTest, TheFasterServesThoughItsPriorityIsLowerAndIsNotStartedTwice) {
  machines_[0].step_time = kSlow, machines_[1].step_time = kFast;
  OpenOptions usual = options();
  usual.use.reset();
  const auto endpoint = open(usual);
  ASSERT_TRUE(endpoint) << to_string(endpoint.error());
  EXPECT_EQ((*endpoint)->info().target, "fake@cpu:1");
  EXPECT_THAT((*endpoint)->info().notes, IsEmpty());
  EXPECT_EQ(machines_[0].starts + machines_[1].starts, 2);
  EXPECT_EQ(census_.most, 1) << "never two programs at once";
  EXPECT_EQ((*endpoint)->stats().requests, 0u) << "measuring is nobody's request";
  EXPECT_EQ((*endpoint)->stats().targets[0].target, "fake@cpu:1");
  EXPECT_EQ((*endpoint)->stats().targets[1].target, "fake@cpu:0") << "the slower stands by";
  const auto measured = records();
  ASSERT_THAT(measured, SizeIs(2));
  EXPECT_EQ(measured[0].key.shape, "p512-g128-b1");
  EXPECT_EQ(measured[0].key.target, "fake@cpu:1");
  EXPECT_THAT(measured[0].samples.at("ttft_ms"), SizeIs(kFirstRounds));
  EXPECT_THAT(measured[0].samples.at("tpot_ms"), SizeIs(kFirstRounds));
  EXPECT_LT(median(measured[0].samples.at("tpot_ms")), median(measured[1].samples.at("tpot_ms")));
  Request request{.text = {}, .tokens = std::vector<uint32_t>{5, 6}, .max_tokens = 3};
  request.ignore_end = true;
  const auto stream = (*endpoint)->generate(request);
  ASSERT_TRUE(stream);
  while (!(*stream)->done()) (*stream)->next();
  EXPECT_EQ((*stream)->result()->usage.completion_tokens, 3u);
  EXPECT_EQ((*stream)->result()->usage.cached_tokens, 0u);
}

TEST_F(FirstMeasureTest, TheNextLoadMeasuresNothing) {
  machines_[0].step_time = kSlow, machines_[1].step_time = kFast;
  EXPECT_EQ(target(options()), "fake@cpu:1");
  EXPECT_EQ(target(options()), "fake@cpu:1");
  EXPECT_THAT(records(), SizeIs(2));
  EXPECT_EQ(machines_[0].starts, 1);
  EXPECT_EQ(machines_[1].starts, 2);
}

TEST_F(FirstMeasureTest, AWinnerThatIsNotTheLastIsStartedAgain) {
  machines_[0].step_time = kFast, machines_[1].step_time = kSlow;
  EXPECT_EQ(target(options()), "fake@cpu:0");
  EXPECT_EQ(machines_[0].starts, 2);
  EXPECT_EQ(machines_[1].starts, 1);
  EXPECT_EQ(census_.most, 1);
}

TEST_F(FirstMeasureTest, AnotherVersionMachineOrShapeIsMeasuredAnew) {
  machines_[0].step_time = kSlow, machines_[1].step_time = kFast;
  EXPECT_EQ(target(options()), "fake@cpu:1");
  OpenOptions chat = options();
  chat.use = *use_case_named("chat");
  EXPECT_EQ(target(chat), "fake@cpu:1");
  EXPECT_THAT(records(), SizeIs(4));
  machines_[0].step_time = kFast, machines_[1].step_time = kSlow;
  fake_.backend->verdicts[0].version = "2";
  fake_.backend->changed();
  EXPECT_EQ(target(options()), "fake@cpu:0") << "what version 1 did says nothing of version 2";
  EXPECT_THAT(records(), SizeIs(6));
}

TEST_F(FirstMeasureTest, RecordsOfAnotherMachineDoNotCount) {
  machines_[0].step_time = kSlow, machines_[1].step_time = kFast;
  EXPECT_EQ(target(options()), "fake@cpu:1");
  for (Record record : records()) {
    record.key.fingerprint = "another machine";
    ASSERT_TRUE(fake_.engine->records()->add(record));
  }
  const auto theirs = fake_.engine->records()->find({.fingerprint = "another machine"});
  EXPECT_EQ(target(options()), "fake@cpu:1");
  EXPECT_EQ(machines_[0].starts, 1) << "this machine's own are there";
  FakeEngine fresh;  // the same backend on a machine that only has theirs
  fresh.backend->verdicts = fake_.backend->verdicts;
  fresh.backend->make_on = fake_.backend->make_on;
  const ScopedEnvironment state("XDG_STATE_HOME", (home_ / "elsewhere").string());
  for (const Record& record : *theirs) ASSERT_TRUE(fresh.engine->records()->add(record));
  const auto endpoint = fresh.engine->open(fixture_path("llama_f32.gguf").string(), options(), no_progress());
  ASSERT_TRUE(endpoint) << to_string(endpoint.error());
  EXPECT_EQ(machines_[0].starts, 2) << "measured here";
  EXPECT_THAT(*fresh.engine->records()->find({.kind = "bench"}), SizeIs(4));
}

TEST_F(FirstMeasureTest, WithoutABudgetOrWithoutAChoiceNothingIsDone) {
  fake_.backend->verdicts[0].devices.resize(1);
  EXPECT_EQ(target(options()), "fake@cpu:0");
  EXPECT_EQ(machines_[0].starts, 1);
  EXPECT_FALSE(std::filesystem::exists(home_ / "cache") || std::filesystem::exists(home_ / "state")) << "neither the model's id nor records were asked for";
  fake_.backend->verdicts[0].devices.push_back({.kind = "cpu", .index = 1});
  fake_.backend->changed();
  EXPECT_EQ(target(options(milliseconds(0))), "fake@cpu:0");
  EXPECT_EQ(machines_[1].starts, 0);
  EXPECT_THAT(notes_, IsEmpty());
  EXPECT_THAT(records(), IsEmpty());
}

TEST_F(FirstMeasureTest, ABudgetThatIsTooSmallLeavesThePriorityAndSaysSo) {
  machines_[0].step_time = milliseconds(20);  // a round takes more than a second
  EXPECT_EQ(target(options(milliseconds(150))), "fake@cpu:0");
  EXPECT_THAT(notes_, ElementsAre("fake@cpu:0 was not measured at load within 0.15 s: a round does not fit what is left of the budget",
                                  "fake@cpu:1 was not measured at load within 0.15 s: the budget is over"));
  EXPECT_EQ(machines_[0].starts, 1) << "what was started serves";
  EXPECT_EQ(machines_[1].starts, 0);
  EXPECT_THAT(records(), IsEmpty());
}

TEST_F(FirstMeasureTest, WhatDoesNotStartIsPassedOver) {
  machines_[0].start_error = Error{ErrorCode::kUnavailable, "[fake] no device"};
  EXPECT_EQ(target(options()), "fake@cpu:1");
  EXPECT_THAT(notes_, ElementsAre("fake@cpu:0 did not start: [fake] no device"));
  EXPECT_THAT(records(), SizeIs(1));
  EXPECT_EQ(machines_[0].starts + machines_[1].starts, 2);
  machines_[0].start_error.reset();
  machines_[1].dies_at = 10;
  fake_.backend->verdicts[0].version = "2";
  fake_.backend->changed();
  EXPECT_EQ(target(options()), "fake@cpu:0") << "the other dies in its round";
  EXPECT_THAT(notes_, ElementsAre(HasSubstr("died of work")));
}

TEST_F(FirstMeasureTest, WithoutAnyTheErrorHasEachCauseAndForbiddenFallbackTheFirst) {
  machines_[0].start_error = Error{ErrorCode::kUnavailable, "[fake] no device"};
  OpenOptions forbid = options();
  forbid.fallback = Fallback::kForbid;
  EXPECT_THAT(open(forbid).error().message, HasSubstr("a failure of fake@cpu:0: [fake] no device"));
  EXPECT_EQ(machines_[1].starts, 0);
  machines_[1].start_error = Error{ErrorCode::kUnavailable, "[fake] no driver"};
  const auto none = open(options());
  EXPECT_EQ(none.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(none.error().message, HasSubstr("fake@cpu:0: [fake] no device; fake@cpu:1: [fake] no driver"));
  machines_[0].start_error.reset();
  EXPECT_EQ(target(forbid), "fake@cpu:0") << "that the other does not start is no failure of the one that serves";
}

TEST_F(FirstMeasureTest, AStopEndsTheLoadAndLeavesNothing) {
  struct : Progress {
    bool update(std::string_view what, uint64_t, uint64_t, std::string_view) override { return !what.starts_with("measuring fake@cpu:0"); }
  } stopper;
  machines_[0].step_time = milliseconds(5);
  const auto begun = std::chrono::steady_clock::now();
  const auto stopped = open(options(), stopper);
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::kCancelled);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(10));
  EXPECT_EQ(census_.living, 0);
  EXPECT_EQ(machines_[1].starts, 0);
  EXPECT_TRUE(fake_.engine->endpoints().empty());
  EXPECT_EQ(target(options(milliseconds(0))), "fake@cpu:0") << "the name is free";
}

TEST_F(FirstMeasureTest, ALimitIsCheckedByMeasuringEvenASingleTarget) {
  OpenOptions strict = options();
  strict.hardware = "fake@cpu:1";
  strict.constraints.ttft_ms_max = 60'000.0;
  EXPECT_EQ(target(strict), "fake@cpu:1");
  EXPECT_THAT(notes_, IsEmpty()) << "it is known now";
  EXPECT_EQ(machines_[1].starts, 1);
  strict.constraints.ttft_ms_max = 1e-6;
  const auto refused = open(strict);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kFailedPrecondition);
  EXPECT_THAT(refused.error().message, HasSubstr("the nearest is fake@cpu:1: time to first token"));
  EXPECT_EQ(machines_[1].starts, 1) << "by the record of the load before";
}

TEST_F(FirstMeasureTest, AStartThatTakesTooLongIsCutShortUnlessItServesAnyway) {
  const auto model = fixture_model("llama_f32.gguf");
  Plan plan;
  std::vector<Candidate> candidates;
  for (uint32_t i = 0; i < 2; ++i) {
    plan.entries.push_back({.hardware = "cpu", .target = {"fake", {.kind = "cpu", .index = i}}, .backend = fake_.backend, .yes = true, .reason = {}, .memory = {}});
    candidates.push_back({.target = to_string(plan.entries[i].target), .start = [this](const StartRequest& request) -> Result<std::unique_ptr<Program>> {
                            for (int ms = 0; ms < 400; ++ms) {
                              if (!request.progress.update("packing", 0, 0, "")) return Error{ErrorCode::kCancelled, "[test] stopped"};
                              std::this_thread::sleep_for(milliseconds(1));
                            }
                            auto program = std::make_unique<CountingDecoder>();
                            program->vocabulary_value = 280;
                            return std::unique_ptr<Program>(std::make_unique<CountedDecoder>(census_, std::move(program), -1));
                          }, .speed = {}});
  }
  const auto measure = [&](std::vector<size_t> which, milliseconds budget) {
    return measure_first({.model = model, .plan = plan, .candidates = candidates, .which = std::move(which), .use = *use_case_named("completion"), .key = {},
                          .compile = {}, .start = {.name = "model"}, .budget = budget, .records = nullptr}, no_progress());
  };
  const auto first = measure({0}, milliseconds(50));
  ASSERT_TRUE(first) << to_string(first.error());
  EXPECT_TRUE(first->running);
  EXPECT_THAT(first->notes, ElementsAre(HasSubstr("fake@cpu:0 was not measured at load within 0.05 s: its start took the whole budget")));
  const auto second = measure({1}, milliseconds(50));
  ASSERT_TRUE(second) << to_string(second.error());
  EXPECT_FALSE(second->running);
  EXPECT_THAT(second->notes, ElementsAre(HasSubstr("its start takes longer than what is left of the budget")));
  EXPECT_THAT(measure({1}, std::chrono::seconds(30))->records, SizeIs(1)) << "kept nowhere, and known";
}

TEST_F(FirstMeasureTest, AShapeThatDoesNotFitIsNotMeasured) {
  OpenOptions rag = options();
  rag.use = *use_case_named("rag");
  EXPECT_EQ(target(rag), "fake@cpu:0");
  EXPECT_THAT(notes_, Contains(HasSubstr("prompt and answer fit the context of 2048 tokens")));
  OpenOptions batch = options();
  batch.use = *use_case_named("batch");
  EXPECT_EQ(target(batch), "fake@cpu:0");
  EXPECT_THAT(notes_, Contains(HasSubstr("8 answers at once take as many slots; got 4")));
}

TEST_F(FirstMeasureTest, EncodersAreMeasuredInTexts) {
  struct SlowEncoder final : EncoderProgram {
    FakeEncoder inner;
    milliseconds time{0};
    uint64_t memory_bytes() const override { return 0; }
    EncoderLimits limits() const override { return inner.limits(); }
    Result<void> encode(std::span<const EncoderInput> inputs, EncodeOutput output, MatrixSink& sink, const StepControl& control) override {
      std::this_thread::sleep_for(time);
      return inner.encode(inputs, output, sink, control);
    }
  };
  fake_.backend->make_on = [](const Device& device, const CompileOptions&) -> Result<std::unique_ptr<Program>> {
    auto program = std::make_unique<SlowEncoder>();
    program->time = milliseconds(device.index == 0 ? 20 : 1);
    return std::unique_ptr<Program>(std::move(program));
  };
  OpenOptions texts = options();
  texts.use = UseCase{.name = "texts", .prompt_tokens = 16, .generate_tokens = 5, .concurrency = 2};
  const auto endpoint = fake_.engine->open(fixture_path("bert_hf").string(), texts, no_progress());
  ASSERT_TRUE(endpoint) << to_string(endpoint.error());
  EXPECT_EQ((*endpoint)->info().target, "fake@cpu:1");
  const auto measured = records();
  ASSERT_THAT(measured, SizeIs(2));
  EXPECT_EQ(measured[0].key.shape, "p16-g0-b2");
  EXPECT_THAT(measured[0].samples.at("texts_per_s"), SizeIs(kFirstRounds));
}

TEST(ToMeasure, WhatIsBehindCpuOnlyWhereItIsNamed) {
  FakeBackend backend;
  Plan plan;
  for (const char* hardware : {"cuda", "cpu", "torch"}) {
    plan.entries.push_back({.hardware = hardware, .target = {"fake", {.kind = hardware}}, .backend = &backend, .yes = true, .reason = {}, .memory = {}});
  }
  OpenOptions options;
  EXPECT_THAT(to_measure(plan, options), IsEmpty()) << "no budget";
  options.measure_budget = std::chrono::seconds(10);
  EXPECT_THAT(to_measure(plan, options), ElementsAre(0u, 1u));
  plan.entries[0].measured = PlanFigures{};
  EXPECT_THAT(to_measure(plan, options), ElementsAre(1u));
  plan.entries[1].measured = PlanFigures{};
  EXPECT_THAT(to_measure(plan, options), IsEmpty());
  options.hardware = "torch";
  EXPECT_THAT(to_measure(plan, options), ElementsAre(2u));
  plan.entries.erase(plan.entries.begin());
  plan.entries[0].measured.reset();
  options.hardware = "auto";
  EXPECT_THAT(to_measure(plan, options), IsEmpty()) << "cpu and torch: nothing is compared, so nothing is done";
  options.constraints.tpot_ms_max = 10;
  EXPECT_THAT(to_measure(plan, options), ElementsAre(0u)) << "but a limit needs the figure";
  options.constraints = {.kl_max = 0.1};
  EXPECT_THAT(to_measure(plan, options), IsEmpty()) << "the gate's";
  options.constraints = {.tpot_ms_max = 10};
  options.targets = {"fake@cpu:0", "fake@torch:0"};
  EXPECT_THAT(to_measure(plan, options), ElementsAre(0u, 1u));
  options.constraints = {};
  EXPECT_THAT(to_measure(plan, options), IsEmpty()) << "their order was named";
}

}  // namespace
}  // namespace accelerate
