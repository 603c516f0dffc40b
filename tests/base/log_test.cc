#include "accelerate/base/log.h"

#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace accelerate {
namespace {

class LevelRestored {
 public:
  LevelRestored() : level_(log_level()) {}
  ~LevelRestored() { set_log_level(level_); }

 private:
  LogLevel level_;
};

std::string written_at(LogLevel level) {
  const LevelRestored restored;
  set_log_level(level);
  EXPECT_EQ(log_level(), level);
  ::testing::internal::CaptureStderr();
  log_debug("line d");
  log_info("line i");
  log_warning("line w");
  log_error("line e");
  return ::testing::internal::GetCapturedStderr();
}

TEST(Log, EachLevelLetsItselfAndWorseThrough) {
  const std::string all[] = {"line d", "line i", "line w", "line e"};
  const LogLevel levels[] = {LogLevel::kDebug, LogLevel::kInfo, LogLevel::kWarning, LogLevel::kError, LogLevel::kOff};
  for (size_t level = 0; level < 5; ++level) {
    const std::string text = written_at(levels[level]);
    for (size_t line = 0; line < 4; ++line) EXPECT_EQ(text.find(all[line]) != std::string::npos, line >= level) << level << " " << line;
  }
}

TEST(Log, BracesAndPercentSignsAreText) {
  const LevelRestored restored;
  set_log_level(LogLevel::kInfo);
  ::testing::internal::CaptureStderr();
  log_info("{} {0:x} %s %n {");
  log_info(std::string("\xff\0 bytes", 8));
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), ::testing::HasSubstr("{} {0:x} %s %n {"));
}

TEST(Log, LinesOfThreadsStayWhole) {
  const LevelRestored restored;
  set_log_level(LogLevel::kInfo);
  ::testing::internal::CaptureStderr();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([t] {
      for (int i = 0; i < 200; ++i) log_info("<" + std::string(50, static_cast<char>('a' + t)) + ">");
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::string text = ::testing::internal::GetCapturedStderr();
  for (int t = 0; t < 4; ++t) {
    size_t count = 0;
    const std::string line = "<" + std::string(50, static_cast<char>('a' + t)) + ">\n";
    for (size_t at = text.find(line); at != std::string::npos; at = text.find(line, at + 1)) ++count;
    EXPECT_EQ(count, 200u) << t;
  }
}

}  // namespace
}  // namespace accelerate
