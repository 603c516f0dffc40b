#include "accelerate/base/thread_pool.h"

#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "accelerate/base/check.h"
#include "accelerate/base/cpu.h"
#include "accelerate/base/cpu_pause.h"
#include "accelerate/base/log.h"

namespace accelerate {
namespace {

constexpr size_t kCacheLineBytes = 64;
// After so many pauses (some microseconds) a waiter yields: where threads outnumber the CPUs granted, the one waited for
// may be off its CPU, and spinning would only keep it there.
constexpr uint32_t kPausesBeforeYield = 2048;
constexpr uint32_t kPausesBeforeYieldCrowded = 16;

class Spinner {
 public:
  explicit Spinner(uint32_t pauses_max) : pauses_left_(pauses_max) {}
  void wait() {
    if (pauses_left_ == 0) {
      sched_yield();
      return;
    }
    --pauses_left_;
    cpu_pause();
  }

 private:
  uint32_t pauses_left_;
};

struct alignas(kCacheLineBytes) Flag {
  std::atomic<uint32_t> value{0};
};

}  // namespace

struct ThreadPool::State {
  uint32_t count = 1;              // the caller included
  uint32_t pauses_max = kPausesBeforeYield;
  std::mutex run_mutex;
  const std::function<void(const PoolWorker&)>* body = nullptr;  // published by `region`
  Flag region;                    // counts regions; workers wait for it to move
  Flag sleepers;                  // workers parked on `region`
  Flag stopping;
  std::vector<Flag> finished;     // by worker: regions done
  std::vector<Flag> arrived;      // by worker: barriers entered; each worker writes its own line only
  std::vector<std::thread> threads;

  void wait_for_region(uint32_t seen);
  void worker_loop(ThreadPool& pool, uint32_t index, int cpu);
};

// Spins for kSpinMicroseconds, then parks in the kernel until notified.
void ThreadPool::State::wait_for_region(uint32_t seen) {
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::microseconds(kSpinMicroseconds);
  for (uint32_t i = 0;; ++i) {
    if (region.value.load(std::memory_order_acquire) != seen) return;
    if (pauses_max == kPausesBeforeYieldCrowded) break;  // the CPU we would spin on is somebody's
    cpu_pause();
    if (i % 64 == 63 && std::chrono::steady_clock::now() > give_up) break;
  }
  // Both orders are sequentially consistent: either we see the new region, or run() sees a sleeper and notifies.
  sleepers.value.fetch_add(1);
  while (region.value.load() == seen) region.value.wait(seen);
  sleepers.value.fetch_sub(1);
}

void ThreadPool::State::worker_loop(ThreadPool& pool, uint32_t index, int cpu) {
  if (cpu >= 0) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    pthread_setaffinity_np(pthread_self(), sizeof set, &set);  // refused in some containers: then the kernel places us
  }
  PoolWorker worker;
  worker.index = index;
  worker.pool_ = &pool;
  for (uint32_t seen = 0;;) {
    wait_for_region(seen);
    seen = region.value.load(std::memory_order_acquire);
    if (stopping.value.load(std::memory_order_acquire)) return;
    worker.count = count;
    (*body)(worker);
    finished[index].value.store(seen, std::memory_order_release);
  }
}

ThreadPool::ThreadPool(const Options& options) : state_(std::make_unique<State>()) {
  CHECK(options.threads >= 1 && options.threads <= kThreadsMax, "a pool has 1..kThreadsMax threads");
  State& state = *state_;
  state.count = options.threads;
  state.finished = std::vector<Flag>(state.count);
  state.arrived = std::vector<Flag>(state.count);
  const CpuInfo cpu = cpu_info();
  const std::vector<uint32_t>& cpus = cpu.affinity;
  if (state.count > cpu.threads_usable) state.pauses_max = kPausesBeforeYieldCrowded;
  // The caller is worker 0 and stays where the kernel has it, so the others leave the first CPU to it.
  const bool pin = options.pin && state.count > 1 && state.count <= cpus.size();
  for (uint32_t index = 1; index < state.count; ++index) {
    try {
      state.threads.emplace_back([this, index, place = pin ? static_cast<int>(cpus[index]) : -1] { state_->worker_loop(*this, index, place); });
    } catch (const std::system_error& problem) {
      log_warning(fmt::format("[base] a pool of {} threads has {}: the system refused the next one: {}", options.threads, index, problem.what()));
      state.count = index;  // the workers read it when their first region begins
    }
  }
}

ThreadPool::~ThreadPool() {
  State& state = *state_;
  state.stopping.value.store(1, std::memory_order_release);
  state.region.value.fetch_add(1);
  state.region.value.notify_all();
  for (std::thread& thread : state.threads) thread.join();
}

uint32_t ThreadPool::size() const { return state_->count; }

void ThreadPool::run(const std::function<void(const PoolWorker&)>& body) {
  State& state = *state_;
  std::lock_guard lock(state.run_mutex);
  PoolWorker caller;
  caller.count = state.count;
  caller.pool_ = this;
  if (state.count == 1) {
    body(caller);
    return;
  }
  state.body = &body;
  const uint32_t region = state.region.value.fetch_add(1) + 1;
  if (state.sleepers.value.load() > 0) state.region.value.notify_all();
  body(caller);
  for (uint32_t index = 1; index < state.count; ++index) {
    for (Spinner spinner(state.pauses_max); state.finished[index].value.load(std::memory_order_acquire) != region;) spinner.wait();
  }
}

// One line per worker: everybody raises its own and reads all others', so no line is written by two.
void PoolWorker::barrier() const {
  if (count == 1) return;
  ThreadPool::State& state = *static_cast<ThreadPool*>(pool_)->state_;
  std::vector<Flag>& arrived = state.arrived;
  const uint32_t mine = arrived[index].value.load(std::memory_order_relaxed) + 1;
  arrived[index].value.store(mine, std::memory_order_release);
  for (uint32_t other = 0; other < count; ++other) {
    if (other == index) continue;
    for (Spinner spinner(state.pauses_max); static_cast<int32_t>(arrived[other].value.load(std::memory_order_acquire) - mine) < 0;) spinner.wait();
  }
}

}  // namespace accelerate
