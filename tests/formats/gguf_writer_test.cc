// What is written must come back through parse_gguf; what is not finished must leave nothing.
#include "accelerate/formats/gguf_writer.h"

#include <sys/resource.h>

#include <csignal>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "accelerate/base/file.h"
#include "tests/temporary.h"

namespace accelerate {
namespace {

using ::testing::HasSubstr;

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

GgufMetadata some_metadata() {
  GgufMetadata metadata;
  metadata.text("general.architecture", "llama");
  metadata.integer("llama.block_count", 3);
  return metadata;
}

class GgufFileWriterTest : public ::testing::Test {
 protected:
  TemporaryFolder folder_;
  std::filesystem::path path_ = folder_ / "out.gguf";

  Result<std::unique_ptr<GgufFileWriter>> create(std::vector<GgufTensorInfo> tensors, const GgufFileWriter::Options& options = {}) {
    return GgufFileWriter::create(path_, some_metadata(), std::move(tensors), options);
  }
};

TEST_F(GgufFileWriterTest, WhatIsWrittenComesBack) {
  const std::string first(18 * 2 * 3, 'a'), second(20, 'b');
  for (const uint64_t alignment : {uint64_t{32}, uint64_t{8}, uint64_t{256}}) {
    const auto writer = create({{"a.weight", DType::kQ4_0, {3, 64}}, {"b", DType::kF32, {5}}, {"c", DType::kI8, {1, 2, 2}}},
                               {.replace = true, .alignment = alignment});
    ASSERT_TRUE(writer) << writer.error().message;
    const std::string all = first + second + "cccc";
    for (size_t at = 0; at < all.size(); at += 7) ASSERT_TRUE((*writer)->write(bytes_of(std::string_view(all).substr(at, 7))));
    ASSERT_TRUE((*writer)->finish());
    const auto file = MappedFile::open(path_);
    ASSERT_TRUE(file);
    EXPECT_EQ((*file)->bytes().size(), (*writer)->size_bytes());
    const Result<GgufFile> gguf = parse_gguf((*file)->bytes());
    ASSERT_TRUE(gguf) << gguf.error().message;
    EXPECT_EQ(gguf->version, 3u);
    EXPECT_EQ(gguf->alignment, alignment);
    EXPECT_EQ(*gguf->text("general.architecture"), "llama");
    EXPECT_EQ(*gguf->integer("llama.block_count"), 3u);
    ASSERT_EQ(gguf->tensors.size(), 3u);
    EXPECT_EQ(to_string(gguf->tensors[0]), "[3, 64] Q4_0");
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(gguf->tensors[0].bytes.data()), gguf->tensors[0].bytes.size()), first);
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(gguf->tensors[1].bytes.data()), gguf->tensors[1].bytes.size()), second);
    EXPECT_EQ(gguf->tensors[2].shape, (std::vector<uint64_t>{1, 2, 2}));
  }
  EXPECT_EQ(folder_.file_count(), 1u);
}

TEST_F(GgufFileWriterTest, EntriesOfAnotherFileAreCopiedAndReplacedInPlace) {
  GgufMetadata metadata = some_metadata();
  metadata.text("z", "last");
  metadata.integer("llama.block_count", 7);
  const auto writer = GgufFileWriter::create(path_, metadata, {}, {});
  ASSERT_TRUE(writer && (*writer)->finish());
  const auto file = MappedFile::open(path_);
  const Result<GgufFile> gguf = parse_gguf((*file)->bytes());
  ASSERT_TRUE(gguf);
  ASSERT_EQ(gguf->entries.size(), 3u);
  EXPECT_EQ(gguf->entries[1].key, "llama.block_count");
  EXPECT_EQ(*gguf->integer("llama.block_count"), 7u);
  GgufMetadata again;
  for (const GgufEntry& entry : gguf->entries) again.copy(entry);
  path_ = folder_ / "again.gguf";
  const auto second = GgufFileWriter::create(path_, again, {}, {});
  ASSERT_TRUE(second && (*second)->finish());
  EXPECT_EQ(*read_file(path_, 1 << 20), *read_file(folder_ / "out.gguf", 1 << 20));
}

TEST_F(GgufFileWriterTest, AnUnfinishedFileLeavesNothing) {
  {
    const auto writer = create({{"a", DType::kF32, {8}}});
    ASSERT_TRUE(writer);
    ASSERT_TRUE((*writer)->write(bytes_of("12345678")));
    EXPECT_EQ(folder_.file_count(), 1u);
    EXPECT_FALSE(std::filesystem::exists(path_));
  }
  EXPECT_EQ(folder_.file_count(), 0u);
}

TEST_F(GgufFileWriterTest, AnExistingFileIsReplacedOnlyWhenAsked) {
  folder_.write("out.gguf", "precious");
  const auto refused = create({});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kAlreadyExists);
  const auto writer = create({}, {.replace = true});
  ASSERT_TRUE(writer);
  EXPECT_EQ(*read_file(path_, 100), "precious");
  ASSERT_TRUE((*writer)->finish());
  EXPECT_EQ(read_file(path_, 1 << 20)->substr(0, 4), "GGUF");
}

TEST_F(GgufFileWriterTest, AFileThatAppearsMeanwhileIsKept) {
  const auto writer = create({});
  ASSERT_TRUE(writer);
  folder_.write("out.gguf", "precious");
  const Result<void> finished = (*writer)->finish();
  ASSERT_FALSE(finished);
  EXPECT_EQ(finished.error().code, ErrorCode::kAlreadyExists);
  EXPECT_EQ(*read_file(path_, 100), "precious");
}

TEST_F(GgufFileWriterTest, FoldersAndDevicesAreNotReplacedAndLinksAreFollowed) {
  std::filesystem::create_directory(path_);
  EXPECT_FALSE(create({}, {.replace = true}));
  std::filesystem::remove(path_);
  std::filesystem::create_symlink("/dev/null", path_);
  EXPECT_FALSE(create({}, {.replace = true}));
  std::filesystem::remove(path_);
  folder_.write("real.gguf", "old");
  std::filesystem::create_symlink("real.gguf", path_);
  const auto writer = create({}, {.replace = true});
  ASSERT_TRUE(writer && (*writer)->finish());
  EXPECT_TRUE(std::filesystem::is_symlink(path_));
  EXPECT_EQ(read_file(folder_ / "real.gguf", 1 << 20)->substr(0, 4), "GGUF");
}

TEST_F(GgufFileWriterTest, AFullDiskIsSeenAtOnceAndLeavesNothing) {
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  const rlimit small{4096, old.rlim_max};
  auto* const handler = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const auto writer = create({{"a", DType::kF32, {100000}}});
  ::setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, handler);
  ASSERT_FALSE(writer);
  EXPECT_EQ(writer.error().code, ErrorCode::kResourceExhausted);
  EXPECT_THAT(writer.error().message, HasSubstr("out.gguf"));
  EXPECT_EQ(folder_.file_count(), 0u);
}

TEST_F(GgufFileWriterTest, WhatNoReaderTakesIsRefused) {
  const std::vector<std::vector<GgufTensorInfo>> cases{
      {{"", DType::kF32, {1}}}, {{"a\n", DType::kF32, {1}}}, {{"a", DType::kF32, {}}}, {{"a", DType::kF32, {1, 1, 1, 1, 1}}},
      {{"a", DType::kF32, {0}}}, {{"a", DType::kBool, {1}}}, {{"a", DType::kQ4_0, {2, 31}}}, {{"a", DType::kQ4_0, {32, 1}}},
      {{"a", DType::kF32, {uint64_t{1} << 40, uint64_t{1} << 40}}}, {{"a", DType::kF32, {1}}, {"a", DType::kF32, {1}}}};
  for (const auto& tensors : cases) {
    const auto writer = create(tensors);
    ASSERT_FALSE(writer) << tensors[0].name;
    EXPECT_EQ(writer.error().code, ErrorCode::kInvalidArgument) << writer.error().message;
  }
  EXPECT_EQ(GgufFileWriter::create(folder_ / "no" / "out.gguf", {}, {}, {}).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(folder_.file_count(), 0u);
}

}  // namespace
}  // namespace accelerate
