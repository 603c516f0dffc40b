#include "accelerate/engine/load_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "accelerate/engine/fingerprint.h"
#include "accelerate/engine/records.h"
#include "tests/engine/fake_engine.h"
#include "tests/engine/scratch.h"

namespace accelerate {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Two devices, of which Records are made as if they had been measured.
struct Measured {
  TemporaryFolder home;
  ScopedEnvironment state{"XDG_STATE_HOME", (home / "state").string()}, cache{"XDG_CACHE_HOME", (home / "cache").string()};
  FakeEngine fake;
  std::string path = fixture_path("llama_f32.gguf").string();
  Measured() { fake.backend->verdicts[0].devices = {{.kind = "cpu", .index = 0}, {.kind = "cpu", .index = 1}}; }
  void add(const std::string& target, double ttft_ms, double tpot_ms, const std::string& shape = "p512-g128-b1") {
    const Record record{.key = {.model_id = *fake.engine->model_id(path, nullptr), .quantization = "F32", .shape = shape, .target = target, .versions = release_versions(""),
                                .fingerprint = device_fingerprint(), .threads = fake.engine->context().threads},
                        .kind = "bench", .samples = {{"ttft_ms", {ttft_ms}}, {"tpot_ms", {tpot_ms}}, {"decode_tokens_per_s", {1000 / tpot_ms}}}, .notes = {}};
    ASSERT_TRUE(fake.engine->records()->add(record));
  }
  std::vector<std::string> targets(const OpenOptions& options) {
    const auto endpoint = fake.open("llama_f32.gguf", options);
    EXPECT_TRUE(endpoint) << (endpoint ? "" : to_string(endpoint.error()));
    std::vector<std::string> names;
    if (!endpoint) return names;
    for (const TargetStats& target : (*endpoint)->stats().targets) names.push_back(target.target);
    EXPECT_EQ((*endpoint)->info().target, names.front());
    EXPECT_TRUE(fake.engine->close((*endpoint)->info().name));
    return names;
  }
};

TEST(LoadChoice, ALoadIsForItsUseAndObjective) {
  Measured two;
  two.add("fake@cpu:0", 10, 10), two.add("fake@cpu:1", 500, 5);  // chat: 1290 ms and 1140 ms
  two.add("fake@cpu:0", 10, 10, "p64-g64-b1"), two.add("fake@cpu:1", 900, 5, "p64-g64-b1");
  EXPECT_THAT(two.targets({}), ElementsAre("fake@cpu:1", "fake@cpu:0"));
  EXPECT_THAT(two.targets({.use = *use_case_named("completion")}), ElementsAre("fake@cpu:0", "fake@cpu:1"));
  EXPECT_THAT(two.targets({.use = *use_case_named("completion"), .objective = Objective::kThroughput}), ElementsAre("fake@cpu:1", "fake@cpu:0"));
}

TEST(LoadChoice, WhatMissesALimitNeitherServesNorStandsBy) {
  Measured two;
  two.add("fake@cpu:0", 100, 5), two.add("fake@cpu:1", 200, 50);
  EXPECT_THAT(two.targets({.constraints = {.tpot_ms_max = 20.0}}), ElementsAre("fake@cpu:0"));
  EXPECT_THAT(two.targets({.hardware = "fake@cpu:0", .constraints = {.tpot_ms_max = 20.0}}), ElementsAre("fake@cpu:0"));
  const auto refused = two.fake.open("llama_f32.gguf", {.constraints = {.ttft_ms_max = 50.0}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kFailedPrecondition);
  EXPECT_THAT(refused.error().message, HasSubstr("the nearest is fake@cpu:0: time to first token, ms, 100 is 100 % over the 50 asked for (measured)"));
  EXPECT_THAT(two.fake.open("llama_f32.gguf", {.hardware = "fake@cpu:1", .constraints = {.ttft_ms_max = 50.0}}).error().message, HasSubstr("300 % over")) << "one Target keeps them, too";
  EXPECT_THAT(two.fake.open("llama_f32.gguf", {.constraints = {.forbidden = {"cpu"}}}).error().message, HasSubstr("forbidden by the request"));
  EXPECT_TRUE(two.fake.engine->endpoints().empty());
}

TEST(LoadChoice, NamedTargetsKeepTheirOrderWithinTheLimits) {
  Measured two;
  two.add("fake@cpu:0", 100, 5), two.add("fake@cpu:1", 200, 50);
  EXPECT_THAT(two.targets({.targets = {"fake@cpu:1", "fake@cpu:0"}, .constraints = {.ttft_ms_max = 300.0}}), ElementsAre("fake@cpu:1", "fake@cpu:0"));
  const auto one = two.fake.open("llama_f32.gguf", {.targets = {"fake@cpu:1", "fake@cpu:0"}, .together = true, .constraints = {.ttft_ms_max = 150.0}});
  ASSERT_TRUE(one) << to_string(one.error());
  EXPECT_EQ((*one)->info().target, "fake@cpu:0");
  EXPECT_THAT((*one)->info().notes, ::testing::Contains(HasSubstr("fake@cpu:1 is left out: time to first token")));
}

TEST(LoadChoice, OfATargetThatNobodyMeasuredTheReplySaysThatItIsNotKnown) {
  Measured two;
  const auto endpoint = two.fake.open("llama_f32.gguf", {.hardware = "fake@cpu:1", .constraints = {.ttft_ms_max = 50.0}});
  ASSERT_TRUE(endpoint) << to_string(endpoint.error());
  EXPECT_THAT((*endpoint)->info().notes, ElementsAre("whether fake@cpu:1 keeps time to first token is not known: it was not measured here"));
}

TEST(LoadChoice, ARelayIsNotLocal) {
  Measured two;
  const std::vector<RelayUpstream> relays = {{.name = "up", .url = "http://127.0.0.1:9/v1"}};
  for (const PlanConstraints& constraints : {PlanConstraints{.local_only = true}, PlanConstraints{.allowed = {"cpu"}}}) {
    EXPECT_EQ(two.fake.engine->open("relay:up/model", {.relays = relays, .constraints = constraints}, no_progress()).error().code, ErrorCode::kFailedPrecondition);
  }
}

TEST(LoadChoice, AnEncoderIsMeasuredWithoutTokensToGenerate) {
  FakeEngine fake;
  const auto model = fixture_model("bert_hf");
  EXPECT_EQ(begin_plan(*fake.engine, *model, {}, {})->use.name, "embeddings");
  const auto plan = begin_plan(*fake.engine, *model, {.use = *use_case_named("rag"), .objective = Objective::kMemory}, {.threads = 3});
  ASSERT_TRUE(plan);
  EXPECT_EQ(shape_bucket(plan->use), "p2048-g0-b1");
  EXPECT_EQ(plan->objective, Objective::kMemory);
  EXPECT_EQ(plan->threads, 3u);
}

TEST(LoadChoice, OtherWordsAreNoRelays) {
  EXPECT_TRUE(check_relay("smollm2", {.local_only = true})->empty());
  EXPECT_THAT(*check_relay("relay:up/model", {.ttft_ms_max = 1.0}), ElementsAre(HasSubstr("time to first token is not known")));
}

}  // namespace
}  // namespace accelerate
