#include <algorithm>
#include <bit>
#include <chrono>
#include <cstdlib>

#include <fmt/format.h>

#include "accelerate/base/cpu.h"
#include "accelerate/base/process.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace accelerate {
namespace {

constexpr auto kProbeDeadline = std::chrono::milliseconds(2000);

struct Extension {
  const char* name;
  bool (*advertised)();
  int (*execute)();  // in a child: 0 if one representative instruction ran and gave the right value
};

#if defined(__x86_64__)

#define ACC_TARGET(text) __attribute__((target(text), noinline))

volatile int g_seed = 3;  // keeps the compiler from folding the probes away

ACC_TARGET("sse4.2") int run_sse42() { return _mm_crc32_u32(0, static_cast<unsigned>(g_seed)) == 0 ? 1 : 0; }
ACC_TARGET("avx") int run_avx() {
  const __m256 x = _mm256_add_ps(_mm256_set1_ps(float(g_seed)), _mm256_set1_ps(1));
  return _mm256_cvtss_f32(x) == 4.0f ? 0 : 1;
}
ACC_TARGET("avx2") int run_avx2() {
  const __m256i x = _mm256_mullo_epi32(_mm256_set1_epi32(g_seed), _mm256_set1_epi32(5));
  return _mm256_extract_epi32(x, 7) == 15 ? 0 : 1;
}
ACC_TARGET("fma") int run_fma() {
  const __m256 s = _mm256_set1_ps(float(g_seed));
  return _mm256_cvtss_f32(_mm256_fmadd_ps(s, s, s)) == 12.0f ? 0 : 1;
}
ACC_TARGET("f16c,avx") int run_f16c() {
  return _mm256_cvtss_f32(_mm256_cvtph_ps(_mm_set1_epi16(static_cast<short>(0x4200 + g_seed - 3)))) == 3.0f ? 0 : 1;
}
ACC_TARGET("bmi2") int run_bmi2() { return _pext_u32(0xF0u, static_cast<unsigned>(g_seed) << 4) == 3u ? 0 : 1; }
ACC_TARGET("avx512f") int run_avx512f() {
  const __m512 s = _mm512_set1_ps(float(g_seed));
  return _mm512_reduce_add_ps(_mm512_fmadd_ps(s, s, s)) == 192.0f ? 0 : 1;
}
ACC_TARGET("avx512f,avx512bw") int run_avx512bw() {
  const __m512i s = _mm512_set1_epi16(static_cast<short>(g_seed));
  return _mm512_cmpeq_epi16_mask(_mm512_add_epi16(s, s), _mm512_set1_epi16(6)) == 0xffffffffu ? 0 : 1;
}
ACC_TARGET("avx512f,avx512dq") int run_avx512dq() {
  const __m512i s = _mm512_mullo_epi64(_mm512_set1_epi64(g_seed), _mm512_set1_epi64(7));
  return _mm512_cmpeq_epi64_mask(s, _mm512_set1_epi64(21)) == 0xff ? 0 : 1;
}
ACC_TARGET("avx512f,avx512vl") int run_avx512vl() {
  const __m256i s = _mm256_set1_epi32(g_seed);
  return _mm256_cmpeq_epi32_mask(_mm256_rol_epi32(s, 1), _mm256_set1_epi32(6)) == 0xff ? 0 : 1;
}
ACC_TARGET("avx512f,avx512vnni") int run_avx512_vnni() {
  const __m512i one = _mm512_set1_epi8(1);
  return _mm512_reduce_add_epi32(_mm512_dpbusd_epi32(_mm512_setzero_si512(), one, _mm512_set1_epi8(static_cast<char>(g_seed)))) == 192 ? 0 : 1;
}
ACC_TARGET("avx512f,avx512bf16") int run_avx512_bf16() {
  const __m512bh s = _mm512_cvtne2ps_pbh(_mm512_set1_ps(float(g_seed)), _mm512_set1_ps(float(g_seed)));
  return _mm512_reduce_add_ps(_mm512_dpbf16_ps(_mm512_setzero_ps(), s, s)) == 288.0f ? 0 : 1;
}

ACC_TARGET("avx512f,avx512cd") int run_avx512cd() {
  return _mm512_cmpeq_epi32_mask(_mm512_lzcnt_epi32(_mm512_set1_epi32(g_seed)), _mm512_set1_epi32(30)) == 0xffff ? 0 : 1;
}
ACC_TARGET("avx512f,avx512bw,avx512vl,avx512fp16") int run_avx512_fp16() {
  const __m512h s = _mm512_castsi512_ph(_mm512_set1_epi16(static_cast<short>(0x4200 + g_seed - 3)));  // 3.0
  return _mm512_cmpeq_epi16_mask(_mm512_castph_si512(_mm512_fmadd_ph(s, s, s)), _mm512_set1_epi16(0x4a00)) == 0xffffffffu ? 0 : 1;
}
ACC_TARGET("avx2,avxvnni") int run_avx_vnni() {
  const __m256i sums = _mm256_dpbusd_avx_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(1), _mm256_set1_epi8(static_cast<char>(g_seed)));
  return _mm256_extract_epi32(sums, 7) == 12 ? 0 : 1;
}

// AMX state is 8 KiB a thread, so Linux gives it only to those who ask: arch_prctl(ARCH_REQ_XCOMP_PERM, XTILEDATA).
bool amx_permitted() {
  constexpr int kArchRequestPermission = 0x1023, kTileData = 18;
  return syscall(SYS_arch_prctl, kArchRequestPermission, kTileData) == 0;
}
struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t column_bytes[16] = {};
  uint8_t rows[16] = {};
};
// Multiplies two tiles filled with one byte; the 256 sums of 32 bits must all be `expected`.
template <class Multiply>
ACC_TARGET("amx-tile") int run_amx(const Multiply& multiply, const uint8_t (&fill)[2], uint32_t expected) {
  if (!amx_permitted()) return 2;
  TileConfig config;
  for (int i = 0; i < 3; ++i) { config.column_bytes[i] = 64; config.rows[i] = 16; }
  alignas(64) uint8_t a[1024], b[1024];
  alignas(64) uint32_t c[256];
  for (size_t i = 0; i < sizeof a; ++i) a[i] = b[i] = fill[i % 2];
  asm volatile("" ::"r"(&config), "r"(a), "r"(b), "r"(c) : "memory");
  _tile_loadconfig(&config);
  _tile_zero(0);
  _tile_loadd(1, a, 64);
  _tile_loadd(2, b, 64);
  multiply();
  _tile_stored(0, c, 64);
  _tile_release();
  asm volatile("" ::: "memory");
  return std::all_of(c, c + 256, [&](uint32_t sum) { return sum == expected; }) ? 0 : 1;
}
constexpr uint8_t kBytesOfThree[2] = {3, 3};
constexpr uint8_t kBf16One[2] = {0x80, 0x3f};
int run_amx_tile() { return run_amx([] {}, kBytesOfThree, 0); }
int run_amx_int8() { return run_amx([]() ACC_TARGET("amx-tile,amx-int8") { _tile_dpbssd(0, 1, 2); }, kBytesOfThree, 64 * 9); }
int run_amx_bf16() {
  return run_amx([]() ACC_TARGET("amx-tile,amx-bf16") { _tile_dpbf16ps(0, 1, 2); }, kBf16One, std::bit_cast<uint32_t>(32.0f));
}

// One feature bit of cpuid; false where the CPU does not have the leaf (asm alone would answer with another leaf).
bool cpuid_bit(uint32_t leaf, uint32_t subleaf, char which, int bit) {
  uint32_t a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid_count(leaf, subleaf, &a, &b, &c, &d)) return false;
  const uint32_t value = which == 'a' ? a : which == 'b' ? b : which == 'c' ? c : d;
  return value >> bit & 1;
}
bool leaf7(uint32_t subleaf, char which, int bit) { return cpuid_bit(7, subleaf, which, bit); }

constexpr Extension kExtensions[] = {
    {"sse4_2", [] { return cpuid_bit(1, 0, 'c', 20); }, run_sse42},
    {"avx", [] { return cpuid_bit(1, 0, 'c', 28); }, run_avx},
    {"avx2", [] { return leaf7(0, 'b', 5); }, run_avx2},
    {"fma", [] { return cpuid_bit(1, 0, 'c', 12); }, run_fma},
    {"f16c", [] { return cpuid_bit(1, 0, 'c', 29); }, run_f16c},
    {"bmi2", [] { return leaf7(0, 'b', 8); }, run_bmi2},
    {"avx512f", [] { return leaf7(0, 'b', 16); }, run_avx512f},
    {"avx512dq", [] { return leaf7(0, 'b', 17); }, run_avx512dq},
    {"avx512bw", [] { return leaf7(0, 'b', 30); }, run_avx512bw},
    {"avx512vl", [] { return leaf7(0, 'b', 31); }, run_avx512vl},
    {"avx512cd", [] { return leaf7(0, 'b', 28); }, run_avx512cd},
    {"avx512_vnni", [] { return leaf7(0, 'c', 11); }, run_avx512_vnni},
    {"avx512_bf16", [] { return leaf7(1, 'a', 5); }, run_avx512_bf16},
    {"avx512_fp16", [] { return leaf7(0, 'd', 23); }, run_avx512_fp16},
    {"avx_vnni", [] { return leaf7(1, 'a', 4); }, run_avx_vnni},
    {"amx_tile", [] { return leaf7(0, 'd', 24); }, run_amx_tile},
    {"amx_int8", [] { return leaf7(0, 'd', 25); }, run_amx_int8},
    {"amx_bf16", [] { return leaf7(0, 'd', 22); }, run_amx_bf16},
};

// What each kernel family's files are compiled with (cmake/isa.cmake): all of it has to run.
int run_family_avx2() { return run_avx2() | run_fma() | run_f16c() | run_bmi2(); }
int run_family_avx512() {
  return run_family_avx2() | run_avx512f() | run_avx512bw() | run_avx512dq() | run_avx512vl() | run_avx512_vnni();
}
int run_family_avx512bf16() { return run_family_avx512() | run_avx512_bf16(); }
constexpr int (*kFamilies[kIsaCount])() = {nullptr, run_family_avx2, run_family_avx512, run_family_avx512bf16};

// VDPBF16PS: full rate on AMD since Zen 4; every second cycle on Intel, where it measured
// 0.107 TFLOP/s a thread against 0.220 of float FMA (Granite Rapids).
bool bf16_dot_beats_fma() { return cpu_info().vendor == "AuthenticAMD"; }

#else

constexpr Extension kExtensions[] = {{"none", [] { return false; }, nullptr}};
constexpr int (*kFamilies[kIsaCount])() = {nullptr, nullptr, nullptr, nullptr};
bool bf16_dot_beats_fma() { return false; }

#endif

bool family_runs(Isa isa) {
  if (isa == Isa::kPortable) return true;
  const auto run = kFamilies[static_cast<size_t>(isa)];
  return run && run_in_child(run, kProbeDeadline).ok();
}

Result<Isa> forced_isa(std::string_view name) {
  std::string names;
  for (int i = 0; i < kIsaCount; ++i) {
    const Isa isa = static_cast<Isa>(i);
    if (isa_name(isa) != name) {
      names += fmt::format(" {}", isa_name(isa));
      continue;
    }
    if (family_runs(isa)) return isa;
    return Error{ErrorCode::kFailedPrecondition,
                 fmt::format("[cpu] {} forces a kernel family that this machine can run; got '{}', whose probe failed; try {}=avx2 or unset it",
                             kIsaVariable, name, kIsaVariable)};
  }
  return Error{ErrorCode::kInvalidArgument, fmt::format("[cpu] {} is one of{}; got '{}'", kIsaVariable, names, name)};
}

Result<Isa> decide_isa() {
  if (const char* forced = std::getenv(kIsaVariable); forced && *forced) return forced_isa(forced);
  if (bf16_dot_beats_fma() && family_runs(Isa::kAvx512Bf16)) return Isa::kAvx512Bf16;
  for (const Isa isa : {Isa::kAvx512, Isa::kAvx2}) {
    if (family_runs(isa)) return isa;
  }
  return Isa::kPortable;
}

}  // namespace

std::string_view isa_name(Isa isa) {
  static constexpr std::string_view kNames[kIsaCount] = {"portable", "avx2", "avx512", "avx512bf16"};
  CHECK(static_cast<int>(isa) < kIsaCount, "isa outside the table");
  return kNames[static_cast<size_t>(isa)];
}

Result<Isa> usable_isa() {
  static const Result<Isa> once = decide_isa();
  return once;
}

std::vector<IsaProbe> probe_isas() {
  std::vector<IsaProbe> probes;
  for (const Extension& extension : kExtensions) {
    IsaProbe probe{.name = extension.name, .advertised = extension.advertised(), .usable = false, .reason = "cpuid does not list it"};
    if (probe.advertised) {
      const ChildOutcome outcome = run_in_child(extension.execute, kProbeDeadline);
      probe.usable = outcome.ok();
      probe.reason = outcome.ok()                ? ""
                     : outcome.timed_out         ? "executing it did not end in time"
                     : outcome.signal != 0       ? fmt::format("executing it ended with signal {}{}", outcome.signal, outcome.signal == 4 ? " (SIGILL)" : "")
                     : outcome.exit_code == 2    ? "the kernel refused permission (arch_prctl)"
                                                 : "executing it gave a wrong result";
    }
    probes.push_back(std::move(probe));
  }
  return probes;
}

}  // namespace accelerate
