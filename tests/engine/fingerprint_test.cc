#include "accelerate/engine/fingerprint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace accelerate {
namespace {

using ::testing::HasSubstr;

TEST(Fingerprint, WhatAMeasurementDependsOnChangesIt) {
  const CpuInfo base{.model = "A CPU", .cores_logical = 8, .affinity = {0, 1, 2, 3}, .quota = 1.5, .memory_bytes = uint64_t{8} << 30};
  const std::string text = device_fingerprint_of(base, "avx2");
  EXPECT_EQ(text, "A CPU | avx2 | 4 of 8 CPUs, quota 1.50 | 8.0 GiB");
  EXPECT_NE(device_fingerprint_of(base, "avx512"), text);
  CpuInfo other = base;
  other.quota = 0;
  EXPECT_EQ(device_fingerprint_of(other, "avx2"), "A CPU | avx2 | 4 of 8 CPUs | 8.0 GiB");
  other = base;
  other.memory_limit_bytes = uint64_t{2} << 30;
  EXPECT_THAT(device_fingerprint_of(other, "avx2"), HasSubstr("2.0 GiB"));
  other = base;
  other.affinity = {0};
  EXPECT_NE(device_fingerprint_of(other, "avx2"), text);
}

TEST(Fingerprint, OfThisMachineIsStable) {
  EXPECT_EQ(device_fingerprint(), device_fingerprint());
  EXPECT_THAT(device_fingerprint(), HasSubstr("GiB"));
}

TEST(Fingerprint, VersionsNameOursAndTheBackends) {
  EXPECT_THAT(release_versions("2.7"), HasSubstr("backend 2.7"));
  EXPECT_THAT(release_versions(""), HasSubstr("without version"));
  EXPECT_THAT(exact_versions("2.7"), ::testing::StartsWith(release_versions("2.7")));
  EXPECT_THAT(exact_versions("2.7"), ::testing::ContainsRegex("build [0-9a-f]{16}")) << "this toolchain writes a build id";
}

}  // namespace
}  // namespace accelerate
