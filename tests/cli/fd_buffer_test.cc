#include "accelerate/cli/fd_buffer.h"

#include <csignal>
#include <istream>
#include <ostream>
#include <string>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <unistd.h>

#include "accelerate/cli/signals.h"

namespace accelerate {
namespace {

struct Pipe {
  int read_end = -1, write_end = -1;
  Pipe() {
    int ends[2];
    EXPECT_EQ(::pipe(ends), 0);
    read_end = ends[0];
    write_end = ends[1];
  }
  ~Pipe() {
    close_read();
    close_write();
  }
  void close_read() { close_one(read_end); }
  void close_write() { close_one(write_end); }
  static void close_one(int& fd) {
    if (fd >= 0) ::close(fd);
    fd = -1;
  }
};

TEST(FdBuffer, CarriesTextBothWays) {
  Pipe pipe;
  const std::string text(40'000, 'x');  // more than a buffer
  {
    FdBuffer buffer(pipe.write_end);
    std::ostream out(&buffer);
    out << text << "\n" << std::flush;
    EXPECT_TRUE(out.good());
  }
  pipe.close_write();
  FdBuffer buffer(pipe.read_end);
  std::istream in(&buffer);
  std::string line;
  ASSERT_TRUE(std::getline(in, line));
  EXPECT_EQ(line, text);
  EXPECT_FALSE(std::getline(in, line));
}

TEST(FdBuffer, RemembersThatTheReaderIsGone) {
  const auto old_handler = std::signal(SIGPIPE, SIG_IGN);
  Pipe pipe;
  pipe.close_read();
  FdBuffer buffer(pipe.write_end);
  std::ostream out(&buffer);
  out << "x" << std::flush;
  EXPECT_FALSE(out.good());
  EXPECT_EQ(buffer.error_number(), EPIPE);
  std::signal(SIGPIPE, old_handler);
}

TEST(FdBuffer, RemembersAFullDisk) {
  const int full = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
  if (full < 0) GTEST_SKIP() << "no /dev/full here";
  {
    FdBuffer buffer(full);
    std::ostream out(&buffer);
    out << "x" << std::flush;
    EXPECT_FALSE(out.good());
    EXPECT_EQ(buffer.error_number(), ENOSPC);
  }
  ::close(full);
}

TEST(FdBuffer, ASignalEndsAReadThatWaits) {
  const SignalScope scope;
  Pipe pipe;
  FdBuffer buffer(pipe.read_end);
  std::istream in(&buffer);
  std::thread sender([reader = ::pthread_self()] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    ::pthread_kill(reader, SIGINT);
  });
  std::string line;
  EXPECT_FALSE(std::getline(in, line));
  EXPECT_EQ(signals_received(), 1);
  sender.join();
}

}  // namespace
}  // namespace accelerate
