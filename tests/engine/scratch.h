// Helpers of the catalog and pull tests: files as text, a recorder of progress.
#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "accelerate/core/backend.h"
#include "tests/temporary.h"

namespace accelerate {

inline void write_text(const std::filesystem::path& path, std::string_view text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}
inline std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Remembers what it was told; says stop when `what` begins with `stop_at`.
class RecordingProgress : public Progress {
 public:
  bool update(std::string_view what, uint64_t done, uint64_t total, std::string_view) override {
    seen.emplace_back(what);
    done_max = std::max(done_max, done);
    overflow = overflow || (total != 0 && done > total);
    return stop_at.empty() || !what.starts_with(stop_at);
  }
  bool saw(std::string_view what) const {
    for (const std::string& one : seen) {
      if (one.starts_with(what)) return true;
    }
    return false;
  }
  std::vector<std::string> seen;
  std::string stop_at;
  uint64_t done_max = 0;
  bool overflow = false;
};

}  // namespace accelerate
