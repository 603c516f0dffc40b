#include <gtest/gtest.h>
#include <malloc.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <barrier>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "accelerate/base/cpu.h"
#include "accelerate/base/process.h"

namespace accelerate {
namespace {

TEST(CpuInfo, AgreesWithTheSystem) {
  const CpuInfo cpu = cpu_info();
  EXPECT_EQ(cpu.cores_logical, static_cast<uint32_t>(sysconf(_SC_NPROCESSORS_ONLN)));
  EXPECT_GE(cpu.cores_physical, 1u);
  EXPECT_LE(cpu.cores_physical, cpu.cores_logical);
  cpu_set_t set;
  ASSERT_EQ(sched_getaffinity(0, sizeof set, &set), 0);
  ASSERT_EQ(cpu.affinity.size(), static_cast<size_t>(CPU_COUNT(&set)));
  for (const uint32_t one : cpu.affinity) EXPECT_TRUE(CPU_ISSET(one, &set)) << one;
  const auto pages = static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)), page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  EXPECT_NEAR(static_cast<double>(cpu.memory_bytes), static_cast<double>(pages * page), 0.01 * static_cast<double>(pages * page));
  EXPECT_GT(cpu.memory_available_bytes, 0u);
  EXPECT_LE(cpu.memory_available_bytes, cpu.memory_bytes);
}

TEST(CpuInfo, ThreadsUsableObeysAffinityAndQuota) {
  const CpuInfo cpu = cpu_info();
  EXPECT_EQ(cpu.threads_usable, threads_usable_of(cpu.affinity.size(), cpu.quota));
  EXPECT_EQ(threads_usable_of(8, 0), 8u);
  EXPECT_EQ(threads_usable_of(8, 3.9), 4u);
  EXPECT_EQ(threads_usable_of(8, 3.4), 3u);
  EXPECT_EQ(threads_usable_of(2, 1.5), 2u) << "throttled together, but not slower than one in anything";
  EXPECT_EQ(threads_usable_of(2, 1.2), 1u) << "two would decode a fifth slower";
  EXPECT_EQ(threads_usable_of(2, 0.1), 1u);
  EXPECT_EQ(threads_usable_of(2, 64), 2u);
  EXPECT_EQ(threads_usable_of(2, 1e18), 2u);
  EXPECT_EQ(threads_usable_of(0, 0), 1u);
}

TEST(CpuInfo, NamesTheProcessor) {
  const Result<ProcessOutput> grep = run_process({"grep", "-m1", "model name", "/proc/cpuinfo"});
  ASSERT_TRUE(grep.ok());
  if (grep->exit_code != 0) GTEST_SKIP() << "/proc/cpuinfo of this architecture has no model name";
  EXPECT_NE(grep->out.find(cpu_info().model), std::string::npos) << cpu_info().model;
  EXPECT_FALSE(cpu_info().vendor.empty());
}

TEST(CpuInfo, ResidentMemoryIsSeenGrowing) {
  const uint64_t before = resident_bytes();
  std::vector<char> block(32 << 20, 1);
  EXPECT_GE(resident_bytes(), before + (16 << 20)) << block[5];
  EXPECT_GE(resident_peak_bytes(), before + (16 << 20));
}

TEST(CpuInfo, TheAllocatorStaysInItsBounds) {
  bound_allocator();
  constexpr int kThreads = 32;
  std::barrier all_hold(kThreads);  // an arena is free again when its thread ends: they live side by side
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      const auto held = std::make_unique<char[]>(1000);
      held[1] = 1;
      all_hold.arrive_and_wait();
    });
  }
  for (std::thread& thread : threads) thread.join();
  char* text = nullptr;
  size_t size = 0;
  FILE* stream = ::open_memstream(&text, &size);
  ASSERT_EQ(::malloc_info(0, stream), 0);
  std::fclose(stream);
  size_t arenas = 0;
  for (const char* at = text; (at = std::strstr(at, "<heap nr=")) != nullptr; ++at) ++arenas;
  std::free(text);
  EXPECT_LE(arenas, std::max(cpu_info().threads_usable, 1u) + 1) << "0 under a sanitizer's allocator";
}

TEST(CpuInfo, FreedMemoryGoesBack) {
  std::vector<std::unique_ptr<char[]>> pieces;
  for (int i = 0; i < 32'000; ++i) {
    pieces.push_back(std::make_unique<char[]>(1000));  // small: from malloc's lists, not maps of their own
    pieces.back()[500] = 1;
  }
  const auto last = std::make_unique<char[]>(1000);    // holds the end of the heap in place
  const uint64_t before = resident_bytes();
  const bool of_glibc = mallinfo2().uordblks >= 32'000'000;  // a sanitizer brings an allocator of its own
  pieces.clear();
  return_freed_memory();
  if (of_glibc) {
    EXPECT_LT(resident_bytes() + (16 << 20), before) << last[0];
  }
}

}  // namespace
}  // namespace accelerate
