#include "accelerate/base/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <optional>

#include <fmt/format.h>

extern char** environ;

namespace accelerate {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kPollPeriod = std::chrono::milliseconds(50);
constexpr int kExitOnException = 125;
// How long the pipes of a child that has exited may stay open in grandchildren before we stop reading.
constexpr auto kDrainGrace = std::chrono::milliseconds(500);

struct Pipe {
  int read = -1, write = -1;
  ~Pipe() { close_read(); close_write(); }
  // Both ends above 3: dup2 onto itself would leave a file closed on exec, and 0 to 3 are what a child is given.
  bool open() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return false;
    read = ::fcntl(ends[0], F_DUPFD_CLOEXEC, kInheritedFile + 1);
    write = ::fcntl(ends[1], F_DUPFD_CLOEXEC, kInheritedFile + 1);
    ::close(ends[0]);
    ::close(ends[1]);
    return read >= 0 && write >= 0;
  }
  void close_read() { if (read >= 0) ::close(read); read = -1; }
  void close_write() { if (write >= 0) ::close(write); write = -1; }
};

// The child's half after fork: only async-signal-safe calls. Reports exec's errno through `status`.
[[noreturn]] void exec_child(char* const* argv, char* const* environment, const char* directory, const Pipe& out, const Pipe& error,
                             const Pipe& status, int inherited) {
  ::setpgid(0, 0);
  const int nothing = ::open("/dev/null", O_RDONLY);
  ::dup2(nothing, 0);
  ::dup2(out.write, 1);
  ::dup2(error.write, 2);
  if (inherited >= 0 && inherited != kInheritedFile) ::dup2(inherited, kInheritedFile);
  // Sockets and files of ours are none of its business (Linux 5.11).
  ::close_range(kInheritedFile, ~0u, CLOSE_RANGE_CLOEXEC);
  if (inherited >= 0) ::fcntl(kInheritedFile, F_SETFD, 0);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  if (*directory == '\0' || ::chdir(directory) == 0) ::execvpe(argv[0], argv, environment);
  const int problem = errno;
  if (::write(status.write, &problem, sizeof problem) < 0) ::_exit(126);
  ::_exit(127);
}

struct Child {
  pid_t pid = -1;
  bool reaped = false;
  int status = 0;
  ~Child() { if (pid > 0 && !reaped) { kill_group(); ::waitpid(pid, &status, 0); } }
  // Once reaped, the number may belong to somebody else.
  void kill_group() const {
    if (reaped) return;
    ::kill(-pid, SIGKILL);
    ::kill(pid, SIGKILL);
  }
  bool try_reap() { return reaped = reaped || ::waitpid(pid, &status, WNOHANG) == pid; }
};

Error errno_text(int problem, const std::string& program) {
  const bool missing = problem == ENOENT || problem == ENOTDIR;
  const ErrorCode code = missing ? ErrorCode::kNotFound : problem == EACCES ? ErrorCode::kPermissionDenied : ErrorCode::kResourceExhausted;
  return {code, fmt::format("[process] '{}' cannot be started: {}{}", program, std::strerror(problem), missing ? "; try installing it" : "")};
}

int exit_code_of(int status) { return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status); }

struct Captured {
  std::string text;
  size_t dropped = 0;
  void add(std::string_view piece, size_t most) {
    const size_t kept = std::min(piece.size(), most - std::min(most, text.size()));
    text.append(piece.substr(0, kept));
    dropped += piece.size() - kept;
  }
  std::string take() {
    if (dropped > 0) text += fmt::format("\n[{} more bytes dropped]", dropped);
    return std::move(text);
  }
};

// Reads what is there; false at the end of the stream.
bool drain(Pipe& pipe, Captured& captured, const ProcessOptions& options, bool is_error) {
  char piece[16384];
  const ssize_t count = ::read(pipe.read, piece, sizeof piece);
  if (count < 0) return errno == EINTR || errno == EAGAIN;
  if (count == 0) return false;
  captured.add({piece, static_cast<size_t>(count)}, options.output_bytes_max);
  if (is_error && options.on_stderr) options.on_stderr({piece, static_cast<size_t>(count)});
  return true;
}

Result<ProcessOutput> supervise(Child& child, Pipe& out, Pipe& error, const std::string& name, const ProcessOptions& options) {
  const auto deadline = Clock::now() + options.timeout;
  std::array<Captured, 2> captured;
  std::array<Pipe*, 2> pipes = {&out, &error};
  std::optional<Clock::time_point> exited;
  while (true) {
    const bool ended = out.read < 0 && error.read < 0;  // then only the exit is missing, which is a matter of microseconds
    std::array<pollfd, 2> polled;
    for (size_t i = 0; i < 2; ++i) polled[i] = {pipes[i]->read, POLLIN, 0};
    ::poll(polled.data(), polled.size(), ended ? 1 : static_cast<int>(kPollPeriod.count()));
    for (size_t i = 0; i < 2; ++i) {
      if (polled[i].revents != 0 && !drain(*pipes[i], captured[i], options, i == 1)) pipes[i]->close_read();
    }
    const bool closed = out.read < 0 && error.read < 0;
    if (child.try_reap()) {
      if (!exited) exited = Clock::now();
      if (closed || Clock::now() > *exited + kDrainGrace) break;
    }
    if (!exited && Clock::now() > deadline) {
      child.kill_group();
      return Error{ErrorCode::kDeadlineExceeded, fmt::format("[process] '{}' ends within {} ms; it was killed", name, options.timeout.count())};
    }
    if (options.keep_going && !options.keep_going()) {
      child.kill_group();
      return Error{ErrorCode::kCancelled, fmt::format("[process] '{}' was stopped", name)};
    }
  }
  return ProcessOutput{exit_code_of(child.status), captured[0].take(), captured[1].take()};
}

// Pointers into `strings`, null at the end, as exec wants them.
std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (std::string& text : strings) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

// Ours with `added` in front: getenv takes the first, and our own of the same name are left out.
std::vector<std::string> merged_environment(const std::vector<std::string>& added) {
  std::vector<std::string> all = added;
  for (char** entry = environ; *entry; ++entry) {
    const std::string_view text = *entry;
    const std::string_view name = text.substr(0, text.find('=') + 1);
    bool replaced = false;
    for (const std::string& one : added) replaced |= one.starts_with(name);
    if (!replaced) all.emplace_back(text);
  }
  return all;
}

// Forks and waits until exec has worked or failed.
Result<void> start_child(Child& child, const std::vector<std::string>& argv, const std::vector<std::string>& added, const std::string& directory,
                         const Pipe& out, const Pipe& error, int inherited) {
  Pipe status;
  if (!status.open()) return errno_text(errno, argv[0]);
  std::vector<std::string> arguments = argv, environment = merged_environment(added);
  const std::vector<char*> argument_pointers = pointers(arguments), environment_pointers = pointers(environment);
  child.pid = ::fork();
  if (child.pid < 0) return errno_text(errno, argv[0]);
  if (child.pid == 0) exec_child(argument_pointers.data(), environment_pointers.data(), directory.c_str(), out, error, status, inherited);
  ::setpgid(child.pid, child.pid);  // in both, so that no kill can come before it
  status.close_write();
  int problem = 0;
  ssize_t count = 0;
  while ((count = ::read(status.read, &problem, sizeof problem)) < 0 && errno == EINTR) {}
  if (count == sizeof problem) return errno_text(problem, argv[0]);
  return {};
}

}  // namespace

Result<ProcessOutput> run_process(const std::vector<std::string>& argv, const ProcessOptions& options) {
  CHECK(!argv.empty(), "a process has a program");
  Pipe out, error;
  if (!out.open() || !error.open()) return errno_text(errno, argv[0]);
  Child child;
  ACC_TRY_VOID(start_child(child, argv, options.environment, options.directory, out, error, -1));
  out.close_write();
  error.close_write();
  return supervise(child, out, error, argv[0], options);
}

namespace {

// An exception must not climb out of the fork into a second life of the caller.
int exit_value(const std::function<int()>& body) {
  try {
    return body();
  } catch (...) {
    return kExitOnException;
  }
}

}  // namespace

ChildOutcome run_in_child(const std::function<int()>& body, std::chrono::milliseconds timeout) {
  ChildOutcome outcome;
  const pid_t pid = ::fork();
  if (pid < 0) {
    outcome.exit_code = 127;
    return outcome;
  }
  if (pid == 0) {
    for (const int signal : {SIGILL, SIGSEGV, SIGBUS, SIGFPE, SIGABRT}) ::signal(signal, SIG_DFL);
    const rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);  // a probe is expected to crash: no dump of our weights for that
    ::setpgid(0, 0);                     // so that what the body starts dies with it
    ::_exit(exit_value(body));
  }
  ::setpgid(pid, pid);
  Child child;
  child.pid = pid;
  const auto deadline = Clock::now() + timeout;
  for (useconds_t pause = 50; !child.try_reap(); pause = std::min<useconds_t>(pause * 2, 5000)) {
    if (Clock::now() > deadline) {
      child.kill_group();
      outcome.timed_out = true;
      ::waitpid(pid, &child.status, 0);
      child.reaped = true;
      return outcome;
    }
    ::usleep(pause);
  }
  if (WIFSIGNALED(child.status)) outcome.signal = WTERMSIG(child.status);
  else outcome.exit_code = WEXITSTATUS(child.status);
  return outcome;
}

std::string to_string(const ProcessEnd& end) {
  if (end.signal == 0) return fmt::format("exited with {}", end.exit_code);
  return fmt::format("was killed by signal {} ({})", end.signal, strsignal(end.signal));
}

struct ChildProcess::State {
  std::mutex mutex;  // of `child`
  Child child;
  Pipe output;
};

ChildProcess::ChildProcess(std::unique_ptr<State> state) : state_(std::move(state)) {}
ChildProcess::ChildProcess(ChildProcess&&) noexcept = default;
ChildProcess& ChildProcess::operator=(ChildProcess&&) noexcept = default;
ChildProcess::~ChildProcess() = default;
int ChildProcess::pid() const { return state_->child.pid; }
int ChildProcess::output() const { return state_->output.read; }

std::optional<ProcessEnd> ChildProcess::end() const {
  const std::lock_guard lock(state_->mutex);
  if (!state_->child.try_reap()) return std::nullopt;
  const int status = state_->child.status;
  return WIFSIGNALED(status) ? ProcessEnd{.signal = WTERMSIG(status)} : ProcessEnd{.exit_code = WEXITSTATUS(status)};
}

std::optional<ProcessEnd> ChildProcess::wait(std::chrono::milliseconds timeout) const {
  const auto deadline = Clock::now() + timeout;
  for (useconds_t pause = 100;; pause = std::min<useconds_t>(pause * 2, 5000)) {
    if (auto ended = end(); ended || Clock::now() >= deadline) return ended;
    ::usleep(pause);
  }
}

void ChildProcess::send_signal(int number) const {
  const std::lock_guard lock(state_->mutex);
  if (!state_->child.try_reap()) ::kill(-state_->child.pid, number);
}

Result<ChildProcess> spawn_process(const std::vector<std::string>& argv, const SpawnOptions& options) {
  CHECK(!argv.empty(), "a process has a program");
  auto state = std::make_unique<ChildProcess::State>();
  if (!state->output.open()) return errno_text(errno, argv[0]);
  ACC_TRY_VOID(start_child(state->child, argv, options.environment, options.directory, state->output, state->output, options.inherited));
  state->output.close_write();
  return ChildProcess(std::move(state));
}

uint64_t raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  const rlim_t before = limit.rlim_cur;
  limit.rlim_cur = limit.rlim_max;
  return ::setrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_max : before;
}

}  // namespace accelerate
