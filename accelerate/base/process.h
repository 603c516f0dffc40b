// Child processes with deadlines: external programs, and probes of our own code that could crash.
//
//   ACC_TRY(ProcessOutput out, run_process({"pip", "--version"}, {.timeout = 10s}));
//   ChildOutcome o = run_in_child([] { execute_amx(); return 0; }, 2s);   // o.exit_code, o.signal
//   ACC_TRY(ChildProcess child, spawn_process({"worker"}, {.inherited = socket}));   // runs beside us; dies with `child`
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "accelerate/base/result.h"

namespace accelerate {

struct ProcessOptions {
  std::chrono::milliseconds timeout{60'000};
  std::string directory;                     // working directory; empty = ours
  std::vector<std::string> environment;      // "NAME=value" added to ours
  size_t output_bytes_max = size_t{4} << 20; // kept of stdout and stderr each; more is dropped and said
  std::function<bool()> keep_going;          // polled about every 50 ms; false kills the child (cancelled)
  std::function<void(std::string_view)> on_stderr;  // pieces as they come; may be empty
};
struct ProcessOutput {
  int exit_code = 0;       // 128 + signal when killed by one
  std::string out, error;
};

/// Runs argv[0] found through PATH, standard input empty. The child is in its own process group and the whole group is
/// killed on timeout (deadline_exceeded) or stop (cancelled). not_found when there is no such program. A non-zero exit
/// is no Error: look at exit_code.
Result<ProcessOutput> run_process(const std::vector<std::string>& argv, const ProcessOptions& options = {});

struct ChildOutcome {
  int exit_code = 0;
  int signal = 0;          // what killed it, or 0
  bool timed_out = false;
  bool ok() const { return exit_code == 0 && signal == 0 && !timed_out; }
};
/// Forks, runs `body` and exits with its value. Only for code that is safe after fork (no locks held by other threads).
ChildOutcome run_in_child(const std::function<int()>& body, std::chrono::milliseconds timeout);

struct SpawnOptions {
  std::string directory;                 // working directory; empty = ours
  std::vector<std::string> environment;  // "NAME=value" added to ours
  int inherited = -1;                    // a file that the child has as number 3 (kInheritedFile); borrowed; -1 = none
};
inline constexpr int kInheritedFile = 3;

struct ProcessEnd {
  int exit_code = 0;
  int signal = 0;  // what killed it, or 0
};
/// "exited with 3", "was killed by signal 9 (Killed)"
std::string to_string(const ProcessEnd& end);

/// A child in a process group of its own. Movable; destroying it kills the group and collects the child. Thread-safe.
class ChildProcess {
 public:
  ChildProcess(ChildProcess&&) noexcept;
  ChildProcess& operator=(ChildProcess&&) noexcept;
  ~ChildProcess();
  int pid() const;
  /// How it ended; nothing while it runs. Never waits.
  std::optional<ProcessEnd> end() const;
  /// The same, after waiting at most so long.
  std::optional<ProcessEnd> wait(std::chrono::milliseconds timeout) const;
  /// To the whole group; nothing happens once the child was collected.
  void send_signal(int number) const;
  /// Where what it prints (standard output and error together) is read; ours, closed by the destructor.
  int output() const;

 private:
  friend Result<ChildProcess> spawn_process(const std::vector<std::string>&, const SpawnOptions&);
  struct State;
  explicit ChildProcess(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// Starts argv[0], found through PATH, standard input empty. Errors as run_process has them.
Result<ChildProcess> spawn_process(const std::vector<std::string>& argv, const SpawnOptions& options = {});

/// Raises this process's limit of open files to what it may have at most; returns the limit that holds now.
uint64_t raise_descriptor_limit();

}  // namespace accelerate
