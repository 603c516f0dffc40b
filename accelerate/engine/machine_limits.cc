// What this machine can do at most, so that a speed can be told as a share of it. Read bandwidth: threads sum their own
// part of a buffer several times the size of the last cache, so every byte comes from memory. Arithmetic: the float32
// matmul of our own kernels on operands that stay in the second cache. It is what our code reaches, so a share of 100 %
// means "as good as our best case", not the peak of the data sheet (which needs hand-placed FMA chains and no loads).
#include <algorithm>
#include <chrono>
#include <cstring>
#include <vector>

#include "accelerate/base/buffer.h"
#include "accelerate/base/cpu.h"
#include "accelerate/base/log.h"
#include "accelerate/base/thread_pool.h"
#include "accelerate/engine/bench.h"
#include "accelerate/kernels/kernel_table.h"

namespace accelerate {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kSecondsEach = 0.45;
constexpr uint64_t kReadBytesMin = uint64_t{64} << 20, kReadBytesMax = uint64_t{1} << 30;
// 256 x 256 x 256 float32: three operands of 256 KiB, small enough for the second cache of any CPU of the last ten years.
constexpr uint32_t kMatmulSide = 256;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

/// Four sums in flight: one chain of dependent additions would be slower than memory.
uint64_t sum_words(const uint64_t* words, size_t count) {
  uint64_t sums[16] = {};
  const size_t whole = count & ~size_t{15};
  for (size_t i = 0; i < whole; i += 16) {
    for (size_t lane = 0; lane < 16; ++lane) sums[lane] += words[i + lane];
  }
  uint64_t total = 0;
  for (const uint64_t sum : sums) total += sum;
  for (size_t i = whole; i < count; ++i) total += words[i];
  return total;
}

/// Best of the passes that fit into kSecondsEach; 0 where no buffer can be had.
double read_gbytes_per_s(ThreadPool& pool) {
  const CpuInfo cpu = cpu_info();
  const uint64_t wanted = std::clamp<uint64_t>(4 * cpu.l3_bytes, kReadBytesMin, kReadBytesMax);
  const uint64_t bytes = std::min<uint64_t>(wanted, cpu.memory_available_bytes / 8) / 4096 * 4096;
  Result<Buffer> buffer = Buffer::allocate(bytes);
  if (bytes == 0 || !buffer) {
    log_warning("[bench] no memory for the bandwidth measurement: it is unavailable");
    return 0;
  }
  const size_t words = bytes / sizeof(uint64_t);
  std::vector<uint64_t> sums(pool.size() * 8);  // one cache line each
  auto share = [&](const PoolWorker& worker, auto&& body) {
    const size_t begin = words * worker.index / worker.count, end = words * (worker.index + 1) / worker.count;
    body(buffer->as<uint64_t>() + begin, end - begin);
  };
  // Written first: untouched pages are all one zero page, which would be read from the cache.
  pool.run([&](const PoolWorker& worker) {
    share(worker, [&](uint64_t* part, size_t count) { std::memset(part, 1, count * sizeof(uint64_t)); });
  });
  double best = 0;
  const Clock::time_point begin = Clock::now();
  do {
    const Clock::time_point pass = Clock::now();
    pool.run([&](const PoolWorker& worker) {
      share(worker, [&](const uint64_t* part, size_t count) { sums[worker.index * 8] += sum_words(part, count); });
    });
    best = std::max(best, static_cast<double>(bytes) / seconds_since(pass) / 1e9);
  } while (seconds_since(begin) < kSecondsEach);
  CHECK(sums[0] != 0, "the sums are used, so the reads cannot be optimized away");
  return best;
}

double f32_gflops(ThreadPool& pool) {
  const Result<Isa> isa = usable_isa();
  if (!isa) {
    log_warning(isa.error().message);
    return 0;
  }
  const KernelTable& kernels = native_kernels(*isa);
  constexpr uint32_t n = kMatmulSide;
  const std::vector<float> source(size_t{n} * n, 0.5f);
  Result<PackedMatrix> weight = PackedMatrix::allocate(WeightFormat::kF32, n, n);
  const auto unavailable = [] {
    log_warning("[bench] no memory for the arithmetic measurement: it is unavailable");
    return 0.0;
  };
  if (!weight) return unavailable();
  pack_rows(*weight, reinterpret_cast<const std::byte*>(source.data()), 0, n);
  std::vector<double> flops(pool.size() * 8);
  const Clock::time_point begin = Clock::now();
  pool.run([&](const PoolWorker& worker) {  // every thread its own product: no sharing, no barriers
    const std::vector<float> x(size_t{n} * n, 0.25f);
    std::vector<float> out(size_t{n} * n);
    Result<Buffer> scratch = Buffer::allocate(std::max<size_t>(matmul_scratch_bytes(n, n), 64));
    if (!scratch) return;
    const MatmulInput input{.x = x.data(), .x_stride = n, .m = n, .k = n, .mode = MatmulMode::kExact};
    const MatmulTask task{.weight = &*weight, .bias = nullptr, .input = input, .prepared = scratch->data(),
                          .out = out.data(), .out_stride = n, .add = false};
    do {
      kernels.matmul_prepare(input, scratch->data(), 0, n);
      kernels.matmul(task, 0, n);
      flops[worker.index * 8] += 2.0 * n * n * n;
    } while (seconds_since(begin) < kSecondsEach);
  });
  double total = 0;
  for (uint32_t worker = 0; worker < pool.size(); ++worker) {
    if (flops[worker * 8] == 0) return unavailable();  // a thread without its scratch would make the machine look slower
    total += flops[worker * 8];
  }
  return total / seconds_since(begin) / 1e9;
}

}  // namespace

MachineLimits measure_machine(uint32_t threads) {
  ThreadPool pool({.threads = std::clamp<uint32_t>(threads, 1, ThreadPool::kThreadsMax)});
  MachineLimits limits;
  limits.threads = pool.size();
  limits.read_gbytes_per_s = read_gbytes_per_s(pool);
  limits.f32_gflops = f32_gflops(pool);
  return limits;
}

}  // namespace accelerate
