// cpu_pause - tells the core that this is a spin loop, so that it saves power and leaves the memory pipeline at once.
#pragma once

namespace accelerate {

inline void cpu_pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace accelerate
