// The conformance suite. The kernel family is decided once in a process, so without a forced one this program runs itself
// once for each family that runs here and adds up what the runs report.

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "accelerate/backends/registry.h"
#include "accelerate/base/cpu.h"
#include "accelerate/base/file.h"
#include "accelerate/base/json.h"
#include "accelerate/base/process.h"
#include "accelerate/engine/worker.h"
#include "accelerate/wire/socket_channel.h"
#include "tests/conformance/harness.h"

namespace accelerate::conformance {
namespace {

constexpr auto kRunTimeMax = std::chrono::minutes(10);  // of one family; about 45 s on two idle cores
constexpr size_t kReportBytesMax = size_t{16} << 20;

struct Totals {
  int passed = 0, failed = 0, skipped = 0;
};

// gtest's own JSON report, so that counts are not scraped from text.
bool add_report(const std::filesystem::path& path, Totals& totals) {
  const Result<std::string> text = read_file(path, kReportBytesMax);
  if (!text) return false;
  const Result<Json> report = parse_json(*text, {.where = "conformance"});
  if (!report) return false;
  for (const Json& suite : report->value("testsuites", Json::array())) {
    for (const Json& test : suite.value("testsuite", Json::array())) {
      if (test.value("status", "") != "RUN") continue;
      if (test.contains("failures")) ++totals.failed;
      else if (test.value("result", "") == "SKIPPED") ++totals.skipped;
      else ++totals.passed;
    }
  }
  return true;
}

void run_family(Isa isa, const std::vector<std::string>& arguments, Totals& totals) {
  const std::string name(isa_name(isa));
  const std::filesystem::path report = std::filesystem::temp_directory_path() / fmt::format("conformance_{}_{}.json", ::getpid(), name);
  // Its output goes through stderr, which is passed on as it comes: a run that is killed has said how far it came.
  std::vector<std::string> argv = {"sh", "-c", "exec \"$0\" \"$@\" 1>&2"};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  argv.push_back("--gtest_output=json:" + report.string());
  const auto show = [](std::string_view piece) {
    std::fwrite(piece.data(), 1, piece.size(), stdout);
    std::fflush(stdout);
  };
  const auto start = std::chrono::steady_clock::now();
  const Result<ProcessOutput> output =
      run_process(argv, {.timeout = kRunTimeMax, .environment = {fmt::format("{}={}", kIsaVariable, name)}, .on_stderr = show});
  Totals own;
  const bool whole = output && add_report(report, own) && (output->exit_code == 0) == (own.failed == 0);
  if (!whole) fmt::print("kernels {}: the run broke: {}\n", name, output ? fmt::format("exit code {}", output->exit_code) : to_string(output.error()));
  std::error_code ignored;
  std::filesystem::remove(report, ignored);
  fmt::print("kernels {}: {} passed, {} failed, {} skipped in {:.1f} s\n", name, own.passed, own.failed, own.skipped,
             std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  std::fflush(stdout);
  totals.passed += own.passed;
  totals.failed += own.failed + (whole ? 0 : 1);
  totals.skipped += own.skipped;
}

// Whether the family runs here, as a process that is forced to it says.
bool runs_here(Isa isa, const std::string& self) {
  const Result<ProcessOutput> output = run_process({self, "--decided-isa"}, {.environment = {fmt::format("{}={}", kIsaVariable, isa_name(isa))}});
  return output && output->exit_code == 0 && output->out == isa_name(isa);
}

int run_all(const std::vector<std::string>& arguments) {
  std::vector<std::string> argv = arguments;
  argv[0] = std::filesystem::read_symlink("/proc/self/exe");
  Totals totals;
  for (int i = kIsaCount; i-- > 0;) {
    const Isa isa = static_cast<Isa>(i);
    if (runs_here(isa, argv[0])) run_family(isa, argv, totals);
    else fmt::print("kernels {}: do not run on this machine\n", isa_name(isa));
  }
  // gtest's closing lines, over all runs, for those who count by them.
  fmt::print("[  PASSED  ] {} tests.\n", totals.passed);
  if (totals.failed > 0) fmt::print(" {} FAILED TESTS\n", totals.failed);
  return totals.failed > 0 || totals.passed == 0 ? 1 : 0;
}

}  // namespace
}  // namespace accelerate::conformance

int main(int argc, char** argv) {
  using namespace accelerate;
  bound_allocator();  // as the binary does
  if (argc > 1 && std::strcmp(argv[1], "--decided-isa") == 0) {
    const Result<Isa> isa = usable_isa();
    if (isa) std::fwrite(isa_name(*isa).data(), 1, isa_name(*isa).size(), stdout);
    return isa ? 0 : 1;
  }
  if (argc > 1 && argv[1] == conformance::kWorkerArgument) {
    SocketChannel channel(kInheritedFile);
    std::vector<BackendFactory> backends;
    for (const BackendEntry& entry : backend_registry()) backends.push_back({std::string(entry.name), entry.make});
    return run_worker(channel, backends) ? 0 : 1;
  }
  const std::vector<std::string> arguments(argv, argv + argc);
  testing::InitGoogleTest(&argc, argv);
  const char* forced = std::getenv(kIsaVariable);
  const char* chosen = std::getenv(conformance::kConformanceVariable);  // then the family is the backend's own business
  if ((forced && *forced) || (chosen && *chosen) || testing::GTEST_FLAG(list_tests)) return RUN_ALL_TESTS();
  return conformance::run_all(arguments);
}
