#include "accelerate/engine/hardware_detect.h"

#include <filesystem>

#include "tests/engine/scratch.h"

namespace accelerate {
namespace {

namespace fs = std::filesystem;

Surroundings bare_linux(const TemporaryFolder& root) {
  Surroundings around;
  around.system = "Linux";
  around.root = root.path();
  around.path = {root / "bin"};
  return around;
}

TEST(HardwareDetect, ABareMachineHasNothing) {
  const TemporaryFolder root;
  const Surroundings around = bare_linux(root);
  for (const char* name : {"max", "cuda", "rocm", "mojo", "openvino", "qnn", "webgpu", "webnn", "torch"}) {
    const Verdict verdict = detect_in(name, around);
    EXPECT_EQ(verdict.state, Verdict::State::kAbsent) << name;
    EXPECT_NE(verdict.reason.find("nothing of it found"), std::string::npos) << verdict.reason;
    EXPECT_FALSE(verdict.how_to_get.empty());
  }
}

TEST(HardwareDetect, AnNvidiaMachineIsSeenButNotClaimed) {
  const TemporaryFolder root;
  Surroundings around = bare_linux(root);
  write_text(root / "dev/nvidia0", "");
  write_text(root / "dev/nvidiactl", "");
  write_text(root / "proc/driver/nvidia/gpus/0000:01:00.0/information", "Model: \t\t NVIDIA H200\nIRQ: 1\n");
  around.libraries = {"libc.so.6", "libcuda.so.1"};
  around.environment["CUDA_VISIBLE_DEVICES"] = "0";
  const Verdict verdict = detect_in("cuda", around);
  EXPECT_EQ(verdict.state, Verdict::State::kBroken);
  ASSERT_EQ(verdict.devices.size(), 1u);
  EXPECT_EQ(verdict.devices[0].name, "NVIDIA H200");
  for (const char* word : {"/dev/nvidia0", "/dev/nvidiactl", "libcuda.so.1", "no cuda backend yet"}) {
    EXPECT_NE(verdict.reason.find(word), std::string::npos) << word << " in " << verdict.reason;
  }
  EXPECT_NE(verdict.evidence.find("CUDA_VISIBLE_DEVICES=0"), std::string::npos);
}

TEST(HardwareDetect, AVariableAloneIsNoEngine) {
  const TemporaryFolder root;
  Surroundings around = bare_linux(root);
  around.environment["ROCM_PATH"] = "/opt/rocm";
  const Verdict verdict = detect_in("rocm", around);
  EXPECT_EQ(verdict.state, Verdict::State::kAbsent);
  EXPECT_NE(verdict.evidence.find("ROCM_PATH=/opt/rocm"), std::string::npos);
}

TEST(HardwareDetect, ExecutablesMustBeExecutable) {
  const TemporaryFolder root;
  const Surroundings around = bare_linux(root);
  write_text(root / "bin/mojo", "#!/bin/sh\n");
  EXPECT_EQ(detect_in("mojo", around).state, Verdict::State::kAbsent);
  fs::permissions(root / "bin/mojo", fs::perms::owner_all);
  const Verdict verdict = detect_in("mojo", around);
  EXPECT_EQ(verdict.state, Verdict::State::kBroken);
  EXPECT_NE(verdict.reason.find((root / "bin/mojo").string()), std::string::npos);
}

TEST(HardwareDetect, PackagesBringTheirVersion) {
  const TemporaryFolder root;
  Surroundings around = bare_linux(root);
  around.packages["openvino"] = "2026.4.1";
  const Verdict verdict = detect_in("openvino", around);
  EXPECT_EQ(verdict.state, Verdict::State::kBroken);
  EXPECT_EQ(verdict.version, "2026.4.1");
}

TEST(HardwareDetect, MetalIsForMacs) {
  const TemporaryFolder root;
  Surroundings around = bare_linux(root);
  around.packages["mlx"] = "0.32.4";
  const Verdict verdict = detect_in("mps", around);
  EXPECT_EQ(verdict.state, Verdict::State::kAbsent);
  EXPECT_NE(verdict.reason.find("Darwin only; this is Linux"), std::string::npos) << verdict.reason;
}

TEST(HardwareDetect, UnknownNamesSaySo) {
  const Verdict verdict = detect_in("abacus", Surroundings{});
  EXPECT_EQ(verdict.state, Verdict::State::kAbsent);
  EXPECT_NE(verdict.reason.find("no hardware name"), std::string::npos);
}

TEST(HardwareDetect, ThisMachineCanBeLookedAt) {
  const Surroundings& around = surroundings();
  EXPECT_EQ(around.system, "Linux");
  EXPECT_FALSE(around.path.empty());
  EXPECT_FALSE(around.libraries.empty()) << "ldconfig -p lists at least libc";
}

}  // namespace
}  // namespace accelerate
