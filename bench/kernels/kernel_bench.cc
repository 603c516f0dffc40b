// kernel_bench - speed of the matmul and attention kernels at the shapes of the default models, beside what the machine can do.
//
//   kernel_bench [--isa NAME] [--threads N] [--formats Q4_1,Q8_0] [--rows 1,8,512] [--mode default|exact] [--seconds S] [--shape PART] [--cached 1]
//
// One line per case: median and best GFLOP/s, GB/s of weights, and the median's share of the limit that binds: read bandwidth
// for few rows, multiply-add rate for many. Weights rotate over copies beyond the last-level cache, as in a real model. One
// thread is timed by its processor time, more by the wall clock.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <immintrin.h>

#include "accelerate/kernels/kernel_table.h"
#include "accelerate/kernels/quantize/dequantize.h"

namespace {

using namespace accelerate;
using Clock = std::chrono::steady_clock;

constexpr size_t kRotationBytes = size_t{128} << 20;  // weights cycled through: more than this class of machine caches

struct Options {
  Isa isa = Isa::kPortable;
  uint32_t threads = 2;
  std::vector<std::string> formats{"Q4_1", "Q4_0", "Q8_0", "Q4_K", "F16"};
  std::vector<uint32_t> rows{1, 4, 8, 32, 128, 512};
  MatmulMode mode = MatmulMode::kDefault;
  double seconds = 0.4;  // per case
  bool small = false;
};
struct Shape {
  const char* name;
  uint32_t n, k;
};
constexpr Shape kShapes[] = {{"smollm2 q", 576, 576}, {"smollm2 gate", 1536, 576}, {"smollm2 down", 576, 1536}, {"smollm2 head", 49152, 576},
                             {"minilm qkv", 384, 384}, {"minilm up", 1536, 384}, {"minilm down", 384, 1536}};

/// Runs body(thread) on every thread at once, repeatedly, and keeps seconds per repetition.
struct Crew {
  explicit Crew(uint32_t count) : count_(count) {
    for (uint32_t i = 1; i < count; ++i) threads_.emplace_back([this, i] { work(i); });
  }
  ~Crew() {
    stop_ = true;
    ++generation_;
  }
  void run(const std::function<void(uint32_t)>& body) {
    body_ = &body;
    pending_ = count_ - 1;
    ++generation_;
    body(0);
    while (pending_ != 0) _mm_pause();
  }

 private:
  void work(uint32_t index) {
    for (uint32_t seen = 0;;) {
      while (generation_ == seen) _mm_pause();
      seen = generation_;
      if (stop_) return;
      (*body_)(index);
      --pending_;
    }
  }
  uint32_t count_;
  const std::function<void(uint32_t)>* body_ = nullptr;
  std::atomic<uint32_t> generation_{0}, pending_{0};
  std::atomic<bool> stop_{false};
  std::vector<std::jthread> threads_;
};

struct Times {
  double median, best;
};
bool g_processor_time = false;  // one thread: time on the processor, so that neighbours' turns do not count

double now_s() {
  timespec t;
  clock_gettime(g_processor_time ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

Times measure(double seconds, const std::function<void()>& body) {
  std::vector<double> samples;
  body();
  const auto begin = Clock::now();
  while (samples.size() < 7 || std::chrono::duration<double>(Clock::now() - begin).count() < seconds) {
    const double t = now_s();
    body();
    samples.push_back(now_s() - t);
    if (samples.size() > 100000) break;
  }
  std::sort(samples.begin(), samples.end());
  return {samples[samples.size() / 2], samples[0]};
}

[[gnu::target("avx512f")]] double fma_512(uint64_t count) {
  __m512 sums[24];
  for (auto& sum : sums) sum = _mm512_set1_ps(1);
  __m512 a = _mm512_set1_ps(1.0001f), b = _mm512_set1_ps(0.9999f);
  asm volatile("" : "+v"(a), "+v"(b));
  for (uint64_t i = 0; i < count; ++i)
#pragma GCC unroll 24
    for (auto& sum : sums) sum = _mm512_fmadd_ps(sum, a, b);
  for (auto& sum : sums) asm volatile("" : : "v"(sum));
  return static_cast<double>(count) * 24 * 32;
}
[[gnu::target("avx512f,avx512bf16")]] double dot_512(uint64_t count) {
  __m512 sums[24];
  for (auto& sum : sums) sum = _mm512_set1_ps(1);
  __m512i a = _mm512_set1_epi32(0x3f803f80);
  asm volatile("" : "+v"(a));
  for (uint64_t i = 0; i < count; ++i)
#pragma GCC unroll 24
    for (auto& sum : sums) sum = _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)a);
  for (auto& sum : sums) asm volatile("" : : "v"(sum));
  return static_cast<double>(count) * 24 * 64;
}
[[gnu::target("avx2,fma")]] double fma_256(uint64_t count) {
  __m256 sums[12];
  for (auto& sum : sums) sum = _mm256_set1_ps(1);
  __m256 a = _mm256_set1_ps(1.0001f), b = _mm256_set1_ps(0.9999f);
  asm volatile("" : "+x"(a), "+x"(b));
  for (uint64_t i = 0; i < count; ++i)
#pragma GCC unroll 12
    for (auto& sum : sums) sum = _mm256_fmadd_ps(sum, a, b);
  for (auto& sum : sums) asm volatile("" : : "x"(sum));
  return static_cast<double>(count) * 12 * 16;
}
[[gnu::target("avx2")]] void read_bytes(const std::byte* from, size_t bytes) {
  __m256i sums[4] = {};
  for (size_t i = 0; i < bytes; i += 128) {
    _mm_prefetch(reinterpret_cast<const char*>(from + i + 2304), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(from + i + 2368), _MM_HINT_T0);
    for (int j = 0; j < 4; ++j) sums[j] = _mm256_xor_si256(sums[j], _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + i + 32 * j)));
  }
  for (auto& sum : sums) asm volatile("" : : "x"(sum));
}

struct Limits {
  double flops, bytes;
};
Limits machine_limits(const Options& options, Crew& crew) {
  Limits limits{0, 0};
  auto buffer = Buffer::allocate(size_t{256} << 20);
  if (!buffer.ok()) return limits;
  for (size_t i = 0; i < buffer->size(); i += 4096) buffer->data()[i] = std::byte{1};
  const size_t part = (size_t{256} << 20) / options.threads / 128 * 128;
  const Times read = measure(0.5, [&] { crew.run([&](uint32_t t) { read_bytes(buffer->data() + t * part, part - 4096); }); });
  limits.bytes = static_cast<double>(part * options.threads) / read.best;
  double work = 0;
  const bool dot = options.isa == Isa::kAvx512Bf16 && options.mode == MatmulMode::kDefault;
  const auto kernel = options.isa == Isa::kPortable || options.isa == Isa::kAvx2 ? fma_256 : dot ? dot_512 : fma_512;
  const Times compute = measure(0.3, [&] { crew.run([&](uint32_t t) { const double w = kernel(20000); if (t == 0) work = w; }); });
  limits.flops = work * options.threads / compute.best;
  return limits;
}

WeightFormat format_named(const std::string& name) {
  const char* names[] = {"F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K"};
  for (int i = 0; i < 11; ++i) if (name == names[i]) return static_cast<WeightFormat>(i);
  fmt::print(stderr, "unknown format {}\n", name);
  std::exit(2);
}

void bench_case(const Options& options, const Shape& shape, const std::string& format_name, const Limits& limits, Crew& crew) {
  const WeightFormat format = format_named(format_name);
  if (shape.k % weight_format_traits(format).block_elements != 0) return;
  const size_t bytes = PackedMatrix::bytes_needed(format, shape.n, shape.k);
  const size_t copies = options.small ? 1 : std::max<size_t>(1, kRotationBytes / bytes);
  std::vector<PackedMatrix> weights;
  for (size_t i = 0; i < copies; ++i) {
    auto matrix = PackedMatrix::allocate(format, shape.n, shape.k);
    if (!matrix.ok()) return fmt::print(stderr, "{}\n", to_string(matrix.error()));
    for (size_t at = 0; at + 4 <= bytes; at += 4) {  // any bits but NaN and denormals: 0x2c.. halves and floats are small normals
      const uint32_t value = 0x2c2c2c2cu ^ static_cast<uint32_t>((at * 2654435761u >> 9) & 0x00ff00ffu);
      std::memcpy(matrix->data() + at, &value, 4);
    }
    weights.push_back(std::move(*matrix));
  }
  const KernelTable& table = native_kernels(options.isa);
  for (uint32_t m : options.rows) {
    std::vector<float> x(size_t{m} * shape.k, 0.5f), out(size_t{m} * shape.n);
    auto scratch = Buffer::allocate(matmul_scratch_bytes(m, shape.k));
    if (!scratch.ok()) return;
    const MatmulInput input{x.data(), shape.k, m, shape.k, options.mode};
    const uint32_t strips = (shape.n + 31) / 32;
    size_t next = 0;
    const uint32_t calls = static_cast<uint32_t>(std::clamp<size_t>(size_t{1} << 22, bytes * m / 4, size_t{1} << 22) * 2 / (bytes * std::max(1u, m / 4)) + 1);
    const Times times = measure(options.seconds, [&] {
      for (uint32_t call = 0; call < calls; ++call) {
        const MatmulTask task{&weights[next++ % copies], nullptr, input, scratch->data(), out.data(), shape.n, false};
        crew.run([&](uint32_t t) { table.matmul_prepare(input, scratch->data(), m * t / options.threads, m * (t + 1) / options.threads); });
        crew.run([&](uint32_t t) {
          table.matmul(task, 32 * (strips * t / options.threads), std::min(shape.n, 32 * (strips * (t + 1) / options.threads)));
        });
      }
    });
    const double flops = 2.0 * m * shape.n * shape.k * calls, read = static_cast<double>(bytes) * calls;
    const double share_flops = flops / times.median / limits.flops, share_bytes = read / times.median / limits.bytes;
    fmt::print("{:13} {:5} {:>5} x {:>4} m {:>4}  {:7.1f} GFLOP/s (best {:7.1f})  {:6.1f} GB/s (best {:6.1f})  {:5.1f} % of {}\n", shape.name,
               format_name, shape.n, shape.k, m, flops / times.median * 1e-9, flops / times.best * 1e-9, read / times.median * 1e-9,
               read / times.best * 1e-9, 100 * std::max(share_flops, share_bytes), share_flops > share_bytes ? "peak FLOP/s" : "read bandwidth");
  }
}

struct AttentionCase {
  const char* name;
  uint32_t heads, kv_heads, width, rows, length;
};
constexpr AttentionCase kAttentionCases[] = {
    {"smollm2 prefill", 9, 3, 64, 512, 512}, {"smollm2 decode", 9, 3, 64, 1, 128},  {"smollm2 decode", 9, 3, 64, 1, 1024},
    {"smollm2 decode", 9, 3, 64, 1, 4096},   {"gemma3 decode", 4, 1, 256, 1, 1024}, {"minilm encode", 12, 12, 32, 128, 128}};

/// One layer of one sequence; threads take query heads, as the host does. Layers rotate so that K and V come from memory.
void bench_attention(const Options& options, const AttentionCase& shape, uint32_t half, const Limits& limits, Crew& crew) {
  const KernelTable& table = native_kernels(options.isa);
  const KvLayout layout{shape.kv_heads, shape.width, half != 0};
  const size_t pages = (shape.length + kKvPageTokens - 1) / kKvPageTokens, layer = pages * kv_page_bytes(layout);
  const size_t layers = shape.rows > 1 || options.small ? 1 : kRotationBytes / layer;
  auto memory = Buffer::allocate(layers * layer);
  if (!memory.ok()) return;
  for (size_t i = 0; i < layers * layer; i += 2) memory->data()[i + 1] = std::byte{0x2c};  // small normals as f16 and as f32
  std::vector<std::vector<const std::byte*>> tables(layers);
  for (size_t l = 0; l < layers; ++l) for (size_t i = 0; i < pages; ++i) tables[l].push_back(memory->data() + l * layer + i * kv_page_bytes(layout));
  const size_t row_width = size_t{shape.heads} * shape.width;
  std::vector<float> q(shape.rows * row_width, 0.5f), out(q.size());
  AttentionTask task{layout, q.data(), row_width, out.data(), row_width, shape.rows, shape.length - shape.rows, nullptr, shape.length,
                     shape.heads, 0.125f, 0, std::strstr(shape.name, "minilm") == nullptr, 0};
  const size_t scratch_bytes = (attention_scratch_bytes(task) + 63) / 64 * 64;
  std::vector<std::byte> scratch(options.threads * scratch_bytes);
  const uint32_t calls = shape.rows > 1 ? 1 : static_cast<uint32_t>(layers);
  const Times times = measure(options.seconds, [&] {
    for (uint32_t call = 0; call < calls; ++call) {
      task.pages = tables[call % layers].data();
      crew.run([&](uint32_t t) {
        table.attention(task, shape.heads * t / options.threads, shape.heads * (t + 1) / options.threads, scratch.data() + t * scratch_bytes);
      });
    }
  });
  const double seen = task.causal ? shape.length - 0.5 * (shape.rows - 1) : shape.length;  // positions a row sees, on average
  const double flops = 4.0 * shape.rows * seen * static_cast<double>(row_width) * calls;
  const double read = 2.0 * shape.length * shape.kv_heads * shape.width * (half ? 2 : 4) * calls;
  const double share_flops = flops / times.median / limits.flops, share_bytes = read / times.median / limits.bytes;
  fmt::print("{:15} {} rows {:>4} length {:>4}  {:7.1f} GFLOP/s (best {:7.1f})  {:6.1f} GB/s (best {:6.1f})  {:5.1f} % of {}\n", shape.name,
             half ? "f16" : "f32", shape.rows, shape.length, flops / times.median * 1e-9, flops / times.best * 1e-9,
             read / times.median * 1e-9, read / times.best * 1e-9, 100 * std::max(share_flops, share_bytes),
             share_flops > share_bytes ? "peak FLOP/s" : "read bandwidth");
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  auto isa = usable_isa();
  if (isa.ok()) options.isa = *isa;
  std::string only;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string flag = argv[i], value = argv[i + 1];
    if (flag == "--isa") {
      for (int j = 0; j < kIsaCount; ++j) if (value == isa_name(static_cast<Isa>(j))) options.isa = static_cast<Isa>(j);
    } else if (flag == "--threads") options.threads = static_cast<uint32_t>(std::atoi(value.c_str()));
    else if (flag == "--formats") options.formats = split(value);
    else if (flag == "--mode") options.mode = value == "exact" ? MatmulMode::kExact : MatmulMode::kDefault;
    else if (flag == "--seconds") options.seconds = std::atof(value.c_str());
    else if (flag == "--shape") only = value;
    else if (flag == "--cached") options.small = value == "1";
    else if (flag == "--rows") {
      options.rows.clear();
      for (const std::string& part : split(value)) options.rows.push_back(static_cast<uint32_t>(std::atoi(part.c_str())));
    } else {
      fmt::print(stderr, "unknown option {}\n", flag);
      return 2;
    }
  }
  Crew crew(options.threads);
  g_processor_time = options.threads == 1;
  const Limits limits = machine_limits(options, crew);
  fmt::print("{}, {} threads: {:.1f} GFLOP/s, {:.1f} GB/s\n", isa_name(options.isa), options.threads, limits.flops * 1e-9, limits.bytes * 1e-9);
  for (const Shape& shape : kShapes) {
    if (!only.empty() && std::string(shape.name).find(only) == std::string::npos) continue;
    for (const std::string& format : options.formats) bench_case(options, shape, format, limits, crew);
  }
  for (const AttentionCase& shape : kAttentionCases) {
    const std::string name = std::string(shape.name) + " attention";
    if (!only.empty() && name.find(only) == std::string::npos) continue;
    for (uint32_t half : {0u, 1u}) bench_attention(options, shape, half, limits, crew);
  }
}
