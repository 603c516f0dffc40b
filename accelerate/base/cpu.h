// What the CPU of this machine is and what of it we may use.
//
//   const CpuInfo& cpu = cpu_info();             // cpuid, /proc, /sys, cgroup: once, cheap
//   Isa isa = usable_isa();                      // the best kernel family proven by running it, or the forced one
//
// Thread-safe. Nothing is claimed from cpuid alone: probe_isas() executes each family in a child process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "accelerate/base/result.h"

namespace accelerate {

/// Kernel families, worst first. kAvx512Bf16 adds VDPBF16PS where it is faster than FMA.
enum class Isa : uint8_t { kPortable, kAvx2, kAvx512, kAvx512Bf16 };
inline constexpr int kIsaCount = 4;
std::string_view isa_name(Isa isa);  // "portable", "avx2", "avx512", "avx512bf16"

struct CpuInfo {
  std::string model;                     // brand string
  std::string vendor;                    // "AuthenticAMD"
  uint32_t cores_logical = 1;            // online
  uint32_t cores_physical = 1;
  std::vector<uint32_t> affinity;        // CPUs this process may run on
  double quota = 0;                      // cgroup CPU quota in cores; 0 = none
  uint32_t threads_usable = 1;           // min(affinity, max(1, round(quota)))
  uint64_t l1d_bytes = 0, l2_bytes = 0, l3_bytes = 0;  // per instance
  uint64_t memory_bytes = 0;             // physical
  uint64_t memory_limit_bytes = 0;       // cgroup; 0 = none
  uint64_t memory_available_bytes = 0;   // at the time of the call
};
/// Reads everything but memory_available_bytes once.
CpuInfo cpu_info();

/// Threads that may spin on `cpus` CPUs under a quota of `quota` cores (0 = none): min(cpus, max(1, floor(quota))).
uint32_t threads_usable_of(size_t cpus, double quota);

/// One instruction-set extension, for people: what cpuid says and what executing it in a child showed.
struct IsaProbe {
  std::string name;    // "avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8" ...
  bool advertised = false;
  bool usable = false;
  std::string reason;  // why not
};
/// Executes each in a child process (AMX: asks the kernel for permission first). About 1 ms each.
std::vector<IsaProbe> probe_isas();

/// Environment variable that forces a kernel family: IPFS_ACCELERATE_ISA=portable|avx2|avx512|avx512bf16.
inline constexpr const char* kIsaVariable = "IPFS_ACCELERATE_ISA";

/// The family kernels use: the forced one, or the best that this machine runs well. Decided once per process, proven in
/// a child. failed_precondition when a forced family cannot run here, invalid_argument for an unknown name.
Result<Isa> usable_isa();

/// Peak resident memory of this process so far (VmHWM) and now (VmRSS), bytes.
uint64_t resident_peak_bytes();
uint64_t resident_bytes();
/// Gives memory that was freed but kept for later back to the system: after something large went away. Milliseconds.
void return_freed_memory();
/// For a program's main(), before its threads: malloc spreads over as many arenas as CPUs are usable, not eight times as
/// many. Threads come and go with models and connections, and each arena that one was given keeps 2 MiB (a huge page).
void bound_allocator();

}  // namespace accelerate
