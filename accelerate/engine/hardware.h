// Hardware - the names users type for a set of Targets, with the default priority as one table.
//
//   for (const HardwareName& h : hardware_names()) print(h.name, h.title);
#pragma once

#include <span>
#include <string_view>

#include "accelerate/core/backend.h"

namespace accelerate {

struct HardwareName {
  std::string_view name;   // "cuda"
  std::string_view title;  // "NVIDIA GPUs through CUDA"
};
/// In default priority order: max cuda rocm mps mojo openvino qnn webgpu webnn cpu torch. "auto" is not in it.
std::span<const HardwareName> hardware_names();

/// What can be seen of `name` from outside where no backend serves it: executables, device files, libraries, packages.
/// The state is never kAvailable (nothing was run); reason and how_to_get are filled.
Verdict detect_unserved(std::string_view name);

}  // namespace accelerate
