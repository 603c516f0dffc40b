#include "accelerate/base/process.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/temporary.h"

namespace accelerate {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

Result<ProcessOutput> shell(const std::string& script, const ProcessOptions& options = {}) {
  return run_process({"sh", "-c", script}, options);
}

// Whether `pid` is gone or a zombie nobody has collected yet.
bool is_dead(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string number, name, state;
  if (!(file >> number >> name >> state)) return true;
  return state == "Z" || state == "X";
}

bool dies_within(pid_t pid, std::chrono::milliseconds time) {
  for (const auto end = Clock::now() + time; Clock::now() < end; std::this_thread::sleep_for(5ms)) {
    if (is_dead(pid)) return true;
  }
  return is_dead(pid);
}

pid_t pid_in(const std::filesystem::path& file) {
  pid_t pid = 0;
  std::ifstream(file) >> pid;
  return pid;
}

TEST(Process, OutputErrorAndExitCode) {
  const auto output = shell("echo out; echo error >&2; exit 3");
  ASSERT_TRUE(output) << to_string(output.error());
  EXPECT_EQ(output->out, "out\n");
  EXPECT_EQ(output->error, "error\n");
  EXPECT_EQ(output->exit_code, 3);
}

TEST(Process, StandardInputIsEmpty) {
  const auto output = shell("cat; echo end", {.timeout = 5s});
  ASSERT_TRUE(output) << to_string(output.error());
  EXPECT_EQ(output->out, "end\n");
}

TEST(Process, ArgumentsAreNotInterpreted) {
  const auto output = run_process({"printf", "%s|%s|%s", "a b", "$HOME;*", ""});
  ASSERT_TRUE(output);
  EXPECT_EQ(output->out, "a b|$HOME;*|");
}

TEST(Process, AMissingProgramIsNotFoundByName) {
  for (const std::string name : {"no-such-program-of-ours", "/no/such/path", "/etc/passwd/x"}) {
    const auto output = run_process({name});
    ASSERT_FALSE(output) << name;
    EXPECT_EQ(output.error().code, ErrorCode::kNotFound) << to_string(output.error());
    EXPECT_THAT(output.error().message, ::testing::HasSubstr(name));
  }
  const TemporaryFolder folder;
  folder.write("no-program", "text");
  const auto refused = run_process({folder / "no-program"});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kPermissionDenied);
  const auto nowhere = run_process({"true"}, {.directory = "/no/such/folder"});
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().code, ErrorCode::kNotFound);
}

TEST(Process, DirectoryAndEnvironment) {
  const ScopedEnvironment kept("ACC_TEST_KEPT", "kept"), replaced("ACC_TEST_REPLACED", "old");
  const auto output = shell("pwd; echo $ACC_TEST_KEPT $ACC_TEST_REPLACED $ACC_TEST_NEW; env | grep -c ACC_TEST_REPLACED=",
                            {.directory = "/", .environment = {"ACC_TEST_REPLACED=new", "ACC_TEST_NEW=more"}});
  ASSERT_TRUE(output);
  EXPECT_EQ(output->out, "/\nkept new more\n1\n");
}

TEST(Process, DeathBySignalIsAnExitCode) {
  const auto output = shell("kill -SEGV $$");
  ASSERT_TRUE(output);
  EXPECT_EQ(output->exit_code, 128 + SIGSEGV);
}

TEST(Process, OutputBeyondTheLimitIsDroppedAndSaid) {
  const auto output = shell("head -c 3000000 /dev/zero | tr '\\0' x; head -c 20 /dev/zero | tr '\\0' y >&2", {.output_bytes_max = 1000});
  ASSERT_TRUE(output);
  EXPECT_EQ(output->exit_code, 0) << "the program is read to its end";
  EXPECT_EQ(output->out, std::string(1000, 'x') + "\n[2999000 more bytes dropped]");
  EXPECT_EQ(output->error, std::string(20, 'y'));
}

TEST(Process, BothPipesFullAtOnceDoNotBlock) {
  const auto output = shell("head -c 2000000 /dev/zero >&2 & head -c 2000000 /dev/zero; wait", {.timeout = 20s});
  ASSERT_TRUE(output) << to_string(output.error());
  EXPECT_EQ(output->out.size(), 2'000'000u);
  EXPECT_EQ(output->error.size(), 2'000'000u);
}

TEST(Process, StderrIsToldAsItComes) {
  std::string seen;
  Clock::time_point first;
  const auto output = shell("echo one >&2; sleep 0.4; echo two >&2", {.on_stderr = [&](std::string_view piece) {
    if (seen.empty()) first = Clock::now();
    seen += piece;
  }});
  const auto ended = Clock::now();
  ASSERT_TRUE(output);
  EXPECT_EQ(seen, "one\ntwo\n");
  EXPECT_GT(ended - first, 300ms) << "the first piece came before the end";
}

TEST(Process, ATimeoutKillsTheWholeGroup) {
  const TemporaryFolder folder;
  const auto start = Clock::now();
  // A child, and a grandchild that outlives it and ignores polite signals.
  const auto output = shell("trap '' TERM INT HUP; (trap '' TERM INT HUP; sh -c 'echo $$ > grandchild; sleep 60') & echo $! > child; sleep 60",
                            {.timeout = 700ms, .directory = folder.path()});
  ASSERT_FALSE(output);
  EXPECT_EQ(output.error().code, ErrorCode::kDeadlineExceeded);
  EXPECT_LT(Clock::now() - start, 3s);
  for (const char* name : {"child", "grandchild"}) {
    const pid_t pid = pid_in(folder / name);
    ASSERT_GT(pid, 1) << name;
    EXPECT_TRUE(dies_within(pid, 2s)) << name;
  }
}

TEST(Process, AStopKillsTheWholeGroup) {
  const TemporaryFolder folder;
  const auto start = Clock::now();
  const auto output = shell("sh -c 'echo $$ > grandchild; sleep 60' & sleep 60",
                            {.directory = folder.path(), .keep_going = [&] { return pid_in(folder / "grandchild") == 0; }});
  ASSERT_FALSE(output);
  EXPECT_EQ(output.error().code, ErrorCode::kCancelled);
  EXPECT_LT(Clock::now() - start, 10s);
  EXPECT_TRUE(dies_within(pid_in(folder / "grandchild"), 2s));
}

TEST(Process, AGrandchildThatKeepsThePipeDoesNotKeepUs) {
  const TemporaryFolder folder;
  const auto start = Clock::now();
  const auto output = shell("sleep 5 & echo $! > left; echo done", {.directory = folder.path()});
  ASSERT_TRUE(output);
  EXPECT_EQ(output->out, "done\n");
  EXPECT_LT(Clock::now() - start, 3s);
  ::kill(pid_in(folder / "left"), SIGKILL);
}

TEST(Process, ManyAtOnceFromManyThreads) {
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 15; ++i) {
        const std::string text = std::to_string(t * 100 + i);
        const auto output = run_process({"echo", text});
        good += output && output->out == text + "\n";
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 60);
}

TEST(Process, NoDescriptorIsLeaked) {
  const auto open_descriptors = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
  };
  (void)run_process({"true"});
  const auto before = open_descriptors();
  for (int i = 0; i < 10; ++i) {
    (void)run_process({"true"});
    (void)run_process({"no-such-program-of-ours"});
  }
  EXPECT_EQ(open_descriptors(), before);
  const auto child = run_process({"ls", "/proc/self/fd"});
  ASSERT_TRUE(child);
  EXPECT_EQ(std::count(child->out.begin(), child->out.end(), '\n'), 4) << "0, 1, 2 and ls's own: " << child->out;
}

TEST(RunInChild, ExitCodeAndOk) {
  EXPECT_TRUE(run_in_child([] { return 0; }, 5s).ok());
  const ChildOutcome outcome = run_in_child([] { return 7; }, 5s);
  EXPECT_EQ(outcome.exit_code, 7);
  EXPECT_FALSE(outcome.ok());
}

TEST(RunInChild, CrashesStayInTheChild) {
  for (const int signal : {SIGILL, SIGSEGV, SIGABRT, SIGFPE, SIGBUS}) {
    const ChildOutcome outcome = run_in_child([signal] { ::raise(signal); return 0; }, 5s);
    EXPECT_EQ(outcome.signal, signal);
    EXPECT_FALSE(outcome.ok());
  }
  EXPECT_EQ(run_in_child([]() -> int { throw 1; }, 5s).exit_code, 125) << "an exception does not climb into a second life of the caller";
}

TEST(RunInChild, AHangIsKilled) {
  const auto start = Clock::now();
  const ChildOutcome outcome = run_in_child([] { ::pause(); return 0; }, 200ms);
  EXPECT_TRUE(outcome.timed_out);
  EXPECT_FALSE(outcome.ok());
  EXPECT_GE(Clock::now() - start, 200ms);
  EXPECT_LT(Clock::now() - start, 3s);
  EXPECT_TRUE(run_in_child([] { return 0; }, 5s).ok()) << "and nothing is left behind";
}

TEST(RunInChild, WhatTheChildWritesToMemoryStaysThere) {
  int value = 1;
  EXPECT_TRUE(run_in_child([&] { value = 2; return 0; }, 5s).ok());
  EXPECT_EQ(value, 1);
}

TEST(Process, ShortProgramsCostMilliseconds) {
  auto best = Clock::duration::max();
  for (int i = 0; i < 20; ++i) {
    const auto start = Clock::now();
    ASSERT_EQ(run_process({"true"})->exit_code, 0);
    best = std::min(best, Clock::now() - start);
  }
  EXPECT_LT(best, 40ms) << "a poll period is 50 ms, and nobody should wait for it";
}

TEST(Process, WorksWithOurOwnStandardStreamsClosed) {
  const ChildOutcome outcome = run_in_child([] {
    for (int stream = 0; stream < 3; ++stream) ::close(stream);
    const Result<ProcessOutput> run = shell("echo out; echo error >&2");
    return run.ok() && run->out == "out\n" && run->error == "error\n" ? 0 : 1;
  }, 20s);
  EXPECT_TRUE(outcome.ok());
}

TEST(RunInChild, WhatTheBodyStartedDiesWithIt) {
  const TemporaryFolder folder;
  const ChildOutcome outcome = run_in_child([&] {
    return ::system(("sh -c 'echo $$ > " + (folder / "inner").string() + "; exec sleep 60'").c_str());
  }, 700ms);
  EXPECT_TRUE(outcome.timed_out);
  const pid_t inner = pid_in(folder / "inner");
  ASSERT_GT(inner, 1);
  EXPECT_TRUE(dies_within(inner, 2s));
}

TEST(DescriptorLimit, GoesUpToTheHardOne) {
  const ChildOutcome outcome = run_in_child([] {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = 64;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    const uint64_t raised = raise_descriptor_limit();
    ::getrlimit(RLIMIT_NOFILE, &limit);
    return raised == limit.rlim_max && limit.rlim_cur == limit.rlim_max ? 0 : 1;
  }, 20s);
  EXPECT_TRUE(outcome.ok());
}

std::string read_output(const ChildProcess& child) {
  std::string text;
  char piece[256];
  for (ssize_t count; (count = ::read(child.output(), piece, sizeof piece)) > 0;) text.append(piece, static_cast<size_t>(count));
  return text;
}

TEST(SpawnProcess, RunsBesideUsAndSaysHowItEnded) {
  const auto child = spawn_process({"sh", "-c", "echo out; echo error >&2; exit 3"});
  ASSERT_TRUE(child) << to_string(child.error());
  EXPECT_EQ(read_output(*child), "out\nerror\n");
  const auto end = child->wait(5s);
  ASSERT_TRUE(end);
  EXPECT_EQ(to_string(*end), "exited with 3");
  EXPECT_EQ(child->end()->exit_code, 3) << "asked twice, the same";
}

TEST(SpawnProcess, ASignalIsNamed) {
  const auto child = spawn_process({"sleep", "60"});
  ASSERT_TRUE(child) << to_string(child.error());
  EXPECT_FALSE(child->end());
  child->send_signal(SIGKILL);
  const auto end = child->wait(5s);
  ASSERT_TRUE(end);
  EXPECT_EQ(to_string(*end), "was killed by signal 9 (Killed)");
  child->send_signal(SIGKILL);  // nobody of that number is ours any more
}

TEST(SpawnProcess, DestroyingItKillsItsWholeGroup) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "pid";
  pid_t parent = 0, grandchild = 0;
  {
    const auto child = spawn_process({"sh", "-c", "sleep 60 & echo $! > " + file.string() + "; wait"});
    ASSERT_TRUE(child) << to_string(child.error());
    parent = child->pid();
    for (int i = 0; i < 500 && (grandchild = pid_in(file)) == 0; ++i) std::this_thread::sleep_for(10ms);
    ASSERT_NE(grandchild, 0);
  }
  EXPECT_TRUE(dies_within(parent, 5s));
  EXPECT_TRUE(dies_within(grandchild, 5s));
}

TEST(SpawnProcess, AFileIsHandedOverAsNumberThree) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const auto child = spawn_process({"sh", "-c", "echo over >&3; ls /proc/self/fd | wc -l"}, {.inherited = ends[1]});
  ASSERT_TRUE(child) << to_string(child.error());
  ::close(ends[1]);
  char text[16] = {};
  EXPECT_EQ(::read(ends[0], text, sizeof text), 5);
  EXPECT_STREQ(text, "over\n");
  ::close(ends[0]);
  EXPECT_LE(std::atoi(read_output(*child).c_str()), 6) << "0 to 3, ls' own folder, and nothing else of ours";
}

TEST(SpawnProcess, AMissingProgramIsNamed) {
  const auto child = spawn_process({"no-such-program-here"});
  ASSERT_FALSE(child);
  EXPECT_EQ(child.error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace accelerate
