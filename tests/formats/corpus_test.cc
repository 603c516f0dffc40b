// The fuzzers' seeds: each is read without harm here too, so that a build without clang runs them; names that begin with
// "good_" must give a graph.
#include <filesystem>

#include <gtest/gtest.h>

#include "accelerate/base/file.h"
#include "tests/formats/gguf_writer.h"
#include "tests/formats/walk.h"

namespace accelerate {
namespace {

namespace fs = std::filesystem;

int walk_all(const std::string& kind, bool (*walk)(std::span<const std::byte>)) {
  int good = 0;
  for (const auto& entry : fs::directory_iterator(fs::path(ACC_SOURCE_DIR) / "tests/formats/corpus" / kind)) {
    const auto content = read_file(entry.path(), 1 << 20);
    EXPECT_TRUE(content.ok()) << entry.path();
    const testing::AlignedBytes bytes(*content);
    const bool built = walk(bytes.span());
    if (!entry.path().filename().string().starts_with("good_")) continue;
    EXPECT_TRUE(built) << entry.path();
    ++good;
  }
  return good;
}

TEST(Corpus, EverySeedIsRead) {
  EXPECT_GE(walk_all("gguf", &testing::walk_gguf), 4);
  EXPECT_GE(walk_all("safetensors", &testing::walk_safetensors), 1);
}

}  // namespace
}  // namespace accelerate
