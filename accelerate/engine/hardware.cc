#include "accelerate/engine/hardware.h"

#include "accelerate/engine/hardware_detect.h"

namespace accelerate {

std::span<const HardwareName> hardware_names() {
  static constexpr HardwareName kNames[] = {
      {"max", "Modular MAX graphs"},
      {"cuda", "NVIDIA GPUs through CUDA"},
      {"rocm", "AMD GPUs through ROCm"},
      {"mps", "Apple GPUs through Metal"},
      {"mojo", "Mojo kernels on this CPU"},
      {"openvino", "Intel CPUs, GPUs and NPUs through OpenVINO"},
      {"qnn", "Qualcomm NPUs through QNN"},
      {"webgpu", "GPUs through WebGPU"},
      {"webnn", "a browser's neural network API"},
      {"cpu", "native kernels on this CPU"},
      {"torch", "PyTorch"},
  };
  return kNames;
}

Verdict detect_unserved(std::string_view name) { return detect_in(name, surroundings()); }

}  // namespace accelerate
