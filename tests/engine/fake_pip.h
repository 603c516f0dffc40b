// A package client of our own for the pull tests: a `python3` on PATH whose `-m pip` hands out wheels from a folder (or
// fails, stalls, runs out of disk), and which is the real Python for everything else. Wheels are made with zipfile.
#pragma once

#include <filesystem>
#include <list>
#include <string>
#include <utility>
#include <vector>

#include "accelerate/base/process.h"
#include "accelerate/base/sha256.h"
#include "accelerate/engine/installed.h"
#include "accelerate/engine/pull_recipe.h"
#include "tests/engine/scratch.h"

namespace accelerate {

inline constexpr const char* kFakePip = R"python(
import os, shutil, sys, time
if "--version" in sys.argv: print("pip 0.0 (of the tests)"); sys.exit(0)
wanted = sys.argv[-1].replace("==", "-")
folder = sys.argv[sys.argv.index("-d") + 1]
for flag in ("--no-deps", "--no-cache-dir", "--only-binary"): assert flag in sys.argv, flag
with open(os.environ["FAKE_PIP_LOG"], "a") as log: log.write(wanted + " " + str(os.getpid()) + "\n")
mode = os.environ.get("FAKE_PIP_MODE", "")
if mode == "fail": print("ERROR: No matching distribution found for " + wanted, file=sys.stderr); sys.exit(1)
source = os.path.join(os.environ["FAKE_PIP_WHEELS"], wanted + ".whl")
scratch = os.path.join(os.environ["TMPDIR"], wanted + ".whl")
try:
    if mode == "stall " + wanted:
        data = open(source, "rb").read()
        open(scratch, "wb").write(data[:len(data) // 2])
        time.sleep(30)
        sys.exit(1)
    shutil.copyfile(source, scratch)
    if mode == "slow": time.sleep(0.3)
    shutil.move(scratch, os.path.join(folder, wanted + ".whl"))
except OSError as error:
    print("ERROR: Could not install packages due to an OSError: [Errno %d] %s" % (error.errno, error.strerror), file=sys.stderr)
    sys.exit(1)
)python";

/// Puts the fake in front of PATH for its lifetime. skip_reason is set where there is no real python3 to build on.
class FakePip {
 public:
  FakePip() {
    const Result<ProcessOutput> real = run_process({"python3", "-c", "import sys; print(sys.executable)"});
    if (!real.ok() || real->exit_code != 0) {
      skip_reason = "no python3 on PATH to build the fake pip on";
      return;
    }
    python = real->out.substr(0, real->out.find('\n'));
    write_text(folder_ / "pip.py", kFakePip);
    write_text(folder_ / "bin/python3", "#!/bin/sh\nif [ \"$1\" = -m ] && [ \"$2\" = pip ]; then shift 2; exec \"" + python + "\" \"" +
                                            (folder_ / "pip.py").string() + "\" \"$@\"; fi\nexec \"" + python + "\" \"$@\"\n");
    std::filesystem::permissions(folder_ / "bin/python3", std::filesystem::perms::owner_all);
    std::filesystem::create_directories(folder_ / "wheels");
    const char* old_path = std::getenv("PATH");
    set("PATH", (folder_ / "bin").string() + ":" + (old_path ? old_path : ""));
    set("FAKE_PIP_LOG", (folder_ / "log").string());
    set("FAKE_PIP_WHEELS", (folder_ / "wheels").string());
    set("FAKE_PIP_MODE", "");
  }
  void mode(const std::string& mode) { ::setenv("FAKE_PIP_MODE", mode.c_str(), 1); }
  std::filesystem::path wheel(const std::string& name_version) const { return folder_ / ("wheels/" + name_version + ".whl"); }
  /// The packages that were asked for since the last call, in order.
  std::vector<std::string> calls() {
    const std::string text = read_text(folder_ / "log");
    std::vector<std::string> names;
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = text.find('\n', begin);
      const std::string line = text.substr(begin, end - begin);
      names.push_back(line.substr(0, line.find(' ')));
      last_pid = std::atoi(line.substr(line.find(' ') + 1).c_str());
      begin = end + 1;
    }
    std::filesystem::remove(folder_ / "log");
    return names;
  }
  std::string python, skip_reason;
  int last_pid = 0;

 private:
  void set(const std::string& name, const std::string& value) { variables_.emplace_back(name, value); }
  TemporaryFolder folder_;
  std::list<ScopedEnvironment> variables_;
};

/// A wheel made with Python's zipfile from (member, content) pairs; its bytes are written to `path`.
inline void make_wheel(const FakePip& pip, const std::filesystem::path& path,
                       const std::vector<std::pair<std::string, std::string>>& members) {
  const TemporaryFolder contents;
  std::vector<std::string> argv = {pip.python, "-c",
                                   "import sys, zipfile\n"
                                   "with zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED) as z:\n"
                                   "  for i in range(2, len(sys.argv), 2): z.write(sys.argv[i], sys.argv[i + 1])\n",
                                   path.string()};
  for (size_t i = 0; i < members.size(); ++i) {
    write_text(contents / std::to_string(i), members[i].second);
    argv.push_back((contents / std::to_string(i)).string());
    argv.push_back(members[i].first);
  }
  const Result<ProcessOutput> made = run_process(argv);
  ASSERT_TRUE(made.ok() && made->exit_code == 0) << (made.ok() ? made->error : made.error().message);
}

/// A recipe whose text lives as long as it does.
class ToyRecipe {
 public:
  /// Registers the wheel at `path` as package name-version.
  void package(const std::string& name, const std::filesystem::path& path) {
    packages_.push_back({keep(name), "1.0", keep(*sha256_file(path)), std::filesystem::file_size(path)});
  }
  void file(const std::string& name, const std::string& content) {
    files_.push_back({keep(name), keep(sha256_hex(content)), content.size()});
  }
  void member(const std::string& file, uint32_t package, const std::string& member, uint64_t bytes) {
    members_.push_back({keep(file), package, keep(member), bytes});
  }
  std::vector<CatalogPackage>& packages() { return packages_; }
  std::vector<CatalogFile>& files() { return files_; }
  std::vector<PullMember>& members() { return members_; }
  std::string_view keep(std::string text) { return texts_.emplace_back(std::move(text)); }
  const CatalogEntry& entry() { return entry_ = {"toy", "Toy model", "none", packages_, files_}; }
  Result<std::string> pull(const std::filesystem::path& models, Progress& progress = no_progress()) {
    return pull_recipe({entry(), members_}, models, progress);
  }

 private:
  std::list<std::string> texts_;
  std::vector<CatalogPackage> packages_;
  std::vector<CatalogFile> files_;
  std::vector<PullMember> members_;
  CatalogEntry entry_;
};

}  // namespace accelerate
