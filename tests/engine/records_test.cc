#include "accelerate/engine/records.h"

#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <limits>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/scratch.h"

namespace accelerate {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

Record bench_record(const std::string& target = "cpu@cpu:0") {
  return {.key = {.model_id = "m", .quantization = "Q4_1", .shape = "p512-g128-b1", .target = target, .versions = "v", .fingerprint = "f", .threads = 2},
          .kind = "bench", .samples = {{"ttft_ms", {1.5, 2.25}}}, .notes = {"a note"}};
}

class RecordsTest : public ::testing::Test {
 protected:
  std::unique_ptr<Records> open() {
    auto records = Records::open(path_);
    EXPECT_TRUE(records) << (records ? "" : to_string(records.error()));
    return records ? *std::move(records) : nullptr;
  }
  void sql(const std::string& text) {
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open(path_.c_str(), &database), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(database, text.c_str(), nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(database);
    sqlite3_close(database);
  }
  size_t set_aside() const {
    size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) count += holds_corrupt(entry.path().filename().string());
    return count;
  }
  static bool holds_corrupt(const std::string& name) { return name.find(".corrupt-") != std::string::npos; }
  TemporaryFolder folder_;
  std::filesystem::path path_ = folder_ / "records.sqlite";
};

TEST_F(RecordsTest, WhatWasAddedIsFoundWithItsRawSamplesNewestFirst) {
  { ASSERT_TRUE(open()->add(bench_record())); }
  const auto records = open();
  ASSERT_TRUE(records->add(bench_record("cpu@cpu:0 exact")));
  const auto all = records->find({});
  ASSERT_TRUE(all) << to_string(all.error());
  ASSERT_THAT(*all, SizeIs(2));
  EXPECT_EQ((*all)[0].key.target, "cpu@cpu:0 exact");
  const Record& first = (*all)[1];
  EXPECT_EQ(first.key, bench_record().key);
  EXPECT_EQ(first.kind, "bench");
  EXPECT_THAT(first.samples.at("ttft_ms"), ElementsAre(1.5, 2.25));
  EXPECT_THAT(first.notes, ElementsAre("a note"));
  EXPECT_GT(first.unix_s, 1'700'000'000);
  EXPECT_TRUE(records->notices().empty());
}

TEST_F(RecordsTest, AFilterMatchesAllItNames) {
  const auto records = open();
  ASSERT_TRUE(records->add(bench_record()));
  const RecordFilter hits[] = {{.kind = "bench"}, {.model_id = "m"}, {.quantization = "Q4_1"}, {.shape = "p512-g128-b1"}, {.target = "cpu@cpu:0"},
                               {.versions = "v"}, {.fingerprint = "f"}, {.threads = 2}};
  for (const RecordFilter& filter : hits) EXPECT_THAT(*records->find(filter), SizeIs(1));
  const RecordFilter misses[] = {{.kind = "parity"}, {.model_id = "' OR 1 --"}, {.quantization = "F32"}, {.shape = "x"}, {.target = "x"}, {.versions = "x"},
                                 {.fingerprint = "x"}, {.threads = 3}};
  for (const RecordFilter& filter : misses) EXPECT_THAT(*records->find(filter), SizeIs(0));
}

TEST_F(RecordsTest, OnlyNumbersAndNotTooMany) {
  const auto records = open();
  Record record = bench_record();
  record.samples["x"] = {std::numeric_limits<double>::quiet_NaN()};
  EXPECT_EQ(records->add(record).error().code, ErrorCode::kInvalidArgument);
  record.samples["x"].assign(kRecordSamplesMax + 1, 1.0);
  EXPECT_EQ(records->add(record).error().code, ErrorCode::kResourceExhausted);
  EXPECT_THAT(*records->find({}), SizeIs(0));
}

TEST_F(RecordsTest, AFileOfANewerVersionIsLeftUntouched) {
  open();
  sql("PRAGMA journal_mode=DELETE; PRAGMA user_version = 7");
  const std::string before = read_text(path_);
  const auto refused = Records::open(path_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kFailedPrecondition);
  EXPECT_THAT(refused.error().message, HasSubstr("version 7"));
  EXPECT_THAT(refused.error().message, HasSubstr(path_.string()));
  EXPECT_EQ(read_text(path_), before);
  EXPECT_EQ(folder_.file_count(), 1u);
}

TEST_F(RecordsTest, ACorruptFileIsSetAsideAndSaid) {
  write_text(path_, std::string(8192, 'x'));
  const auto records = open();
  ASSERT_TRUE(records);
  EXPECT_EQ(set_aside(), 1u);
  ASSERT_THAT(records->notices(), SizeIs(1));
  EXPECT_THAT(records->notices()[0], HasSubstr(".corrupt-"));
  EXPECT_TRUE(records->add(bench_record()));
}

TEST_F(RecordsTest, AFileThatBreaksInsideIsSetAsideToo) {
  {
    const auto records = open();
    for (int i = 0; i < 200; ++i) ASSERT_TRUE(records->add(bench_record()));
  }
  sql("PRAGMA journal_mode=DELETE");
  std::string text = read_text(path_);
  ASSERT_GE(text.size(), 32768u);
  std::fill(text.begin() + 4096, text.end() - 4096, '\x7f');
  write_text(path_, text);
  const auto records = open();
  ASSERT_TRUE(records);
  EXPECT_EQ(set_aside(), 1u);
  EXPECT_TRUE(records->add(bench_record()));
  EXPECT_THAT(*records->find({}), SizeIs(1));
}

TEST_F(RecordsTest, TwoProcessesAndManyThreadsWriteOneFile) {
  constexpr int kEach = 40;
  const auto write = [&] {
    auto records = Records::open(path_);
    if (!records) return false;
    for (int i = 0; i < kEach; ++i) {
      if (!(*records)->add(bench_record())) return false;
    }
    return true;
  };
  std::vector<pid_t> children;
  for (int i = 0; i < 3; ++i) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) ::_exit(write() ? 0 : 1);
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  const auto records = open();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) threads.emplace_back([&] { for (int i = 0; i < kEach; ++i) EXPECT_TRUE(records->add(bench_record())); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(*records->find({}), SizeIs(7 * kEach));
}

TEST_F(RecordsTest, AFolderThatCanNotBeMadeIsAnErrorWithItsName) {
  write_text(folder_ / "file", "x");
  const auto refused = Records::open(folder_ / "file" / "records.sqlite");
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("file"));
}

// Root may write anything, so a file is made unwritable by a limit on its size: what a full disk does as well.
TEST_F(RecordsTest, AFullDiskIsAnErrorAndWhatWasThereStays) {
  { ASSERT_TRUE(open()->add(bench_record())); }
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    auto records = Records::open(path_);
    const rlimit limit{.rlim_cur = 4096, .rlim_max = 4096};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    if (!records) ::_exit(2);
    Record record = bench_record();
    record.samples["x"].assign(50'000, 1.0 / 3);
    const Result<void> added = (*records)->add(record);
    if (added) ::_exit(3);
    ::_exit((*records)->find({}) ? 0 : 4);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0) << "an error, not a signal";
  EXPECT_THAT(*open()->find({}), SizeIs(1));
}

TEST_F(RecordsTest, AReadOnlyFileIsReadAndSaid) {
  { ASSERT_TRUE(open()->add(bench_record())); }
  ASSERT_EQ(::chmod(path_.c_str(), 0444), 0);
  ASSERT_EQ(::chmod(folder_.path().c_str(), 0555), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (::geteuid() == 0 && ::setuid(65534) != 0) ::_exit(2);  // root may write anything
    auto records = Records::open(path_);
    if (!records) ::_exit(3);
    const auto found = (*records)->find({});
    if (!found || found->size() != 1) ::_exit(4);
    const Result<void> added = (*records)->add(bench_record());
    if (added || added.error().code != ErrorCode::kPermissionDenied) ::_exit(5);
    ::_exit((*records)->notices().size() == 1 ? 0 : 6);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 0);
  ::chmod(folder_.path().c_str(), 0755);
}

}  // namespace
}  // namespace accelerate
