// Fingerprint - what a measurement depends on besides the model: the machine as this process may use it, and versions.
//
//   key.fingerprint = device_fingerprint();          // "AMD EPYC 9B14 | avx512 | 2 of 4 CPUs, quota 1.5 | 8 GiB"
//   key.versions = exact_versions("built in");       // "ipfs-accelerate 0.1.0 build 5f2c..., backend built in"
//
// Texts for people; equal texts mean "measured under the same conditions". A change of either means: measure again.
#pragma once

#include <string>
#include <string_view>

#include "accelerate/base/cpu.h"

namespace accelerate {

/// CPU, kernel family, CPUs, quota and memory (the limit where there is one), of this process.
std::string device_fingerprint();
std::string device_fingerprint_of(const CpuInfo& cpu, std::string_view isa);

/// Our release and the backend's: what a speed is compared under.
std::string release_versions(std::string_view backend_version);
/// The same with the build id of this binary (the linker's note; absent where it wrote none): what a proof of rightness
/// is valid for, so that a rebuilt kernel is proven again though the release is the same.
std::string exact_versions(std::string_view backend_version);

}  // namespace accelerate
