#include <sched.h>
#include <unistd.h>

#include <malloc.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <set>
#include <sstream>

#include "accelerate/base/cpu.h"
#include "accelerate/base/cpu_cgroup.h"

namespace accelerate {
namespace {

std::string read_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// "48K" -> 49152
uint64_t parse_cache_size(const std::string& text) {
  if (text.empty()) return 0;
  uint64_t value = 0;
  std::istringstream(text) >> value;
  if (text.back() == 'K') return value << 10;
  if (text.back() == 'M') return value << 20;
  return value;
}

void read_caches(CpuInfo& info) {
  for (int index = 0; index < 8; ++index) {
    const std::string folder = "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index) + "/";
    const std::string level = read_line(folder + "level");
    if (level.empty()) return;
    const uint64_t bytes = parse_cache_size(read_line(folder + "size"));
    const std::string type = read_line(folder + "type");
    if (level == "1" && type == "Data") info.l1d_bytes = bytes;
    if (level == "2") info.l2_bytes = bytes;
    if (level == "3") info.l3_bytes = bytes;
  }
}

void read_cpuinfo(CpuInfo& info) {
  std::ifstream file("/proc/cpuinfo");
  std::set<std::string> cores;
  std::string package;
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::string key = line.substr(0, line.find_last_not_of(" \t", colon - 1) + 1);
    const std::string value = colon + 2 <= line.size() ? line.substr(colon + 2) : "";
    if (key == "model name" && info.model.empty()) info.model = value;
    if (key == "vendor_id" && info.vendor.empty()) info.vendor = value;
    if (key == "physical id") package = value;
    if (key == "core id") cores.insert(package + ":" + value);
  }
  info.cores_physical = static_cast<uint32_t>(cores.size());
}

std::vector<uint32_t> read_affinity() {
  // Machines with more CPUs than cpu_set_t has bits need a larger set: grow until the kernel is content.
  for (size_t bits = 1024; bits <= (size_t{1} << 16); bits *= 4) {
    cpu_set_t* set = CPU_ALLOC(bits);
    const size_t bytes = CPU_ALLOC_SIZE(bits);
    std::vector<uint32_t> cpus;
    const bool read = sched_getaffinity(0, bytes, set) == 0;
    for (size_t cpu = 0; read && cpu < bits; ++cpu) {
      if (CPU_ISSET_S(cpu, bytes, set)) cpus.push_back(static_cast<uint32_t>(cpu));
    }
    CPU_FREE(set);
    if (read) return cpus;
  }
  return {0};
}

uint64_t status_field_bytes(const char* path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.rfind(key, 0) != 0) continue;
    uint64_t kib = 0;
    std::istringstream(line.substr(key.size())) >> kib;
    return kib << 10;
  }
  return 0;
}

CpuInfo read_once() {
  CpuInfo info;
  read_cpuinfo(info);
  read_caches(info);
  info.cores_logical = static_cast<uint32_t>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)));
  if (info.cores_physical == 0) info.cores_physical = info.cores_logical;  // some virtual machines list no core ids
  info.affinity = read_affinity();
  info.memory_bytes = status_field_bytes("/proc/meminfo", "MemTotal:");
  const CgroupLimits limits = read_cgroup_limits();
  info.quota = limits.cpu_quota;
  info.memory_limit_bytes = limits.memory_bytes;
  info.threads_usable = threads_usable_of(info.affinity.size(), info.quota);
  return info;
}

}  // namespace

uint32_t threads_usable_of(size_t cpus, double quota) {
  const auto threads = static_cast<double>(std::max<size_t>(1, cpus));
  // To the nearest, halves up. Of 2 cores, two threads against one: quota 1.2 prefill +9 %, decode -22 %; 1.5 +39 %, 0 %;
  // 1.8 +68 %, +27 % (bench/results/2026-11-25-amd-epyc-quota.md).
  return static_cast<uint32_t>(quota > 0 ? std::min(threads, std::max(1.0, std::round(quota))) : threads);
}

CpuInfo cpu_info() {
  static const CpuInfo once = read_once();
  CpuInfo info = once;
  info.memory_available_bytes = status_field_bytes("/proc/meminfo", "MemAvailable:");
  const CgroupLimits now = read_cgroup_limits();
  if (now.memory_bytes > 0) {
    const uint64_t left = now.memory_bytes - std::min(now.memory_bytes, now.memory_used_bytes);
    info.memory_available_bytes = std::min(info.memory_available_bytes, left);
  }
  return info;
}

uint64_t resident_peak_bytes() { return status_field_bytes("/proc/self/status", "VmHWM:"); }
void return_freed_memory() {
#ifdef __GLIBC__
  ::malloc_trim(0);  // all arenas: a thread that loaded a model leaves megabytes in its own
#endif
}

void bound_allocator() {
#ifdef __GLIBC__
  ::mallopt(M_ARENA_MAX, static_cast<int>(cpu_info().threads_usable));
#endif
}

uint64_t resident_bytes() { return status_field_bytes("/proc/self/status", "VmRSS:"); }

}  // namespace accelerate
