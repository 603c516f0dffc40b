#include "accelerate/serve/admin_write.h"

#include <gtest/gtest.h>

#include "accelerate/base/json.h"
#include "accelerate/engine/catalog.h"
#include "tests/serve/fake_endpoint.h"
#include "tests/temporary.h"

namespace accelerate {
namespace {

TEST(AdminWrite, AVerdictSaysWhatAndWhy) {
  const Verdict verdicts[] = {{.state = Verdict::State::kAvailable, .hardware = "cpu", .devices = {{.kind = "cpu", .name = "test"}}, .evidence = "ran"},
                              {.hardware = "cuda", .devices = {}, .reason = "no driver", .how_to_get = "buy one"}};
  const Json json = hardware_json(verdicts);
  ASSERT_EQ(json.size(), 2u);
  EXPECT_EQ(json[0]["verdict"], "available");
  EXPECT_EQ(json[0]["devices"][0]["id"], "cpu:0");
  EXPECT_EQ(json[0]["devices"][0]["memory_bytes"], nullptr) << "unknown is not 0";
  EXPECT_EQ(json[1]["verdict"], "absent");
  EXPECT_EQ(json[1]["how_to_get"], "buy one");
}

TEST(AdminWrite, APlanInventsNoFigure) {
  ModelPlan plan{.plan = {}, .name = "m", .model_id = "id", .quantization = "F32", .fingerprint = "f", .use = {"chat", 512, 128, 1}, .notes = {"a note"}};
  Json json = plan_json(plan);
  EXPECT_EQ(json["best"], nullptr);
  EXPECT_EQ(json["nearest_miss"], nullptr);
  EXPECT_EQ(json["use"]["shape"], "p512-g128-b1");
  EXPECT_EQ(json["notes"][0], "a note");
  plan.plan.entries.push_back({.hardware = "cuda", .target = {}, .reason = "absent", .memory = {}});
  PlanFigures predicted{.ttft_ms = 12.5};
  predicted.from = "p16-g4-b1";
  plan.plan.entries.push_back({.hardware = "cpu", .target = {}, .reason = "too slow", .memory = {.weights = 10}, .predicted = predicted});
  json = plan_json(plan);
  EXPECT_EQ(json["targets"][0]["measured"], nullptr);
  EXPECT_EQ(json["targets"][0]["memory_estimate"], nullptr);
  EXPECT_EQ(json["targets"][0]["target"], nullptr);
  EXPECT_EQ(json["targets"][0]["parity"]["verdict"], nullptr);
  EXPECT_EQ(json["targets"][1]["predicted"]["ttft_ms"], 12.5);
  EXPECT_EQ(json["targets"][1]["predicted"]["tpot_ms"], nullptr);
  EXPECT_EQ(json["targets"][1]["predicted"]["from_shape"], "p16-g4-b1");
  EXPECT_EQ(json["targets"][1]["memory_estimate"]["total_bytes"], 10);
}

TEST(AdminWrite, ABenchHasEveryMetricByName) {
  TargetResult result{.label = "cpu", .report = {.samples = {}}};
  result.tpot_ms = {1, 2, 3};
  const TargetBench bench{.model = "m", .results = {result}, .notes = {}};
  const Json json = target_bench_json(bench, {.prompt_tokens = 16, .open = {}});
  EXPECT_EQ(json["prompt_tokens"], 16);
  for (const BenchMetric& metric : bench_metrics()) EXPECT_TRUE(json["targets"][0]["metrics"].contains(metric.name)) << metric.name;
  EXPECT_EQ(json["targets"][0]["metrics"]["tpot_ms"]["median"], 2.0);
  EXPECT_EQ(json["targets"][0]["metrics"]["ttft_ms"], nullptr);
  EXPECT_EQ(json["targets"][0]["energy"], "unavailable");
}

TEST(AdminWrite, ModelsHereAndToPull) {
  TemporaryFolder home;
  const ScopedEnvironment models("IPFS_ACCELERATE_MODELS", home.path().string());
  home.write("mine/mine.gguf", "GGUF");
  const Json json = known_models_json();
  EXPECT_EQ(json["folder"], home.path().string());
  ASSERT_EQ(json["models"].size(), catalog().size() + 1);
  EXPECT_EQ(json["models"][0]["installed"], false);
  EXPECT_EQ(json["models"][0]["path"], nullptr);
  EXPECT_EQ(json["models"].back()["name"], "mine");
  EXPECT_EQ(json["models"].back()["installed"], true);
}

TEST(AdminWrite, ADescription) {
  ModelDescription description{.name = "m", .memory_weights_bytes = 1, .memory_kv_bytes = 2, .memory_buffers_bytes = 3, .tensor_types = {}, .suggested = {}};
  description.suggested.temperature = 0.5F;
  const Json json = description_json(description, std::nullopt);
  EXPECT_EQ(json["memory_bytes"]["total"], 6);
  EXPECT_EQ(json["id"], nullptr);
  EXPECT_EQ(json["suggested_sampling"], Json({{"temperature", 0.5}}));
  EXPECT_EQ(description_json(description, "abc")["id"], "abc");
}

TEST(AdminWrite, AnEndpointLoadedOrNot) {
  RosterStatus status{.name = "n", .word = "w", .state = ModelState::kFailed, .error = "no memory", .unloads = {{UnloadCause::kIdle, 2}}, .endpoint = nullptr};
  Json json = endpoint_json(status);
  EXPECT_EQ(json["model"], "w");
  EXPECT_EQ(json["state"], "failed");
  EXPECT_EQ(json["error"], "no memory");
  EXPECT_EQ(json["unloads"], Json({{"idle", 2}}));
  EXPECT_EQ(json["about"], nullptr);
  EXPECT_EQ(json["stats"], nullptr);
  status = {.name = "n", .word = "w", .state = ModelState::kLoaded, .pinned = true, .error = "", .unloads = {}, .endpoint = std::make_shared<testing::FakeEndpoint>("n")};
  json = endpoint_json(status);
  EXPECT_EQ(json["pinned"], true);
  EXPECT_EQ(json["error"], nullptr);
  EXPECT_EQ(json["about"]["kind"], "decoder");
  EXPECT_EQ(json["about"]["target"], "fake@cpu:0");
  EXPECT_EQ(json["stats"]["running"], 0);
  EXPECT_EQ(json["targets"], Json::array());
}

TEST(AdminWrite, ARecordHasItsConditionsAndRawSamples) {
  const Json json = record_json({.key = {.model_id = "id", .quantization = "F32", .target = "cpu@cpu:0", .versions = "v", .fingerprint = "f", .threads = 2},
                                 .kind = "bench", .samples = {{"ttft_ms", {1.5, 2}}}, .notes = {}, .unix_s = 7});
  EXPECT_EQ(json["samples"]["ttft_ms"], Json({1.5, 2.0}));
  EXPECT_EQ(json["machine"], "f");
  EXPECT_EQ(json["shape"], nullptr);
  EXPECT_EQ(json["verdict"], nullptr);
  EXPECT_EQ(json["unix_s"], 7);
}

}  // namespace
}  // namespace accelerate
