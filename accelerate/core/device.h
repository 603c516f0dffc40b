// Device - a piece of hardware as a backend sees it. Plain data; devices come and go, the backend says so by probing again.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace accelerate {

struct Device {
  std::string kind;                   // "cpu", "cuda", "npu" ...
  uint32_t index = 0;
  std::string name;                   // "AMD EPYC 9B14"
  uint64_t memory_bytes = 0;          // what it may use; 0 = unknown
  std::vector<std::string> features;  // "avx512", "bf16" ...: only what was proven by running it
};

/// "cpu:0"
inline std::string to_string(const Device& device) { return device.kind + ":" + std::to_string(device.index); }

}  // namespace accelerate
