// ThreadPool - threads that walk one region together: they spin while work is coming and park when idle.
//
//   ThreadPool pool({.threads = 2});
//   pool.run([&](const PoolWorker& worker) {
//     do_my_share(worker.index, worker.count);
//     worker.barrier();
//     next_op(...);
//   });
//
// The caller is worker 0. Spinning meets in about 0.2 us, parking costs a futex (tens of us), so workers park only after
// kSpinMicroseconds without work. Threads are pinned to the CPUs of the process's affinity mask where they are as many
// as the pool; with more threads than CPUs granted, waiting yields instead of spinning. Where the system refuses a
// thread the pool is smaller than asked for (size()) and says so in the log. run() may be called from any thread, one at
// a time (calls queue on a mutex). `body` must not throw.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace accelerate {

class PoolWorker {
 public:
  uint32_t index = 0, count = 1;
  /// All workers of the region meet here. Every worker must make the same sequence of barrier calls.
  void barrier() const;

 private:
  friend class ThreadPool;
  void* pool_ = nullptr;
};

class ThreadPool {
 public:
  static constexpr uint32_t kThreadsMax = 256;
  static constexpr uint32_t kSpinMicroseconds = 100;

  struct Options {
    uint32_t threads = 1;  // the caller included; 1..kThreadsMax
    bool pin = true;
  };
  explicit ThreadPool(const Options& options);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  uint32_t size() const;
  /// Runs body on all workers and returns when all are done.
  void run(const std::function<void(const PoolWorker&)>& body);

 private:
  friend class PoolWorker;
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace accelerate
