// What can be seen of an engine or a device from outside, without loading a driver into this process: executables on PATH,
// device files, libraries the loader knows, Python packages, environment variables. Private to hardware.
//
//   Verdict verdict = detect_in("cuda", surroundings());
//
// Seeing is not running: no verdict from here is ever kAvailable.
#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "accelerate/core/backend.h"

namespace accelerate {

inline constexpr std::chrono::seconds kLookTimeout{5};  // of each of the two children: python3 and ldconfig

/// Everything detect_in() looks at, as plain data, so that tests can bring their own machine.
struct Surroundings {
  std::string system;                               // uname: "Linux", "Darwin"
  std::filesystem::path root = "/";                 // dev/ and proc/ below it are looked at
  std::vector<std::filesystem::path> path;          // folders of PATH
  std::vector<std::string> libraries;               // file names from `ldconfig -p`
  std::map<std::string, std::string> packages;      // Python packages of python3 on PATH: name -> version
  std::map<std::string, std::string> environment;   // only the variables named in the table
};

/// This machine, looked at once per process (about 0.2 s: two children, each with kLookTimeout). Thread-safe.
const Surroundings& surroundings();

/// The verdict on `name` from what `around` shows; an unknown name is absent and says so.
Verdict detect_in(std::string_view name, const Surroundings& around);

}  // namespace accelerate
