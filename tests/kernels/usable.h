// Which instruction sets the tests can run here: executed in a child process, not believed from cpuid. Test support only.
#pragma once

#include <string>

#include <gtest/gtest.h>

#include "accelerate/base/cpu.h"

namespace accelerate::test {

inline constexpr Isa kAllIsas[] = {Isa::kPortable, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Bf16};

/// Empty, or why `isa` cannot run here.
inline std::string why_not_usable(Isa isa) {
  if (isa == Isa::kPortable) return {};
  static const std::vector<IsaProbe> probes = probe_isas();
  const auto need = [&](std::initializer_list<const char*> names) -> std::string {
    for (const char* name : names) {
      bool found = false;
      for (const IsaProbe& probe : probes) {
        if (probe.name != name) continue;
        found = true;
        if (!probe.usable) return std::string(name) + ": " + probe.reason;
      }
      if (!found) return std::string(name) + " is not probed";
    }
    return {};
  };
  if (isa == Isa::kAvx2) return need({"avx2"});
  if (isa == Isa::kAvx512) return need({"avx512f"});
  return need({"avx512f", "avx512_bf16"});
}

}  // namespace accelerate::test

#define ACC_SKIP_UNLESS_USABLE(isa)                                              \
  do {                                                                           \
    if (const std::string why = ::accelerate::test::why_not_usable(isa); !why.empty()) \
      GTEST_SKIP() << ::accelerate::isa_name(isa) << " cannot run here: " << why; \
  } while (false)
