#include "accelerate/engine/hardware.h"
#include "tests/cli/cli_run.h"

namespace accelerate {
namespace {

using Devices = CliTest;

TEST_F(Devices, JsonHasEveryHardwareNameWithAVerdictAndAReason) {
  const CliRun run = cli({"devices", "--json"});
  ASSERT_EQ(run.code, 0) << run.err;
  const Json json = run.json();
  std::vector<std::string> names;
  for (const Json& verdict : json["hardware"]) {
    if (names.empty() || names.back() != verdict["hardware"].get<std::string>()) names.push_back(verdict["hardware"]);
    const bool available = verdict["verdict"] == "available";
    EXPECT_TRUE(available || verdict["reason"] != "") << verdict;
    EXPECT_TRUE(available || verdict["hardware"] != "cpu") << verdict;
  }
  std::vector<std::string> expected;
  for (const HardwareName& hardware : hardware_names()) expected.emplace_back(hardware.name);
  EXPECT_EQ(names, expected);
  EXPECT_FALSE(json["cpu"]["model"].get<std::string>().empty());
  EXPECT_GE(json["cpu"]["threads_usable"].get<int>(), 1);
  EXPECT_FALSE(json["cpu"]["isas"].empty());
  EXPECT_GT(json["memory"]["physical_bytes"].get<uint64_t>(), uint64_t{64} << 20);
  EXPECT_GT(json["measured"]["read_gbytes_per_s"].get<double>(), 0);
  EXPECT_GT(json["measured"]["f32_gflops"].get<double>(), 0);
}

TEST_F(Devices, TextSaysTheSameAndMeasuringCanBeLeftOut) {
  const CliRun run = cli({"devices", "--no-measure"});
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_FALSE(holds(run.out, "GFLOP/s"));
  for (const HardwareName& hardware : hardware_names()) EXPECT_TRUE(holds(run.out, "\n" + std::string(hardware.name))) << hardware.name;
  EXPECT_EQ(cli({"devices", "--no-measure", "--json"}).json()["measured"], nullptr);
}

}  // namespace
}  // namespace accelerate
