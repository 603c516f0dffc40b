#include "accelerate/base/cpu_cgroup.h"

#include <algorithm>
#include <fstream>
#include <sstream>

namespace accelerate {
namespace {

std::string read_text(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  if (file) text << file.rdbuf();
  return text.str();
}

// No value for "max", for nothing, and for v1's "no limit", a number near 2^63.
uint64_t parse_bytes(const std::string& text) {
  if (text.empty() || text[0] < '0' || text[0] > '9') return 0;
  uint64_t value = 0;
  std::istringstream(text) >> value;
  return value >= (uint64_t{1} << 60) ? 0 : value;
}

uint64_t stat_field(const std::string& text, const std::string& key) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind(key + " ", 0) == 0) return parse_bytes(line.substr(key.size() + 1));
  }
  return 0;
}

void tighten_quota(CgroupLimits& limits, double quota) {
  if (quota > 0 && (limits.cpu_quota == 0 || quota < limits.cpu_quota)) limits.cpu_quota = quota;
}

void tighten_memory(CgroupLimits& limits, uint64_t bytes, uint64_t used, uint64_t reclaimable) {
  if (bytes == 0 || (limits.memory_bytes != 0 && bytes >= limits.memory_bytes)) return;
  limits.memory_bytes = bytes;
  limits.memory_used_bytes = used - std::min(used, reclaimable);
}

void read_v2(const std::string& folder, CgroupLimits& limits) {
  std::istringstream cpu(read_text(folder + "/cpu.max"));
  double quota_us = 0, period_us = 0;
  if (cpu >> quota_us >> period_us && period_us > 0) tighten_quota(limits, quota_us / period_us);
  tighten_memory(limits, parse_bytes(read_text(folder + "/memory.max")), parse_bytes(read_text(folder + "/memory.current")),
                 stat_field(read_text(folder + "/memory.stat"), "inactive_file"));
}

void read_v1_cpu(const std::string& folder, CgroupLimits& limits) {
  std::istringstream quota_text(read_text(folder + "/cpu.cfs_quota_us")), period_text(read_text(folder + "/cpu.cfs_period_us"));
  double quota_us = 0, period_us = 0;
  if (quota_text >> quota_us && period_text >> period_us && quota_us > 0 && period_us > 0) tighten_quota(limits, quota_us / period_us);
}

void read_v1_memory(const std::string& folder, CgroupLimits& limits) {
  tighten_memory(limits, parse_bytes(read_text(folder + "/memory.limit_in_bytes")), parse_bytes(read_text(folder + "/memory.usage_in_bytes")),
                 stat_field(read_text(folder + "/memory.stat"), "total_inactive_file"));
}

// Calls visit for `path` and each of its parents under `mount`.
template <class Visit>
void walk_up(const std::string& mount, std::string path, const Visit& visit) {
  while (true) {
    visit(mount + (path == "/" ? "" : path));
    if (path.empty() || path == "/") return;
    path.resize(path.find_last_of('/') == std::string::npos ? 0 : path.find_last_of('/'));
    if (path.empty()) path = "/";
  }
}

bool has_controller(const std::string& list, const std::string& name) {
  return ("," + list + ",").find("," + name + ",") != std::string::npos;
}

}  // namespace

CgroupLimits read_cgroup_limits(const std::string& root) {
  CgroupLimits limits;
  std::istringstream lines(read_text(root + "/proc/self/cgroup"));
  const std::string mount = root + "/sys/fs/cgroup";
  for (std::string line; std::getline(lines, line);) {  // "0::/path" or "4:memory:/path"
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1), path = line.substr(second + 1);
    if (controllers.empty()) walk_up(mount, path, [&](const std::string& folder) { read_v2(folder, limits); });
    // A joint hierarchy is mounted as "cpu,cpuacct", mostly but not always with "cpu" as a link to it.
    if (has_controller(controllers, "cpu")) {
      for (const std::string& name : {std::string("cpu"), controllers}) {
        walk_up(mount + "/" + name, path, [&](const std::string& folder) { read_v1_cpu(folder, limits); });
      }
    }
    if (has_controller(controllers, "memory")) walk_up(mount + "/memory", path, [&](const std::string& folder) { read_v1_memory(folder, limits); });
  }
  return limits;
}

}  // namespace accelerate
