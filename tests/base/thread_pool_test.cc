#include "accelerate/base/thread_pool.h"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "accelerate/base/cpu.h"
#include "accelerate/base/process.h"

namespace accelerate {
namespace {

using namespace std::chrono_literals;

// Regions and barriers as a model uses them: what one worker wrote before a barrier, every other reads behind it.
void pass_values_around(ThreadPool& pool, uint32_t regions, uint32_t barriers) {
  const uint32_t count = pool.size();
  std::vector<uint32_t> values(count, 0);  // plain: the barrier alone orders them, and TSan watches
  std::atomic<uint32_t> wrong{0};
  for (uint32_t region = 0; region < regions; ++region) {
    pool.run([&](const PoolWorker& worker) {
      for (uint32_t round = 0; round < barriers; ++round) {
        values[worker.index] = region * barriers + round + worker.index;
        worker.barrier();
        const uint32_t other = (worker.index + 1 + round) % worker.count;
        if (values[other] != region * barriers + round + other) ++wrong;
        worker.barrier();
      }
    });
    ASSERT_EQ(wrong, 0u) << "region " << region;
  }
}

TEST(ThreadPool, EveryWorkerRunsOnceAndKnowsItsPlace) {
  for (const uint32_t threads : {1u, 2u, 3u, 8u}) {
    ThreadPool pool({.threads = threads});
    EXPECT_EQ(pool.size(), threads);
    std::vector<std::atomic<int>> runs(threads);
    std::thread::id caller;
    pool.run([&](const PoolWorker& worker) {
      EXPECT_EQ(worker.count, threads);
      if (worker.index == 0) caller = std::this_thread::get_id();
      ++runs[worker.index];
    });
    for (uint32_t i = 0; i < threads; ++i) EXPECT_EQ(runs[i], 1) << i;
    EXPECT_EQ(caller, std::this_thread::get_id()) << "the caller is worker 0";
  }
}

TEST(ThreadPool, AHundredThousandRegionsWithBarriers) {
  ThreadPool pool({.threads = std::clamp(cpu_info().threads_usable, 2u, 4u)});
  pass_values_around(pool, 100'000, 2);
}

TEST(ThreadPool, MoreThreadsThanCpus) {
  ThreadPool pool({.threads = cpu_info().threads_usable * 4 + 1});
  pass_values_around(pool, 300, 3);
}

TEST(ThreadPool, WakesFromParkingEveryTime) {
  for (const uint32_t threads : {2u, cpu_info().threads_usable + 1}) {  // spinning first; parking at once
    ThreadPool pool({.threads = threads});
    for (const auto pause : {0us, 50us, 90us, 99us, 100us, 101us, 110us, 150us, 500us, 3000us}) {
      for (int i = 0; i < 60; ++i) {
        pass_values_around(pool, 1, 2);
        const auto until = std::chrono::steady_clock::now() + pause;  // sleeping would add tens of us and miss the moment
        while (std::chrono::steady_clock::now() < until) {}
      }
    }
  }
}

TEST(ThreadPool, IdleWorkersUseNoCpu) {
  ThreadPool pool({.threads = 3});
  pool.run([](const PoolWorker&) {});
  std::this_thread::sleep_for(20ms);
  const std::clock_t before = std::clock();  // CPU time of the whole process
  std::this_thread::sleep_for(300ms);
  const double used_ms = 1000.0 * double(std::clock() - before) / CLOCKS_PER_SEC;
  EXPECT_LT(used_ms, 50) << "two spinning workers would have used 600";
}

TEST(ThreadPool, SeveralCallersTakeTurns) {
  ThreadPool pool({.threads = 2});
  std::atomic<int> inside{0}, overlaps{0}, total{0};
  std::vector<std::thread> callers;
  for (int t = 0; t < 4; ++t) {
    callers.emplace_back([&] {
      for (int i = 0; i < 500; ++i) {
        pool.run([&](const PoolWorker& worker) {
          if (worker.index == 0 && inside.fetch_add(1) != 0) ++overlaps;
          worker.barrier();
          ++total;
          worker.barrier();
          if (worker.index == 0) --inside;
        });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(overlaps, 0);
  EXPECT_EQ(total, 4 * 500 * 2);
}

TEST(ThreadPool, SeveralPoolsSideBySide) {
  std::vector<std::thread> callers;
  for (int t = 0; t < 3; ++t) {
    callers.emplace_back([] {
      ThreadPool pool({.threads = 2});
      pass_values_around(pool, 200, 2);
    });
  }
  for (std::thread& caller : callers) caller.join();
}

TEST(ThreadPool, UnequalWork) {
  ThreadPool pool({.threads = 3, .pin = false});
  std::atomic<uint64_t> sum{0};
  for (int i = 0; i < 50; ++i) {
    pool.run([&](const PoolWorker& worker) {
      if (worker.index == static_cast<uint32_t>(i) % 3) std::this_thread::sleep_for(1ms);
      worker.barrier();
      sum += worker.index;
    });
  }
  EXPECT_EQ(sum, 50u * 3);
}

TEST(ThreadPool, ThreadsEndWithThePool) {
  const auto threads = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/task"), {});
  };
  const auto before = threads();
  for (int i = 0; i < 20; ++i) {
    ThreadPool pool({.threads = 5});
    if (i % 2 == 0) pool.run([](const PoolWorker& worker) { worker.barrier(); });
    EXPECT_EQ(threads(), before + 4);
  }
  EXPECT_EQ(threads(), before);
}

TEST(ThreadPool, ARefusedThreadMakesASmallerPool) {
  const ChildOutcome outcome = run_in_child([] {
    // No address space for stacks: pthread_create answers EAGAIN, as it does at a container's limit of processes. Stacks
    // are large, so that what is left between two of them suffices for everything else (a sanitizer's own needs).
    constexpr size_t kStackBytes = size_t{1} << 30;
    pthread_attr_t large;
    if (pthread_attr_init(&large) != 0 || pthread_attr_setstacksize(&large, kStackBytes) != 0 || pthread_setattr_default_np(&large) != 0) return 2;
    size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    const rlim_t limit = pages * static_cast<size_t>(::sysconf(_SC_PAGESIZE)) + kStackBytes * 5 / 2;
    const rlimit small{limit, limit};
    if (pages == 0 || ::setrlimit(RLIMIT_AS, &small) != 0) return 2;
    ThreadPool pool({.threads = ThreadPool::kThreadsMax});
    std::atomic<uint32_t> runs{0}, count{0};
    pool.run([&](const PoolWorker& worker) { ++runs; count = worker.count; worker.barrier(); });
    return pool.size() < ThreadPool::kThreadsMax && runs == pool.size() && count == pool.size() ? 0 : 1;
  }, 60s);
  EXPECT_TRUE(outcome.ok()) << outcome.exit_code << " signal " << outcome.signal;
}

// The figure is for people: 0.2 us where the CPUs are ours, whatever it is on a shared machine.
TEST(ThreadPool, ABarrierIsNoSystemCall) {
  constexpr int kBarriers = 500, kRounds = 40;  // short rounds: on a busy machine some still pass undisturbed
  ThreadPool pool({.threads = std::max(2u, cpu_info().threads_usable)});
  double best_us = 1e9;
  for (int round = 0; round < kRounds; ++round) {
    const auto start = std::chrono::steady_clock::now();
    pool.run([](const PoolWorker& worker) { for (int i = 0; i < kBarriers; ++i) worker.barrier(); });
    best_us = std::min(best_us, std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count() / kBarriers);
  }
  std::printf("barrier of %u threads: %.3f us\n", pool.size(), best_us);
  if (cpu_info().threads_usable > 1) { EXPECT_LT(best_us, 50) << "spinning meets in under a microsecond; a futex takes tens"; }
}

TEST(ThreadPoolDeathTest, TheNumberOfThreadsHasBounds) {
  EXPECT_DEATH(ThreadPool({.threads = 0}), "CHECK failed");
  EXPECT_DEATH(ThreadPool({.threads = ThreadPool::kThreadsMax + 1}), "CHECK failed");
}

}  // namespace
}  // namespace accelerate
