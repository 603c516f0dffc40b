#include "accelerate/engine/planner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "accelerate/engine/hardware.h"
#include "tests/engine/fake_backend.h"

namespace accelerate {
namespace {

using ::testing::HasSubstr;

struct Bench {
  FakeBackend cpu, gpu;
  std::vector<ProbedBackend> probed;
  Model model;
  Bench() {
    gpu.descriptor.name = "fast";
    gpu.descriptor.hardware = {"cuda"};
    gpu.verdicts = {{.state = Verdict::State::kAvailable, .hardware = "cuda", .devices = {{.kind = "cuda", .index = 0}, {.kind = "cuda", .index = 1}}}};
    probe();
  }
  void probe() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(1);
    probed = {{&cpu, cpu.probe(deadline)}, {&gpu, gpu.probe(deadline)}};
  }
  Result<Plan> plan(const std::string& hardware, bool detect = false) {
    return make_plan({.model = model, .hardware = hardware, .compile = {}, .backends = probed, .detect = detect});
  }
};

TEST(Planner, AutoFollowsThePriorityOfHardwareNames) {
  Bench bench;
  const Result<Plan> plan = bench.plan("auto");
  ASSERT_TRUE(plan);
  ASSERT_TRUE(plan->best());
  EXPECT_EQ(to_string(plan->best()->target), "fast@cuda:0") << "cuda stands before cpu, whatever the order of backends";
  std::vector<std::string> yes;
  for (const PlanEntry& entry : plan->entries) {
    EXPECT_FALSE(entry.reason.empty()) << entry.hardware;
    if (entry.yes) yes.push_back(to_string(entry.target));
  }
  EXPECT_EQ(yes, (std::vector<std::string>{"fast@cuda:0", "fast@cuda:1", "fake@cpu:0"}));
  for (size_t i = 1; i < plan->entries.size(); ++i) EXPECT_GE(plan->entries[i - 1].yes, plan->entries[i].yes) << "every yes before every no";
}

TEST(Planner, ARefusalOfTheBackendIsANoWithItsReason) {
  Bench bench;
  bench.gpu.support = {.yes = false, .reason = "no kernel for Q5_1"};
  const Result<Plan> plan = bench.plan("auto");
  ASSERT_TRUE(plan);
  EXPECT_EQ(to_string(plan->best()->target), "fake@cpu:0");
  EXPECT_THAT(plan->refusal().message, HasSubstr("cuda: no kernel for Q5_1"));
  EXPECT_EQ(plan->best()->memory.total(), 60u);
}

TEST(Planner, TheTokenizerCountsAsMemory) {
  Bench bench;
  bench.model.tokenizer.emplace();
  bench.model.tokenizer->tokenizer_json = std::string(1000, ' ');
  EXPECT_EQ(bench.plan("cpu")->best()->memory.total(), 60u + 16'000u);
  bench.model.tokenizer->tokenizer_json.clear();
  bench.model.tokenizer->vocabulary = TokenizerSpec::Vocabulary{};
  bench.model.tokenizer->vocabulary->tokens.resize(10);
  bench.model.tokenizer->vocabulary->merges.resize(10);
  EXPECT_EQ(bench.plan("cpu")->best()->memory.total(), 60u + 10u * (115 + 274));
}

TEST(Planner, WhatIsNotInstalledDoesNotHideWhyADeviceRefused) {
  Bench bench;
  bench.gpu.verdicts = {{.state = Verdict::State::kAbsent, .hardware = "cuda", .reason = "not installed"}};
  bench.cpu.support = {.yes = false, .reason = "no memory", .code = ErrorCode::kResourceExhausted};
  bench.probe();
  EXPECT_EQ(bench.plan("auto")->refusal().code, ErrorCode::kResourceExhausted);
}

TEST(Planner, ARefusalHasTheBackendsReasonFirstAndItsCode) {
  Bench bench;
  bench.gpu.support = {.yes = false, .reason = "no memory", .code = ErrorCode::kResourceExhausted};
  bench.cpu.support = {.yes = false, .reason = "no memory either", .code = ErrorCode::kResourceExhausted};
  const Error refusal = bench.plan("auto")->refusal();
  EXPECT_EQ(refusal.code, ErrorCode::kResourceExhausted);
  EXPECT_THAT(refusal.message, ::testing::StartsWith("cuda: no memory; cuda: no memory; cpu: no memory either; no backend of this build serves: max"));
  bench.cpu.support.code = ErrorCode::kOutOfRange;
  EXPECT_EQ(bench.plan("auto")->refusal().code, ErrorCode::kUnavailable) << "they differ";
}

TEST(Planner, ANamedHardwareIsThatAndNothingElse) {
  Bench bench;
  EXPECT_EQ(to_string(bench.plan("cpu")->best()->target), "fake@cpu:0");
  bench.gpu.verdicts = {{.state = Verdict::State::kBroken, .hardware = "cuda", .reason = "driver too old"}};
  bench.probe();
  const Result<Plan> plan = bench.plan("cuda");
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->best(), nullptr) << "never the next one silently";
  EXPECT_EQ(plan->refusal().message, "cuda: broken: driver too old");
  EXPECT_EQ(plan->refusal().code, ErrorCode::kFailedPrecondition);
}

TEST(Planner, HardwareWithoutABackendSaysWhy) {
  Bench bench;
  for (const bool detect : {false, true}) {
    const Result<Plan> plan = bench.plan("qnn", detect);
    ASSERT_TRUE(plan);
    EXPECT_EQ(plan->best(), nullptr);
    const Error refusal = plan->refusal();
    EXPECT_EQ(refusal.code, ErrorCode::kUnavailable);
    if (!detect) EXPECT_EQ(refusal.message, "no backend of this build serves: qnn");
    else EXPECT_THAT(refusal.message, ::testing::StartsWith("qnn: absent: "));
  }
}

TEST(Planner, AnExactTargetIsThatDevice) {
  Bench bench;
  EXPECT_EQ(to_string(bench.plan("fast@cuda:1")->best()->target), "fast@cuda:1");
  bench.cpu.descriptor.name = "null";  // a backend of no hardware name, by its own
  bench.cpu.verdicts[0].hardware = "null";
  bench.probe();
  EXPECT_EQ(to_string(bench.plan("null")->best()->target), "null@cpu:0");
  EXPECT_EQ(bench.plan("auto")->best()->backend, &bench.gpu) << "and only when it is named";
  EXPECT_EQ(bench.plan("cpu")->best(), nullptr);
}

TEST(Planner, UnknownNamesListTheOnesThatExist) {
  Bench bench;
  for (const char* name : {"gpu", "", "CPU", "fast@cuda:2", "nobody@cpu:0", "@", "fast@"}) {
    const Result<Plan> plan = bench.plan(name);
    ASSERT_FALSE(plan && plan->best()) << name;
    if (plan) {
      EXPECT_FALSE(plan->refusal().message.empty()) << name;
      continue;
    }
    EXPECT_EQ(plan.error().code, ErrorCode::kInvalidArgument) << name;
    for (const HardwareName& known : hardware_names()) EXPECT_THAT(plan.error().message, HasSubstr(std::string(known.name)));
    EXPECT_THAT(plan.error().message, HasSubstr("got '" + std::string(name) + "'"));
  }
}

}  // namespace
}  // namespace accelerate
