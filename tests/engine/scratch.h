// Helpers of the catalog and pull tests: a folder of our own, environment variables for the time of a test, a recorder of
// progress.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include "accelerate/core/backend.h"

namespace accelerate {

/// A new empty folder, removed at the end.
class ScratchFolder {
 public:
  ScratchFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "acc_test_XXXXXX").string();
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    path_ = name;
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

/// Sets a variable and puts the old value back at the end.
class ScopedVariable {
 public:
  ScopedVariable(std::string name, const std::string& value) : name_(std::move(name)) {
    if (const char* old = std::getenv(name_.c_str())) old_ = old;
    ::setenv(name_.c_str(), value.c_str(), 1);
  }
  ~ScopedVariable() {
    if (old_) ::setenv(name_.c_str(), old_->c_str(), 1);
    else ::unsetenv(name_.c_str());
  }
  ScopedVariable(const ScopedVariable&) = delete;
  ScopedVariable& operator=(const ScopedVariable&) = delete;

 private:
  std::string name_;
  std::optional<std::string> old_;
};

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
