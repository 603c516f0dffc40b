#include "accelerate/engine/install_environment.h"

#include <chrono>
#include <filesystem>
#include <utility>

#include <fmt/format.h>

#include "accelerate/base/file.h"
#include "accelerate/base/file_lock.h"
#include "accelerate/base/paths.h"
#include "accelerate/base/process.h"

namespace accelerate {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr auto kPipTime = 4h;              // 5 GB at 400 kB/s; pip's own network timeouts are shorter
constexpr auto kVenvTime = 5min;
constexpr size_t kInstalledBytesMax = 1 << 20;
constexpr size_t kLastWordsBytes = 600;
constexpr double kDiskFactor = 1.6;        // pip holds a wheel beside what it unpacks

fs::path folder_of(const InstallRecipe& recipe) { return cache_dir() / recipe.environment; }

Error stopped() { return {ErrorCode::kCancelled, "[install] stopped; nothing was changed, and pip keeps what it fetched"}; }

Result<void> check_disk(const InstallRecipe& recipe) {
  std::error_code error;
  const fs::space_info space = fs::space(cache_dir(), error);
  const auto needed = static_cast<uint64_t>(kDiskFactor * static_cast<double>(recipe.disk_bytes));
  if (!error && space.available < needed) {
    return Error{ErrorCode::kResourceExhausted, fmt::format("[install] {} takes {:.1f} GB while it is made; {} has {:.1f} GB free; try XDG_CACHE_HOME elsewhere",
                                                            recipe.environment, double(needed) / 1e9, cache_dir().string(), double(space.available) / 1e9)};
  }
  return {};
}

Result<void> check_python(const std::string& python) {
  const Result<ProcessOutput> said = run_process({python, "-c", "import sys, venv; sys.exit(sys.version_info < (3, 10))"}, {.timeout = 30s});
  if (said && said->exit_code == 0) return {};
  return Error{ErrorCode::kNotFound, fmt::format("[install] it takes Python 3.10 or newer with venv; got {}; try your system's packages python3 and python3-venv",
                                                 !said ? said.error().message : said->error.empty() ? "an older one" : said->error.substr(0, kLastWordsBytes))};
}

// Runs a step of pip's, its last line shown as it goes.
Result<void> run_step(const std::vector<std::string>& argv, std::chrono::milliseconds time, Progress& progress) {
  std::vector<std::string> command = {"sh", "-c", "exec \"$@\" 1>&2", "install"};  // pip tells its progress on standard output
  command.insert(command.end(), argv.begin(), argv.end());
  std::string line = "starting pip", partial;
  const auto on_text = [&](std::string_view text) {
    for (const char c : text) {
      if (c != '\n') partial += c;
      else if (!partial.empty()) line = std::exchange(partial, {}).substr(0, 100);
    }
  };
  ACC_TRY(const ProcessOutput output, run_process(command, {.timeout = time, .directory = {}, .environment = {"PYTHONUNBUFFERED=1"},
                                                            .keep_going = [&] { return progress.update(line, 0, 0, "packages"); }, .on_stderr = on_text}));
  if (output.exit_code == 0) return {};
  const std::string& all = output.error;
  const std::string words = all.substr(all.size() - std::min(all.size(), kLastWordsBytes));
  const bool disk = all.find("[Errno 28]") != std::string::npos || all.find("No space left") != std::string::npos;
  return Error{disk ? ErrorCode::kResourceExhausted : ErrorCode::kUnavailable, fmt::format("[install] pip failed (exit {}): {}", output.exit_code, words)};
}

}  // namespace

bool is_installed(const InstallRecipe& recipe) {
  const auto made_of = read_file(folder_of(recipe) / "installed", kInstalledBytesMax);
  std::error_code none;
  return made_of && *made_of == recipe.requirements && fs::exists(environment_python(recipe.environment), none);
}

Result<InstalledEnvironment> install_environment(const InstallRecipe& recipe, const InstallRequest& request, Progress& progress) {
  const auto begin = std::chrono::steady_clock::now();
  InstalledEnvironment environment{.python = environment_python(recipe.environment).string()};
  std::error_code error;
  fs::create_directories(cache_dir(), error);
  // One install at a time: a second one waits, and then finds it made.
  ACC_TRY(const FileLock lock, FileLock::take(cache_dir() / (recipe.environment + ".lock"), "install",
                                              [&] { return progress.update("waiting for another install", 0, 0, "packages"); }));
  if (!request.force && is_installed(recipe)) return environment;
  ACC_TRY_VOID(check_disk(recipe));
  ACC_TRY_VOID(check_python(request.python));
  const fs::path folder = folder_of(recipe), making = folder.string() + ".making";
  fs::remove_all(making, error);
  const auto made = [&]() -> Result<void> {
    ACC_TRY_VOID(run_step({request.python, "-m", "venv", making.string()}, kVenvTime, progress));
    ACC_TRY_VOID(write_file_atomically(making / "requirements.txt", recipe.requirements));
    ACC_TRY_VOID(run_step({(making / "bin" / "python").string(), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off",
                           "-r", (making / "requirements.txt").string()}, kPipTime, progress));
    return write_file_atomically(making / "installed", recipe.requirements);
  }();
  if (!made) {
    fs::remove_all(making, error);
    return made.error().code == ErrorCode::kCancelled ? stopped() : made.error();
  }
  // The old one goes only when the new one stands in its place.
  const fs::path old = folder.string() + ".old";
  fs::remove_all(old, error);
  if (fs::exists(folder)) fs::rename(folder, old, error);
  if (!error) fs::rename(making, folder, error);
  if (error) return Error{ErrorCode::kUnknown, fmt::format("[install] {} could not take its place: {}", making.string(), error.message())};
  fs::remove_all(old, error);
  environment.made = true;
  environment.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return environment;
}

}  // namespace accelerate
