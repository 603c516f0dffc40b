#include "accelerate/engine/bench_targets.h"

#include <cmath>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "accelerate/engine/records.h"
#include "tests/engine/fake_engine.h"
#include "tests/engine/scratch.h"

namespace accelerate {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

class BenchTargets : public ::testing::Test {
 protected:
  TemporaryFolder home_;
  ScopedEnvironment state_{"XDG_STATE_HOME", (home_ / "state").string()}, cache_{"XDG_CACHE_HOME", (home_ / "cache").string()};
  FakeEngine fake_;
  std::string model_ = fixture_path("llama_f32.gguf").string();
  BenchOptions options_{.prompt_tokens = 16, .generate_tokens = 4, .rounds = 3, .open = {}};
  std::vector<BenchTarget> targets(std::string_view words) {
    const auto made = bench_targets(words, {}, *fake_.engine);
    EXPECT_TRUE(made) << (made ? "" : to_string(made.error()));
    return made ? *made : std::vector<BenchTarget>{};
  }
};

TEST_F(BenchTargets, WordsAreHardwareAndModes) {
  const auto made = targets("cpu,cpu:exact,cpu@cpu:0:deterministic,cpu:int8");
  ASSERT_THAT(made, SizeIs(4));
  EXPECT_EQ(made[3].open.compile.quantization, "int8");
  EXPECT_EQ(made[1].open.compile.precision, Precision::kExact);
  EXPECT_EQ(made[2].open.hardware, "cpu@cpu:0");
  EXPECT_TRUE(made[2].open.compile.deterministic);
  EXPECT_THAT(targets("all"), SizeIs(3)) << "one available hardware in three modes";
  for (const char* bad : {"cpu:fast", "cpu,cpu", "cpu@cpu:0:x"}) EXPECT_EQ(bench_targets(bad, {}, *fake_.engine).error().code, ErrorCode::kInvalidArgument) << bad;
}

TEST_F(BenchTargets, EveryTargetHasItsRoundsAndARecord) {
  const auto bench = run_target_bench(*fake_.engine, model_, targets("cpu,cpu:exact"), options_, no_progress());
  ASSERT_TRUE(bench) << to_string(bench.error());
  ASSERT_THAT(bench->results, SizeIs(2));
  for (const TargetResult& result : bench->results) {
    EXPECT_THAT(result.report.samples.ttft_ms, SizeIs(3));
    EXPECT_THAT(result.tpot_ms, SizeIs(3));
    EXPECT_EQ(result.refusal, "");
  }
  EXPECT_TRUE(fake_.engine->endpoints().empty()) << "all are closed again";
  const auto records = fake_.engine->records()->find({.kind = "bench", .shape = "p16-g4-b1"});
  ASSERT_TRUE(records);
  ASSERT_THAT(*records, SizeIs(2));
  EXPECT_EQ((*records)[0].key.target, "fake@cpu:0 exact");
  EXPECT_THAT((*records)[0].samples.at("ttft_ms"), SizeIs(3));
  EXPECT_THAT((*records)[0].samples.at("memory_program_bytes"), SizeIs(1));
}

TEST_F(BenchTargets, ARefusalIsAResultUnlessNothingCanBeMeasured) {
  const auto bench = run_target_bench(*fake_.engine, model_, targets("cpu,qnn"), options_, no_progress());
  ASSERT_TRUE(bench) << to_string(bench.error());
  EXPECT_THAT(bench->results[1].refusal, HasSubstr("qnn"));
  EXPECT_FALSE(run_target_bench(*fake_.engine, model_, targets("qnn"), options_, no_progress()));
}

TEST_F(BenchTargets, NoTargetAlwaysComesBehindTheSameOne) {
  struct : Progress {
    std::string order;
    bool update(std::string_view what, uint64_t, uint64_t, std::string_view) override {
      if (what.starts_with("round on")) order += fmt::format("{} ", what.substr(9));
      return true;
    }
  } progress;
  options_.rounds = 3;
  ASSERT_TRUE(run_target_bench(*fake_.engine, model_, targets("cpu,cpu:exact,cpu:deterministic"), options_, progress));
  EXPECT_EQ(progress.order, "cpu cpu:exact cpu:deterministic cpu:exact cpu:deterministic cpu cpu:deterministic cpu cpu:exact ");
}

TEST_F(BenchTargets, AStopKeepsWhatWasMeasured) {
  struct : Progress {
    bool update(std::string_view what, uint64_t done, uint64_t, std::string_view) override { return !what.starts_with("round on") || done < 2; }
  } progress;
  options_.rounds = 50;
  const auto bench = run_target_bench(*fake_.engine, model_, targets("cpu,cpu:exact"), options_, progress);
  ASSERT_TRUE(bench);
  EXPECT_TRUE(bench->cancelled);
  EXPECT_EQ(bench->results[1].report.rounds, 2u);
  EXPECT_THAT(*fake_.engine->records()->find({.kind = "bench"}), SizeIs(2));
}

TEST_F(BenchTargets, AStopFlagEndsTheRoundUnderWay) {
  std::atomic<bool> stop{false};
  struct Stopper : Progress {
    explicit Stopper(std::atomic<bool>& flag) : stop(flag) {}
    bool update(std::string_view what, uint64_t done, uint64_t, std::string_view) override {
      if (what.starts_with("round on") && done == 2) stop = true;
      return true;
    }
    std::atomic<bool>& stop;
  } progress(stop);
  options_.rounds = 50;
  options_.stop = &stop;
  const auto bench = run_target_bench(*fake_.engine, model_, targets("cpu,cpu:exact"), options_, progress);
  ASSERT_TRUE(bench);
  EXPECT_TRUE(bench->cancelled);
  EXPECT_EQ(bench->results[0].report.rounds, 2u) << "the third was begun and is not counted";
  EXPECT_EQ(bench->results[0].report.samples.ttft_ms.size(), 2u);
  EXPECT_EQ(bench->results[0].refusal, "");
  EXPECT_EQ(run_target_bench(*fake_.engine, model_, targets("cpu"), options_, no_progress()).error().code, ErrorCode::kCancelled) << "before the first round";
}

TEST_F(BenchTargets, ASingleRunIsRecordedToo) {
  const auto report = run_bench(*fake_.engine, model_, options_, no_progress());
  ASSERT_TRUE(report);
  record_bench(*fake_.engine, model_, *report, options_.open);
  EXPECT_THAT(*fake_.engine->records()->find({.kind = "bench", .target = "fake@cpu:0"}), SizeIs(1));
}

TEST(BenchNumbers, PercentilesAndNoise) {
  EXPECT_EQ(percentile({3, 1, 2}, 0.5), 2);
  EXPECT_EQ(percentile({1, 2}, 0.5), 1.5);
  EXPECT_EQ(percentile({1, 2}, 7), 2);
  EXPECT_TRUE(std::isnan(percentile({}, 0.5)));
  EXPECT_EQ(noise_of({2, 2, 2}), 0);
  EXPECT_TRUE(std::isnan(noise_of({2})));
}

TEST(BenchNumbers, EnergyIsTheSumOfPackagesOrNothing) {
  const TemporaryFolder folder;
  EXPECT_FALSE(rapl_microjoules((folder / "none").string()));
  EXPECT_FALSE(rapl_microjoules(folder.path().string()));
  folder.write("intel-rapl:0/energy_uj", "1000\n");
  folder.write("intel-rapl:1/energy_uj", "500\n");
  folder.write("intel-rapl:0:0/energy_uj", "900\n");
  folder.write("intel-rapl:2/energy_uj", "what");
  EXPECT_EQ(rapl_microjoules(folder.path().string()), 1500u);
}

}  // namespace
}  // namespace accelerate
