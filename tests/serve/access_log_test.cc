#include "accelerate/serve/access_log.h"

#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "accelerate/base/file.h"
#include "accelerate/base/log.h"
#include "tests/serve/read_json.h"
#include "tests/temporary.h"

namespace accelerate {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

AccessRecord record() {
  return {.id = "req_1", .method = "POST", .path = "/v1/chat/completions", .route = "/v1/chat/completions", .status = 200, .bytes_in = 12,
          .bytes_out = 345, .duration_ms = 81.25, .ttft_ms = 9.5, .client = "key-1a2b3c4d", .peer = "127.0.0.1:5", .model = "smollm2"};
}

TEST(AccessLog, ALineSaysItAll) {
  const std::string line = access_line(record(), 1'700'000'000'007);
  EXPECT_THAT(line, StartsWith("{\"time\":\"2023-11-14T22:13:20.007Z\",\"id\":\"req_1\",\"method\":\"POST\","));
  const Json json = read(line);
  EXPECT_EQ(json["status"], 200);
  EXPECT_EQ(json["whole"], true);
  EXPECT_EQ(json["bytes_in"], 12);
  EXPECT_EQ(json["bytes_out"], 345);
  EXPECT_DOUBLE_EQ(json["duration_ms"], 81.3);
  EXPECT_DOUBLE_EQ(json["ttft_ms"], 9.5);
  EXPECT_EQ(json["client"], "key-1a2b3c4d");
  EXPECT_EQ(json["model"], "smollm2");
}

TEST(AccessLog, StrangersTextStaysOneBoundedLine) {
  AccessRecord hostile = record();
  hostile.path = "/\n\"\xff\x1b[31m" + std::string(100'000, 'x');
  hostile.method = std::string(5000, 'M');
  hostile.client = hostile.model = hostile.route = "";
  hostile.ttft_ms.reset();
  const std::string line = access_line(hostile, 0);
  EXPECT_EQ(line.find('\n'), std::string::npos);
  EXPECT_EQ(line.find('\x1b'), std::string::npos);
  EXPECT_LT(line.size(), 1000u);
  const Json json = read(line);
  for (const char* name : {"client", "model", "route", "ttft_ms"}) EXPECT_TRUE(json[name].is_null()) << name;
}

TEST(AccessLog, AppendsWholeLinesFromManyThreads) {
  const TemporaryFolder folder;
  folder.write("access.log", "before\n");
  {
    auto log = AccessLog::open((folder / "access.log").string());
    ASSERT_TRUE(log.ok()) << log.error().message;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 100; ++i) (*log)->write(record());
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  const Result<std::string> text = read_file(folder / "access.log", 1 << 20);
  ASSERT_TRUE(text.ok());
  std::istringstream lines(*text);
  std::string line;
  std::getline(lines, line);
  EXPECT_EQ(line, "before");
  int count = 0;
  for (; std::getline(lines, line); ++count) EXPECT_EQ(read(line)["id"], "req_1");
  EXPECT_EQ(count, 400);
}

TEST(AccessLog, WithoutAFileItIsALineOfTheLog) {
  const LogLevel before = log_level();
  auto log = AccessLog::open("");
  ASSERT_TRUE(log.ok());
  ::testing::internal::CaptureStderr();
  set_log_level(LogLevel::kWarning);
  (*log)->write(record());
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  ::testing::internal::CaptureStderr();
  set_log_level(LogLevel::kInfo);
  (*log)->write(record());
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("\"id\":\"req_1\""));
  set_log_level(before);
}

TEST(AccessLog, AFileThatCannotBeOpenedIsAnError) {
  const auto log = AccessLog::open("/nonexistent/folder/access.log");
  ASSERT_FALSE(log.ok());
  EXPECT_EQ(log.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(log.error().message, HasSubstr("/nonexistent/folder/access.log"));
}

}  // namespace
}  // namespace accelerate
