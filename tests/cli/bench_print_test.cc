#include "accelerate/cli/bench_print.h"

#include <gtest/gtest.h>

#include "accelerate/base/json.h"

namespace accelerate {
namespace {

TargetBench bench_of(std::vector<double> ttft_ms, double decode = 100) {
  TargetResult result{.label = "cpu", .parity = "pass", .kl_mean = 1e-4, .report = {.target = "cpu@cpu:0", .rounds = 3, .samples = {}}};
  result.report.samples.ttft_ms = std::move(ttft_ms);
  result.report.samples.decode_tokens_per_s = {decode, decode, decode};
  result.tpot_ms = {1000 / decode};
  return {.model = "m", .model_id = "id", .fingerprint = "f", .shape = "p16-g4-b1", .results = {result, {.label = "broken", .refusal = "[test] no", .report = {}}}, .notes = {}};
}

Json json_of(const TargetBench& bench) { return target_bench_json(bench, {.prompt_tokens = 16, .generate_tokens = 4, .open = {}}); }

TEST(BenchPrint, JsonHasPercentilesSamplesAndNullWhereNothingWasMeasured) {
  const Json json = json_of(bench_of({10, 20, 30}));
  const Json& target = json["targets"][0];
  EXPECT_EQ(target["metrics"]["ttft_ms"]["median"], 20.0);
  EXPECT_EQ(target["metrics"]["ttft_ms"]["samples"].size(), 3u);
  EXPECT_NEAR(target["metrics"]["ttft_ms"]["p90"].get<double>(), 28, 1e-9);
  EXPECT_EQ(target["metrics"]["texts_per_s"], nullptr);
  EXPECT_EQ(target["energy"], "unavailable");
  EXPECT_EQ(json["targets"][1]["refusal"], "[test] no");
}

TEST(BenchPrint, TableAndCsv) {
  const std::string table = target_bench_table(bench_of({10, 20, 30}), {.open = {}});
  EXPECT_NE(table.find("20.0 (12.0 .. 28.0)"), std::string::npos) << table;
  EXPECT_NE(table.find("pass, KL 1.0e-04"), std::string::npos);
  EXPECT_NE(table.find("not measured: [test] no"), std::string::npos);
  EXPECT_NE(table.find("unavailable"), std::string::npos) << "energy";
  const std::string csv = target_bench_csv(bench_of({10, 20}));
  EXPECT_NE(csv.find("\"m\",\"cpu\",ttft_ms,1,20\r\n"), std::string::npos) << csv;
}

TEST(BenchPrint, WorseBeyondTheNoiseIsARegression) {
  const Json before = json_of(bench_of({100, 100, 100})), noisy = json_of(bench_of({80, 100, 130}));
  EXPECT_TRUE(compare_benches(before, json_of(bench_of({104, 104, 104})))->empty()) << "4 % says nothing";
  const auto slower = compare_benches(before, json_of(bench_of({120, 120, 120}, 50)));
  ASSERT_TRUE(slower);
  ASSERT_EQ(slower->size(), 3u) << "first token, token, tokens/s";
  EXPECT_EQ(slower->front(), "cpu: ttft_ms 120.0 was 100.0: 20 % worse, noise 10 %");
  EXPECT_TRUE(compare_benches(noisy, json_of(bench_of({120, 120, 120})))->empty()) << "within what the first run's rounds differ by";
  EXPECT_TRUE(compare_benches(before, json_of(bench_of({50, 50, 50}, 200)))->empty()) << "better";
}

TEST(BenchPrint, OnlyRunsOfOneModelShapeAndMachineCompare) {
  const Json now = json_of(bench_of({100}));
  for (const Json& other : {Json(), Json(3), Json::object(), Json{{"targets", 1}}, Json{{"targets", Json::array()}}}) EXPECT_FALSE(compare_benches(other, now));
  Json elsewhere = now;
  elsewhere["machine"] = "another";
  EXPECT_EQ(compare_benches(elsewhere, now).error().code, ErrorCode::kInvalidArgument);
  Json nothing_in_common = now;
  nothing_in_common["targets"] = Json::array({1, "x", Json::object()});
  EXPECT_FALSE(compare_benches(nothing_in_common, now));
}

}  // namespace
}  // namespace accelerate
