#include "accelerate/engine/plan_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "accelerate/engine/fingerprint.h"
#include "tests/engine/fake_backend.h"

namespace accelerate {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Three backends on one machine: cuda, cpu, torch by the table of priorities.
class PlanChoice : public ::testing::Test {
 protected:
  void SetUp() override {
    add(cuda_, "fast", "cuda");
    add(cpu_, "cpu", "cpu");
    add(torch_, "torch", "torch");
    request_ = {.use = *use_case_named("chat"), .constraints = {}, .records = {}, .model_id = "m", .quantization = "Q4_1", .fingerprint = "f",
                .compile = {}, .threads = 2};
  }
  void add(FakeBackend& backend, const std::string& name, const std::string& hardware) {
    backend.descriptor.name = name;
    backend.descriptor.hardware = {hardware};
    backend.verdicts = {{.state = Verdict::State::kAvailable, .hardware = hardware, .devices = {{.kind = hardware, .name = "test"}}}};
    probed_.push_back({&backend, backend.verdicts});
  }
  Record& measured(const std::string& target, double ttft_ms, double tpot_ms, const std::string& shape = "p512-g128-b1") {
    records_.insert(records_.begin(), Record{.key = {.model_id = "m", .quantization = "Q4_1", .shape = shape, .target = target, .versions = release_versions(""),
                                                     .fingerprint = "f", .threads = 2},
                                             .kind = "bench", .samples = {{"ttft_ms", {ttft_ms, ttft_ms}}, {"tpot_ms", {tpot_ms}},
                                                                          {"decode_tokens_per_s", {1000 / tpot_ms}}}, .notes = {}, .unix_s = 1'700'000'000});
    return records_.front();
  }
  Record& compared(const std::string& target, const std::string& verdict, double kl_mean) {
    Record& record = measured(target, 1, 1);
    record.kind = "parity", record.key.versions = exact_versions(""), record.verdict = verdict, record.samples = {{"kl_mean", {kl_mean}}}, record.notes = {"the reason"};
    return record;
  }
  Plan plan() {
    Result<Plan> made = make_plan({.model = model_, .hardware = "auto", .compile = {}, .backends = probed_});
    EXPECT_TRUE(made);
    request_.records = records_;
    choose(*made, request_);
    return *made;
  }
  static std::vector<std::string> yes(const Plan& plan) {
    std::vector<std::string> targets;
    for (const PlanEntry& entry : plan.entries) {
      EXPECT_FALSE(entry.reason.empty()) << entry.hardware;
      if (entry.yes) targets.push_back(to_string(entry.target));
    }
    return targets;
  }
  static const PlanEntry& entry(const Plan& plan, const std::string& hardware) {
    for (const PlanEntry& one : plan.entries) {
      if (one.hardware == hardware) return one;
    }
    ADD_FAILURE() << hardware;
    return plan.entries.front();
  }
  FakeBackend cuda_, cpu_, torch_;
  std::vector<ProbedBackend> probed_;
  std::vector<Record> records_;
  Model model_;
  ChoiceRequest request_;
};

TEST_F(PlanChoice, WithoutRecordsItIsThePriorityAndSaysSo) {
  const Plan p = plan();
  EXPECT_THAT(yes(p), ElementsAre("fast@cuda:0", "cpu@cpu:0", "torch@torch:0"));
  EXPECT_THAT(p.entries[0].reason, HasSubstr("not measured yet: by the default priority of cuda"));
  EXPECT_FALSE(p.entries[0].measured);
  EXPECT_FALSE(p.entries[0].predicted);
}

TEST_F(PlanChoice, TheLeastMeasuredCostComesFirstWhateverThePriority) {
  measured("cpu@cpu:0", 100, 10);      // 1380 ms for 128 tokens
  measured("torch@torch:0", 500, 5);   // 1140 ms
  measured("fast@cuda:0", 50, 12);     // 1586 ms
  EXPECT_THAT(yes(plan()), ElementsAre("torch@torch:0", "cpu@cpu:0", "fast@cuda:0"));
  request_.objective = Objective::kThroughput;
  EXPECT_EQ(yes(plan()).front(), "torch@torch:0");
  records_[0].samples["joules_per_token"] = {0.5};
  request_.objective = Objective::kEnergy;
  const Plan p = plan();
  EXPECT_EQ(yes(p).front(), "fast@cuda:0") << "the only one with a figure";
  EXPECT_THAT(entry(p, "cpu").reason, HasSubstr("energy is unavailable"));
}

TEST_F(PlanChoice, AnAnswersLatencyIsUnknownWithoutItsTimePerToken) {
  measured("cpu@cpu:0", 40, 10);
  measured("torch@torch:0", 1, 1).samples.erase("tpot_ms");  // of 128 tokens nobody knows how long they take
  const Plan p = plan();
  EXPECT_EQ(yes(p).front(), "cpu@cpu:0");
  EXPECT_THAT(entry(p, "torch").reason, HasSubstr("latency is unavailable"));
}

TEST_F(PlanChoice, MemoryIsMeasuredOrEstimated) {
  cuda_.support.memory = {.weights = 500}, cpu_.support.memory = {.weights = 100}, torch_.support.memory = {.weights = 300};
  request_.objective = Objective::kMemory;
  EXPECT_THAT(yes(plan()), ElementsAre("cpu@cpu:0", "torch@torch:0", "fast@cuda:0"));
}

TEST_F(PlanChoice, UnmeasuredTargetsStandBehindMeasuredOnes) {
  measured("torch@torch:0", 500, 50);
  const Plan p = plan();
  EXPECT_THAT(yes(p), ElementsAre("torch@torch:0", "fast@cuda:0", "cpu@cpu:0"));
  EXPECT_EQ(p.entries[0].measured->samples, 2u);
  EXPECT_EQ(p.entries[0].measured->unix_s, 1'700'000'000);
}

TEST_F(PlanChoice, RecordsOfOtherConditionsCountForNothing) {
  measured("cpu@cpu:0", 1, 1).key.fingerprint = "another machine";
  measured("cpu@cpu:0", 1, 1).key.threads = 1;
  measured("cpu@cpu:0", 1, 1).key.quantization = "F32";
  measured("cpu@cpu:0", 1, 1).key.model_id = "another";
  measured("cpu@cpu:0", 1, 1).key.versions = "ipfs-accelerate 0.0.1, backend without version";
  measured("cpu@cpu:0 exact", 1, 1);
  const Plan p = plan();
  EXPECT_EQ(yes(p).front(), "fast@cuda:0");
  EXPECT_FALSE(entry(p, "cpu").measured);
}

TEST_F(PlanChoice, TheNewestRecordCounts) {
  measured("cpu@cpu:0", 900, 9);
  measured("cpu@cpu:0", 100, 1);
  EXPECT_EQ(entry(plan(), "cpu").measured->ttft_ms, 100);
}

TEST_F(PlanChoice, AnotherShapePredictsAndSaysSo) {
  measured("cpu@cpu:0", 100, 10, "p256-g64-b1");
  const Plan p = plan();
  const PlanEntry& cpu = entry(p, "cpu");
  ASSERT_TRUE(cpu.predicted);
  EXPECT_EQ(cpu.predicted->ttft_ms, 200);
  EXPECT_EQ(cpu.predicted->tpot_ms, 10);
  EXPECT_EQ(cpu.predicted->from, "p256-g64-b1");
  EXPECT_EQ(yes(p).front(), "fast@cuda:0") << "a prediction is no measurement";
}

TEST_F(PlanChoice, AFailedProofIsANoAndNoReferenceNeverGoesFirst) {
  measured("fast@cuda:0", 1, 1);
  compared("fast@cuda:0", "fail", 3);
  measured("torch@torch:0", 1, 1);
  compared("torch@torch:0", "no_reference", 0);
  measured("cpu@cpu:0", 100, 100);
  compared("cpu@cpu:0", "pass", 1e-4);
  const Plan p = plan();
  EXPECT_THAT(yes(p), ElementsAre("cpu@cpu:0", "torch@torch:0"));
  EXPECT_THAT(entry(p, "cuda").reason, HasSubstr("the reason"));
}

TEST_F(PlanChoice, ConstraintsAreANoWithTheNumberAndTheNearestMissIsNamed) {
  measured("cpu@cpu:0", 150, 10);
  measured("torch@torch:0", 300, 10);
  measured("fast@cuda:0", 120, 40);
  request_.constraints.ttft_ms_max = 100;
  request_.constraints.tpot_ms_max = 20;
  const Plan p = plan();
  EXPECT_EQ(p.best(), nullptr);
  EXPECT_THAT(entry(p, "cpu").reason, HasSubstr("150 is 50 % over the 100 asked for (measured)"));
  EXPECT_THAT(p.nearest_miss, ::testing::StartsWith("cpu@cpu:0: "));
  request_.constraints = {.ttft_ms_max = 200, .tokens_per_s_min = 50};
  const Plan met = plan();
  EXPECT_THAT(yes(met), ElementsAre("cpu@cpu:0"));
  EXPECT_TRUE(met.nearest_miss.empty());
  EXPECT_THAT(entry(met, "cuda").reason, HasSubstr("25 is 50 % under the 50 asked for"));
}

TEST_F(PlanChoice, WhatNobodyMeasuredIsNotRefusedButSaid) {
  request_.constraints = {.ttft_ms_max = 1, .kl_max = 0.1};
  EXPECT_THAT(plan().entries[0].reason, HasSubstr("whether it keeps time to first token, quality is not known"));
}

TEST_F(PlanChoice, HardwareMemoryAndQualityLimits) {
  request_.constraints = {.allowed = {"cpu", "torch"}, .forbidden = {"torch"}};
  EXPECT_THAT(yes(plan()), ElementsAre("cpu@cpu:0"));
  request_.constraints = {};
  request_.constraints.memory_bytes_max = 59;  // FakeBackend's estimate is 60
  const Plan p = plan();
  EXPECT_EQ(p.best(), nullptr);
  EXPECT_THAT(p.nearest_miss, HasSubstr("estimated"));
  compared("cpu@cpu:0", "pass", 0.2);
  request_.constraints = {.kl_max = 0.1};
  EXPECT_FALSE(entry(plan(), "cpu").yes);
}

TEST_F(PlanChoice, AnOrderThatSomebodyNamedIsKept) {
  measured("torch@torch:0", 1, 1);
  measured("fast@cuda:0", 300, 1);
  request_.keep_order = true;
  EXPECT_THAT(yes(plan()), ElementsAre("fast@cuda:0", "cpu@cpu:0", "torch@torch:0"));
  request_.constraints = {.ttft_ms_max = 100};
  EXPECT_THAT(yes(plan()), ElementsAre("cpu@cpu:0", "torch@torch:0"));
}

TEST_F(PlanChoice, LocalOnlyExcludesTheRelay) {
  torch_.descriptor.name = "relay";
  request_.constraints.local_only = true;
  EXPECT_THAT(yes(plan()), ElementsAre("fast@cuda:0", "cpu@cpu:0"));
}

TEST(PlanConstraintsTest, AnyOneCounts) {
  EXPECT_FALSE(PlanConstraints{}.any());
  const PlanConstraints each[] = {{.allowed = {"cpu"}}, {.forbidden = {"cpu"}}, {.ttft_ms_max = 1}, {.tpot_ms_max = 1}, {.tokens_per_s_min = 1}, {.joules_per_token_max = 1},
                                  {.kl_max = 1}, {.memory_bytes_max = 1}, {.local_only = true}};
  for (const PlanConstraints& one : each) EXPECT_TRUE(one.any());
}

TEST(PlanConstraintsTest, WordsAndNumbersAreChecked) {
  EXPECT_TRUE(check_constraints({.allowed = {"cpu"}, .forbidden = {}, .ttft_ms_max = 1}));
  EXPECT_EQ(check_constraints({.allowed = {"gpu"}, .forbidden = {}}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(check_constraints({.allowed = {}, .forbidden = {"gpu"}}).error().message, HasSubstr("cuda"));
  for (const double bad : {0.0, -1.0, std::numeric_limits<double>::quiet_NaN()}) EXPECT_FALSE(check_constraints({.allowed = {}, .forbidden = {}, .tpot_ms_max = bad}));
  EXPECT_EQ(*objective_named("energy"), Objective::kEnergy);
  EXPECT_FALSE(objective_named("speed"));
}

}  // namespace
}  // namespace accelerate
