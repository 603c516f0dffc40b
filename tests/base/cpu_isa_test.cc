#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "accelerate/base/cpu.h"
#include "accelerate/base/process.h"

namespace accelerate {
namespace {

// The decision falls once per process, so each force runs this binary again, asking for the test below only.
ProcessOutput run_forced(const std::string& isa) {
  const std::string self = std::filesystem::read_symlink("/proc/self/exe");
  const Result<ProcessOutput> output =
      run_process({self, "--gtest_filter=CpuIsa.SaysWhatItDecided"}, {.environment = {std::string(kIsaVariable) + "=" + isa}});
  EXPECT_TRUE(output) << to_string(output.error());
  return output ? *output : ProcessOutput{};
}

TEST(CpuIsa, SaysWhatItDecided) {
  const Result<Isa> isa = usable_isa();
  std::printf("decided: %s\n", isa ? std::string(isa_name(*isa)).c_str() : to_string(isa.error()).c_str());
  const Result<Isa> again = usable_isa();
  ASSERT_EQ(isa.ok(), again.ok());
  if (isa) { EXPECT_EQ(*isa, *again); }
}

// What each family's files are compiled with, by the names of the probes.
const std::map<Isa, std::set<std::string>> kNeeds = {
    {Isa::kPortable, {}},
    {Isa::kAvx2, {"avx2", "fma", "f16c", "bmi2"}},
    {Isa::kAvx512, {"avx2", "fma", "f16c", "bmi2", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni"}},
    {Isa::kAvx512Bf16, {"avx2", "fma", "f16c", "bmi2", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni", "avx512_bf16"}},
};

bool probes_say_usable(Isa isa) {
  const std::vector<IsaProbe> probes = probe_isas();
  const std::set<std::string>& needs = kNeeds.at(isa);
  return std::all_of(needs.begin(), needs.end(), [&](const std::string& name) {
    return std::any_of(probes.begin(), probes.end(), [&](const IsaProbe& probe) { return probe.name == name && probe.usable; });
  });
}

TEST(CpuIsa, EachFamilyCanBeForcedOrSaysThatItCannotRunHere) {
  for (int i = 0; i < kIsaCount; ++i) {
    const Isa isa = static_cast<Isa>(i);
    const ProcessOutput output = run_forced(std::string(isa_name(isa)));
    EXPECT_EQ(output.exit_code, 0) << output.out;
    if (probes_say_usable(isa)) {
      EXPECT_NE(output.out.find("decided: " + std::string(isa_name(isa)) + "\n"), std::string::npos) << output.out;
    } else {
      EXPECT_NE(output.out.find("decided: failed_precondition"), std::string::npos) << output.out;
      EXPECT_NE(output.out.find(isa_name(isa)), std::string::npos) << "names what was asked for: " << output.out;
    }
  }
}

TEST(CpuIsa, AnUnknownNameIsRefusedWithTheNamesThatExist) {
  const ProcessOutput output = run_forced("sse9");
  EXPECT_NE(output.out.find("decided: invalid_argument"), std::string::npos) << output.out;
  for (const char* name : {"portable", "avx2", "avx512", "avx512bf16", "sse9"}) EXPECT_NE(output.out.find(name), std::string::npos) << name;
}

// VDPBF16PS is worth it on AMD only (full rate since Zen 4, half rate on Intel), so elsewhere it has to be forced.
TEST(CpuIsa, UnforcedTheBestFamilyThatRunsWellIsTaken) {
  Isa best = Isa::kPortable;
  for (const Isa isa : {Isa::kAvx2, Isa::kAvx512}) best = probes_say_usable(isa) ? isa : best;
  if (cpu_info().vendor == "AuthenticAMD" && probes_say_usable(Isa::kAvx512Bf16)) best = Isa::kAvx512Bf16;
  const ProcessOutput output = run_forced("");
  EXPECT_NE(output.out.find("decided: " + std::string(isa_name(best)) + "\n"), std::string::npos) << output.out;
}

TEST(CpuIsa, ProbesNeverClaimWhatTheKernelDoesNotList) {
  std::map<std::string, bool> usable;
  for (const IsaProbe& probe : probe_isas()) {
    usable[probe.name] = probe.usable;
    EXPECT_TRUE(probe.advertised || !probe.usable) << probe.name;
    EXPECT_EQ(probe.reason.empty(), probe.usable) << probe.name << ": " << probe.reason;
  }
  // /proc/cpuinfo is the kernel's own view: what it lists and we have a probe for must have run.
  std::string flags;
  if (FILE* file = std::fopen("/proc/cpuinfo", "r")) {
    char line[8192];
    while (std::fgets(line, sizeof line, file)) {
      if (std::string(line).rfind("flags", 0) == 0) flags = " " + std::string(line) + " ";
    }
    std::fclose(file);
  }
  if (flags.empty()) GTEST_SKIP() << "no flags line in /proc/cpuinfo on this architecture";
  std::replace(flags.begin(), flags.end(), '\n', ' ');
  for (const auto& [name, works] : usable) {
    if (name.rfind("amx", 0) == 0) continue;  // listed, but the kernel may refuse permission
    EXPECT_EQ(works, flags.find(" " + name + " ") != std::string::npos) << name;
  }
}

TEST(CpuIsa, NamesAreTheOnesOfTheVariable) {
  EXPECT_EQ(isa_name(Isa::kPortable), "portable");
  EXPECT_EQ(isa_name(Isa::kAvx2), "avx2");
  EXPECT_EQ(isa_name(Isa::kAvx512), "avx512");
  EXPECT_EQ(isa_name(Isa::kAvx512Bf16), "avx512bf16");
}

}  // namespace
}  // namespace accelerate
