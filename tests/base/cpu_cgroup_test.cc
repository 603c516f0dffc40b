#include "accelerate/base/cpu_cgroup.h"

#include <gtest/gtest.h>

#include "tests/temporary.h"

namespace accelerate {
namespace {

class CpuCgroup : public testing::Test {
 protected:
  void put(const std::string& path, const std::string& text) { folder_.write(path, text); }
  CgroupLimits read() { return read_cgroup_limits(folder_.path().string()); }

  TemporaryFolder folder_;
};

TEST_F(CpuCgroup, NothingReadableIsNoLimit) {
  const CgroupLimits limits = read();
  EXPECT_EQ(limits.cpu_quota, 0);
  EXPECT_EQ(limits.memory_bytes, 0u);
}

TEST_F(CpuCgroup, V2OfThisGroup) {
  put("proc/self/cgroup", "0::/app\n");
  put("sys/fs/cgroup/app/cpu.max", "150000 100000\n");
  put("sys/fs/cgroup/app/memory.max", "1048576\n");
  put("sys/fs/cgroup/app/memory.current", "700000\n");
  put("sys/fs/cgroup/app/memory.stat", "anon 1\ninactive_file 200000\nactive_file 5\n");
  const CgroupLimits limits = read();
  EXPECT_DOUBLE_EQ(limits.cpu_quota, 1.5);
  EXPECT_EQ(limits.memory_bytes, 1048576u);
  EXPECT_EQ(limits.memory_used_bytes, 500000u);  // file cache is given back under pressure
}

TEST_F(CpuCgroup, V2MaxIsNoLimit) {
  put("proc/self/cgroup", "0::/app\n");
  put("sys/fs/cgroup/app/cpu.max", "max 100000\n");
  put("sys/fs/cgroup/app/memory.max", "max\n");
  const CgroupLimits limits = read();
  EXPECT_EQ(limits.cpu_quota, 0);
  EXPECT_EQ(limits.memory_bytes, 0u);
}

TEST_F(CpuCgroup, TheTightestGroupOnTheWayToTheRootCounts) {
  put("proc/self/cgroup", "0::/slice/pod/app\n");
  put("sys/fs/cgroup/slice/pod/app/cpu.max", "400000 100000\n");
  put("sys/fs/cgroup/slice/pod/cpu.max", "250000 100000\n");
  put("sys/fs/cgroup/slice/cpu.max", "max 100000\n");
  put("sys/fs/cgroup/slice/pod/app/memory.max", "9000\n");
  put("sys/fs/cgroup/slice/memory.max", "5000\n");
  put("sys/fs/cgroup/slice/memory.current", "4000\n");
  const CgroupLimits limits = read();
  EXPECT_DOUBLE_EQ(limits.cpu_quota, 2.5);
  EXPECT_EQ(limits.memory_bytes, 5000u);
  EXPECT_EQ(limits.memory_used_bytes, 4000u);
}

TEST_F(CpuCgroup, AContainerThatSeesOnlyItsOwnRoot) {
  put("proc/self/cgroup", "0::/host/path/not/mounted/here\n");
  put("sys/fs/cgroup/cpu.max", "300000 100000\n");
  EXPECT_DOUBLE_EQ(read().cpu_quota, 3.0);
}

TEST_F(CpuCgroup, V1Controllers) {
  put("proc/self/cgroup", "12:cpuset:/x\n5:cpu,cpuacct:/docker/1\n4:memory:/docker/1\n1:name=systemd:/docker/1\n");
  put("sys/fs/cgroup/cpu/docker/1/cpu.cfs_quota_us", "50000\n");
  put("sys/fs/cgroup/cpu/docker/1/cpu.cfs_period_us", "100000\n");
  put("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  put("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  put("sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes", "2000000\n");
  put("sys/fs/cgroup/memory/docker/1/memory.usage_in_bytes", "1500000\n");
  put("sys/fs/cgroup/memory/docker/1/memory.stat", "total_inactive_file 2000000\n");
  put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  const CgroupLimits limits = read();
  EXPECT_DOUBLE_EQ(limits.cpu_quota, 0.5);
  EXPECT_EQ(limits.memory_bytes, 2000000u);
  EXPECT_EQ(limits.memory_used_bytes, 0u);  // never below zero
}

TEST_F(CpuCgroup, NonsenseIsNoLimit) {
  put("proc/self/cgroup", "garbage\n0:\n0::/app\n::\n");
  put("sys/fs/cgroup/app/cpu.max", "-5 0\n");
  put("sys/fs/cgroup/app/memory.max", "lots\n");
  const CgroupLimits limits = read();
  EXPECT_EQ(limits.cpu_quota, 0);
  EXPECT_EQ(limits.memory_bytes, 0u);
}

TEST_F(CpuCgroup, V1JointHierarchyWithoutItsLink) {
  put("proc/self/cgroup", "5:cpu,cpuacct:/\n");
  put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "200000\n");
  put("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  EXPECT_DOUBLE_EQ(read().cpu_quota, 2.0);
}

}  // namespace
}  // namespace accelerate
