// StartReport - how a program came to be: plain data for reports.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "accelerate/core/program.h"
#include "accelerate/engine/parity_gate.h"

namespace accelerate {

struct StartReport {
  std::string target;
  double load_s = 0;                     // of the backend's compile() or load()
  bool from_cache = false;
  std::optional<Artifact> artifact;      // in the program cache
  std::string cached;                    // "loaded from the program cache", or why there is no artifact
  uint64_t memory_bytes = 0;             // of the program
  std::vector<std::string> report;       // the backend's words
  std::optional<ParityVerdict> parity;   // nothing: it was not compared
};

}  // namespace accelerate
