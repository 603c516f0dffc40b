#include "accelerate/base/file.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstring>
#include <fstream>
#include <sstream>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "accelerate/base/process.h"
#include "tests/temporary.h"

namespace accelerate {
namespace {

std::string text_of(const MappedFile& file) { return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()}; }

TEST(File, MapsWhatIsThere) {
  const TemporaryFolder folder;
  folder.write("a", "hello");
  const auto file = MappedFile::open(folder / "a");
  ASSERT_TRUE(file);
  EXPECT_EQ(text_of(**file), "hello");
  EXPECT_EQ((*file)->path(), folder / "a");
}

TEST(File, AnEmptyFileMapsToNoBytes) {
  const TemporaryFolder folder;
  folder.write("empty", "");
  const auto file = MappedFile::open(folder / "empty");
  ASSERT_TRUE(file);
  EXPECT_TRUE((*file)->bytes().empty());
}

TEST(File, TheMapOutlivesTheName) {
  const TemporaryFolder folder;
  folder.write("a", "still here");
  const auto file = MappedFile::open(folder / "a");
  ASSERT_TRUE(file);
  std::filesystem::remove(folder / "a");
  EXPECT_EQ(text_of(**file), "still here");
}

TEST(File, WhatIsNoFileIsRefusedAtOnce) {
  const TemporaryFolder folder;
  ASSERT_EQ(::mkfifo((folder / "fifo").c_str(), 0600), 0);
  std::filesystem::create_symlink(folder / "nowhere", folder / "dangling");
  std::filesystem::create_symlink(folder / "loop", folder / "loop");
  folder.write("plain", "x");
  const std::pair<std::filesystem::path, ErrorCode> cases[] = {
      {folder / "missing", ErrorCode::kNotFound},
      {folder / "dangling", ErrorCode::kNotFound},
      {folder / "plain/below", ErrorCode::kNotFound},
      {folder.path(), ErrorCode::kInvalidArgument},
      {folder / "fifo", ErrorCode::kInvalidArgument},
      {folder / "loop", ErrorCode::kInvalidArgument},
      {"/dev/zero", ErrorCode::kInvalidArgument},
      {folder / std::string(5000, 'n'), ErrorCode::kInvalidArgument},
  };
  for (const auto& [path, code] : cases) {
    const auto file = MappedFile::open(path);
    ASSERT_FALSE(file) << path;
    EXPECT_EQ(file.error().code, code) << to_string(file.error());
    EXPECT_THAT(file.error().message, ::testing::HasSubstr(path.string())) << "errors name the path";
    const auto text = read_file(path, 100);
    ASSERT_FALSE(text) << path;
    EXPECT_EQ(text.error().code, code) << to_string(text.error());
  }
}

TEST(File, PermissionIsAskedFor) {
  constexpr uid_t kNobody = 65534;
  const TemporaryFolder folder;
  folder.write("secret", "x");
  ::chmod((folder / "secret").c_str(), 0);
  ::chmod(folder.path().c_str(), 0755);
  const ChildOutcome outcome = run_in_child([&] {  // root may read everything, so a child gives that up
    if (::geteuid() == 0 && ::setuid(kNobody) != 0) return 2;
    const auto file = MappedFile::open(folder / "secret");
    return !file && file.error().code == ErrorCode::kPermissionDenied ? 0 : 1;
  }, std::chrono::seconds(10));
  EXPECT_TRUE(outcome.ok()) << outcome.exit_code;
}

TEST(File, ReleaseKeepsTheContent) {
  const TemporaryFolder folder;
  std::string content;
  for (int i = 0; i < 200'000; ++i) content += static_cast<char>(i * 7 + i / 256);
  folder.write("big", content);
  const auto file = MappedFile::open(folder / "big");
  ASSERT_TRUE(file);
  const auto bytes = (*file)->bytes();
  (*file)->release(bytes.subspan(100, 150'000));
  EXPECT_EQ(text_of(**file), content);
  (*file)->release(bytes);
  (*file)->release(bytes.subspan(0, 0));
  (*file)->release(bytes.subspan(5, 10));
  EXPECT_EQ(text_of(**file), content);
}

// Pages of the map at `bytes` that are in our resident set.
size_t resident_pages(std::span<const std::byte> bytes) {
  std::ostringstream key;
  key << std::hex << reinterpret_cast<uintptr_t>(bytes.data()) << "-";
  std::ifstream smaps("/proc/self/smaps");
  bool inside = false;
  for (std::string line; std::getline(smaps, line);) {
    inside |= line.rfind(key.str(), 0) == 0;
    if (inside && line.rfind("Rss:", 0) == 0) return std::stoul(line.substr(4)) * 1024 / 4096;
  }
  return 0;
}

TEST(File, ReleasedPagesLeaveTheResidentSet) {
  const TemporaryFolder folder;
  constexpr size_t kBytes = size_t{4} << 20;
  folder.write("big", std::string(kBytes, 'r'));
  const auto file = MappedFile::open(folder / "big");
  ASSERT_TRUE(file);
  const auto bytes = (*file)->bytes();
  ASSERT_EQ(std::count(bytes.begin(), bytes.end(), std::byte{'r'}), static_cast<ptrdiff_t>(kBytes));
  ASSERT_EQ(resident_pages(bytes), 1024u);
  (*file)->release(bytes.subspan(100, size_t{2} << 20));  // 511 whole pages; a kernel that had mapped a huge page drops its 512
  const size_t left = resident_pages(bytes);
  EXPECT_LE(left, 1024u - 511u);
  EXPECT_GE(left, 1024u - 512u);
  (*file)->release(bytes.subspan((size_t{3} << 20) + 10, 100));  // no whole page inside
  EXPECT_EQ(resident_pages(bytes), left);
}

TEST(File, ReadFileKeepsItsLimit) {
  const TemporaryFolder folder;
  folder.write("ten", "0123456789");
  EXPECT_EQ(*read_file(folder / "ten", 10), "0123456789");
  const auto text = read_file(folder / "ten", 9);
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().code, ErrorCode::kResourceExhausted);
}

TEST(File, ReadFileReadsFilesThatDoNotKnowTheirSize) {
  const auto text = read_file("/proc/self/status", 1 << 20);  // says that it has 0 bytes
  ASSERT_TRUE(text) << to_string(text.error());
  EXPECT_THAT(*text, ::testing::HasSubstr("VmRSS"));
  const auto limited = read_file("/proc/self/status", 16);
  ASSERT_FALSE(limited);
  EXPECT_EQ(limited.error().code, ErrorCode::kResourceExhausted);
}

// A configuration that is cut short while it is read must not end the process with SIGBUS.
TEST(File, ReadFileSurvivesTruncationByOthers) {
  const TemporaryFolder folder;
  const std::string content(size_t{4} << 20, 'x');
  folder.write("moving", content);
  std::atomic<bool> stop{false};
  std::thread truncator([&] {
    while (!stop) {
      if (::truncate((folder / "moving").c_str(), 0) != 0 || ::truncate((folder / "moving").c_str(), off_t{4} << 20) != 0) std::abort();
    }
  });
  for (int i = 0; i < 200; ++i) {
    const auto text = read_file(folder / "moving", content.size());
    EXPECT_TRUE(text) << to_string(text.error());
  }
  stop = true;
  truncator.join();
}

TEST(File, AtomicWriteReplacesAndCreatesFolders) {
  const TemporaryFolder folder;
  const auto path = folder / "deep/er/file";
  ASSERT_TRUE(write_file_atomically(path, "one"));
  ASSERT_TRUE(write_file_atomically(path, "two"));
  EXPECT_EQ(*read_file(path, 100), "two");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(path.parent_path()), {}), 1) << "nothing is left beside it";
}

TEST(File, APrivateFileStaysPrivate) {
  const TemporaryFolder folder;
  folder.write("token", "old");
  ::chmod((folder / "token").c_str(), 0600);
  const auto mode_of = [](const std::filesystem::path& path) {
    struct stat status{};
    EXPECT_EQ(::stat(path.c_str(), &status), 0);
    return status.st_mode & 0777;
  };
  ASSERT_TRUE(write_file_atomically(folder / "token", "new"));
  ASSERT_TRUE(write_file_atomically(folder / "fresh", "new"));
  EXPECT_EQ(mode_of(folder / "token"), 0600u);
  EXPECT_EQ(mode_of(folder / "fresh"), 0644u);
}

TEST(File, AtomicWriteIsNeverSeenHalf) {
  const TemporaryFolder folder;
  const auto path = folder / "switch";
  const std::string a(300'000, 'a'), b(300'000, 'b');
  ASSERT_TRUE(write_file_atomically(path, a));
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    for (int i = 0; i < 40; ++i) EXPECT_TRUE(write_file_atomically(path, i % 2 ? a : b));
    stop = true;
  });
  while (!stop) {
    const auto text = read_file(path, 1 << 20);
    ASSERT_TRUE(text);
    ASSERT_TRUE(*text == a || *text == b);
  }
  writer.join();
}

TEST(File, AtomicWriteOnAFullDiskKeepsTheOldAndLeavesNothing) {
  const TemporaryFolder folder;
  const auto path = folder / "kept";
  ASSERT_TRUE(write_file_atomically(path, "old"));
  // A file size limit is what a full disk looks like to write(2): part of it, then an error.
  const ChildOutcome outcome = run_in_child([&] {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{4096, 4096};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 2;
    const Result<void> written = write_file_atomically(path, std::string(100'000, 'n'));
    if (written) return 3;
    return written.error().code == ErrorCode::kResourceExhausted ? 0 : 4;
  }, std::chrono::seconds(10));
  EXPECT_TRUE(outcome.ok()) << outcome.exit_code << " signal " << outcome.signal;
  EXPECT_EQ(*read_file(path, 100), "old");
  EXPECT_EQ(folder.file_count(), 1u);
}

TEST(File, AtomicWriteWhereItCannotBe) {
  const TemporaryFolder folder;
  folder.write("plain", "x");
  std::filesystem::create_directories(folder / "folder/inside");
  for (const auto& path : {folder / "plain/below", folder / "folder"}) {
    const Result<void> written = write_file_atomically(path, "y");
    ASSERT_FALSE(written) << path;
    EXPECT_THAT(written.error().message, ::testing::HasSubstr(path.string()));
  }
  EXPECT_EQ(folder.file_count(), 2u) << "no temporary file is left";
  EXPECT_EQ(*read_file(folder / "plain", 10), "x");
}

TEST(File, ErrorsCarryCodePathAndReason) {
  EXPECT_EQ(errno_error(ENOSPC, "pull", "writing", "/x/y").code, ErrorCode::kResourceExhausted);
  EXPECT_EQ(errno_error(EROFS, "pull", "writing", "/x/y").code, ErrorCode::kPermissionDenied);
  const Error error = errno_error(ENOENT, "pull", "opening", "/x/y");
  EXPECT_EQ(error.message, std::string("[pull] opening '/x/y': ") + std::strerror(ENOENT));
}

}  // namespace
}  // namespace accelerate
