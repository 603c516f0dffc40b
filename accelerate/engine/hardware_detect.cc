#include "accelerate/engine/hardware_detect.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>

#include <sys/utsname.h>
#include <unistd.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "accelerate/base/process.h"

namespace accelerate {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string_view>;

/// The signs of one hardware name. `engine` signs show something to run on; variables only point at places.
struct Signs {
  std::string_view name, system;  // system: the only one it exists on, or ""
  Words executables;
  Words devices;    // of /dev: exact names, or prefixes ending in '*'
  Words libraries;  // prefixes of file names
  Words packages;
  Words variables;
  std::string_view how_to_get;
};

const std::vector<Signs>& all_signs() {
  static const std::vector<Signs> signs = {
      {"max", "", {"max"}, {}, {"libmax.so"}, {"max", "max-core", "modular"}, {"MAX_HOME", "MODULAR_HOME"}, "pip install max"},
      {"cuda", "", {"nvidia-smi", "nvcc"}, {"nvidia*"}, {"libcuda.so"}, {}, {"CUDA_VISIBLE_DEVICES", "CUDA_HOME"},
       "an NVIDIA GPU and its driver"},
      {"rocm", "", {"rocminfo", "rocm-smi", "hipcc"}, {"kfd"}, {"libamdhip64.so"}, {}, {"ROCM_PATH", "HIP_VISIBLE_DEVICES"},
       "an AMD GPU and ROCm"},
      {"mps", "Darwin", {}, {}, {}, {"mlx"}, {}, "a Mac with an Apple GPU"},
      {"mojo", "", {"mojo"}, {}, {}, {"mojo", "mojo-compiler"}, {"MOJO_HOME", "MODULAR_HOME"}, "pip install mojo"},
      {"openvino", "", {}, {"accel*"}, {"libopenvino.so", "libopenvino_c.so"}, {"openvino"}, {"INTEL_OPENVINO_DIR"},
       "pip install openvino"},
      {"qnn", "", {"qnn-net-run"}, {}, {"libQnnHtp.so", "libQnnSystem.so"}, {"onnxruntime-qnn"}, {"QNN_SDK_ROOT"},
       "pip install onnxruntime onnxruntime-qnn"},
      {"webgpu", "", {"chromium", "google-chrome", "firefox"}, {}, {"libwebgpu_dawn", "libwgpu_native"},
       {"wgpu", "onnxruntime-webgpu"}, {}, "a browser with WebGPU, or pip install wgpu"},
      {"webnn", "", {"chromium", "google-chrome"}, {}, {}, {}, {}, "a Chromium built with a WebNN backend"},
      {"cpu", "", {}, {}, {}, {}, {}, "a build with the cpu backend"},
      {"torch", "", {}, {}, {"libtorch_cpu.so"}, {"torch"}, {}, "pip install torch"},
  };
  return signs;
}

bool matches(std::string_view name, std::string_view pattern) {
  if (pattern.ends_with('*')) return name.starts_with(pattern.substr(0, pattern.size() - 1));
  return name == pattern;
}

void look_for_executables(const Signs& signs, const Surroundings& around, std::vector<std::string>& seen) {
  for (const std::string_view name : signs.executables) {
    for (const fs::path& folder : around.path) {
      const fs::path candidate = folder / name;
      std::error_code error;
      if (!fs::is_regular_file(candidate, error) || ::access(candidate.c_str(), X_OK) != 0) continue;
      seen.push_back(candidate.string());
      break;
    }
  }
}

void look_for_devices(const Signs& signs, const Surroundings& around, std::vector<std::string>& seen) {
  if (signs.devices.empty()) return;
  std::set<std::string> found;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(around.root / "dev", error)) {
    const std::string name = entry.path().filename().string();
    if (std::any_of(signs.devices.begin(), signs.devices.end(), [&](std::string_view p) { return matches(name, p); })) {
      found.insert("/dev/" + name);
    }
  }
  seen.insert(seen.end(), found.begin(), found.end());
}

void look_for_libraries(const Signs& signs, const Surroundings& around, std::vector<std::string>& seen) {
  for (const std::string_view prefix : signs.libraries) {
    const auto hit = std::find_if(around.libraries.begin(), around.libraries.end(),
                                  [&](const std::string& library) { return library.starts_with(prefix); });
    if (hit != around.libraries.end()) seen.push_back(*hit);
  }
}

/// Names of NVIDIA GPUs as the kernel driver prints them: a plain file, no driver call.
std::vector<Device> nvidia_devices(const Surroundings& around) {
  std::vector<Device> devices;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(around.root / "proc/driver/nvidia/gpus", error)) {
    std::ifstream file(entry.path() / "information");
    for (std::string line; std::getline(file, line);) {
      if (!line.starts_with("Model:")) continue;
      const size_t begin = line.find_first_not_of(" \t", 6);
      const std::string model = begin == std::string::npos ? "NVIDIA GPU" : line.substr(begin);
      devices.push_back({.kind = "cuda", .index = static_cast<uint32_t>(devices.size()), .name = model, .memory_bytes = 0, .features = {}});
    }
  }
  return devices;
}

std::string sought(const Signs& signs) {
  std::vector<std::string> kinds;
  if (!signs.executables.empty()) kinds.push_back(fmt::format("executables {}", fmt::join(signs.executables, ", ")));
  if (!signs.devices.empty()) kinds.push_back(fmt::format("device files /dev/{}", fmt::join(signs.devices, ", /dev/")));
  if (!signs.libraries.empty()) kinds.push_back(fmt::format("libraries {}", fmt::join(signs.libraries, ", ")));
  if (!signs.packages.empty()) kinds.push_back(fmt::format("Python packages {}", fmt::join(signs.packages, ", ")));
  return fmt::format("{}", fmt::join(kinds, "; "));
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  size_t begin = 0;
  while (begin <= text.size()) {
    const size_t end = std::min(text.find(separator, begin), text.size());
    if (end > begin) parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

std::vector<std::string> loader_libraries() {
  ProcessOptions options;
  options.timeout = kLookTimeout;
  std::vector<std::string> names;
  for (const char* program : {"/sbin/ldconfig", "ldconfig"}) {
    const Result<ProcessOutput> output = run_process({program, "-p"}, options);
    if (!output.ok() || output->exit_code != 0) continue;
    for (const std::string& line : split(output->out, '\n')) {
      if (!line.starts_with('\t')) continue;  // "\tlibcuda.so.1 (libc6,x86-64) => /usr/lib/..."
      names.push_back(line.substr(1, line.find(' ') - 1));
    }
    break;
  }
  return names;
}

std::map<std::string, std::string> python_packages() {
  std::vector<std::string> argv = {"python3", "-c",
                                   "import sys, importlib.metadata as m\n"
                                   "for n in sys.argv[1:]:\n"
                                   "  try: print(n, m.version(n))\n"
                                   "  except Exception: pass\n"};
  for (const Signs& signs : all_signs()) argv.insert(argv.end(), signs.packages.begin(), signs.packages.end());
  ProcessOptions options;
  options.timeout = kLookTimeout;
  options.directory = "/";  // so that no file of the user's folder is imported
  std::map<std::string, std::string> packages;
  const Result<ProcessOutput> output = run_process(argv, options);
  if (!output.ok()) return packages;
  for (const std::string& line : split(output->out, '\n')) {
    const size_t space = line.find(' ');
    if (space != std::string::npos) packages[line.substr(0, space)] = line.substr(space + 1);
  }
  return packages;
}

}  // namespace

const Surroundings& surroundings() {
  static const Surroundings here = [] {
    Surroundings around;
    utsname names{};
    around.system = ::uname(&names) == 0 ? names.sysname : "unknown";
    const char* path = std::getenv("PATH");
    for (std::string& folder : split(path ? path : "", ':')) around.path.emplace_back(std::move(folder));
    around.libraries = loader_libraries();
    around.packages = python_packages();
    for (const Signs& signs : all_signs()) {
      for (const std::string_view variable : signs.variables) {
        if (const char* value = std::getenv(std::string(variable).c_str())) around.environment[std::string(variable)] = value;
      }
    }
    return around;
  }();
  return here;
}

Verdict detect_in(std::string_view name, const Surroundings& around) {
  Verdict verdict;
  verdict.hardware = name;
  const auto row = std::find_if(all_signs().begin(), all_signs().end(), [&](const Signs& signs) { return signs.name == name; });
  if (row == all_signs().end()) {
    verdict.reason = fmt::format("'{}' is no hardware name", name);
    verdict.how_to_get = "one of the names that `ipfs-accelerate devices` lists";
    return verdict;
  }
  if (!row->system.empty() && around.system != row->system) {
    verdict.reason = fmt::format("{} exists on {} only; this is {}", name, row->system, around.system);
    verdict.how_to_get = row->how_to_get;
    return verdict;
  }
  std::vector<std::string> seen;
  look_for_executables(*row, around, seen);
  look_for_devices(*row, around, seen);
  look_for_libraries(*row, around, seen);
  for (const std::string_view package : row->packages) {
    const auto found = around.packages.find(std::string(package));
    if (found == around.packages.end()) continue;
    seen.push_back(fmt::format("Python package {} {}", package, found->second));
    if (verdict.version.empty()) verdict.version = found->second;
  }
  if (name == "cuda") verdict.devices = nvidia_devices(around);
  for (const Device& device : verdict.devices) seen.push_back(device.name);
  std::vector<std::string> variables;
  for (const std::string_view variable : row->variables) {
    const auto found = around.environment.find(std::string(variable));
    if (found != around.environment.end()) variables.push_back(fmt::format("{}={}", variable, found->second));
  }
  std::vector<std::string> evidence = seen;
  evidence.insert(evidence.end(), variables.begin(), variables.end());
  verdict.evidence = fmt::format("{}", fmt::join(evidence, ", "));
  if (seen.empty()) {
    const std::string places = sought(*row);
    verdict.reason = places.empty() ? fmt::format("this build has no {} backend", name)
                                    : fmt::format("nothing of it found ({}), and this build has no {} backend yet", places, name);
    verdict.how_to_get = fmt::format("{}, and a build with the {} backend, of which there is none yet", row->how_to_get, name);
    return verdict;
  }
  verdict.state = Verdict::State::kBroken;
  verdict.reason = fmt::format("found {}, but this build has no {} backend yet: nothing of ours can run there",
                               fmt::join(seen, ", "), name);
  verdict.how_to_get = fmt::format("a build with the {} backend, of which there is none yet; until then use another name", name);
  return verdict;
}

}  // namespace accelerate
