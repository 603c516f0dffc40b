// CPU quota and memory limit of the control groups this process is in (v2, then v1), the tightest on the way to the root.
#pragma once

#include <cstdint>
#include <string>

namespace accelerate {

struct CgroupLimits {
  double cpu_quota = 0;             // cores; 0 = none
  uint64_t memory_bytes = 0;        // 0 = none
  uint64_t memory_used_bytes = 0;   // of the group with that limit, without its reclaimable file cache
};

/// Reads /proc/self/cgroup and the mounted hierarchies; `root` is put before both, for tests. Never fails: what cannot be
/// read is no limit.
CgroupLimits read_cgroup_limits(const std::string& root = "");

}  // namespace accelerate
