#include "accelerate/formats/model_id.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "accelerate/base/file.h"
#include "accelerate/base/sha256.h"
#include "accelerate/formats/open.h"
#include "tests/formats/gguf_writer.h"
#include "tests/temporary.h"

namespace accelerate {
namespace {

namespace fs = std::filesystem;

struct Fixture {
  TemporaryFolder folder;
  ModelIdOptions options{.cache_file = folder.path() / "cache/file_hashes.json"};
  std::string content = testing::small_llama().text_of_file();
  Model open() {
    folder.write("m/model.gguf", content);
    return std::move(**open_model(folder.path() / "m/model.gguf"));
  }
};

TEST(ModelId, IsTheHashOfTheSortedList) {
  Fixture f;
  const auto id = compute_model_id(f.open(), f.options);
  ASSERT_TRUE(id.ok()) << id.error().message;
  EXPECT_EQ(*id, sha256_hex(sha256_hex(f.content) + " " + std::to_string(f.content.size()) + " model.gguf\n"));
}

TEST(ModelId, RemembersHashesAndForgetsChangedFiles) {
  Fixture f;
  const std::string first = *compute_model_id(f.open(), f.options);
  // A remembered hash is taken as it is: change it in the cache and the id follows.
  std::string cache = *read_file(f.options.cache_file, 1 << 20);
  const std::string hash = sha256_hex(f.content);
  cache.replace(cache.find(hash), 64, std::string(64, '0'));
  f.folder.write("cache/file_hashes.json", cache);
  const Model same = std::move(**open_model(f.folder.path() / "m/model.gguf"));
  EXPECT_NE(*compute_model_id(same, f.options), first);
  fs::last_write_time(f.folder.path() / "m/model.gguf", fs::file_time_type::clock::now() + std::chrono::seconds(5));
  EXPECT_EQ(*compute_model_id(same, f.options), first);
}

TEST(ModelId, ABrokenCacheIsLeftAside) {
  Fixture f;
  const std::string first = *compute_model_id(f.open(), f.options);
  for (const char* broken : {"", "{", "[]", "{\"files\":5}", "{\"files\":{\"x\":1}}"}) {
    f.folder.write("cache/file_hashes.json", broken);
    EXPECT_EQ(*compute_model_id(f.open(), f.options), first) << broken;
  }
}

TEST(ModelId, StopsWhenAsked) {
  Fixture f;
  const std::atomic<bool> stop{true};
  f.options.stop = &stop;
  EXPECT_EQ(compute_model_id(f.open(), f.options).error().code, ErrorCode::kCancelled);
}

TEST(ModelId, CoversTheConfigurationOfADirectory) {
  const auto model = open_model(fs::path(ACC_TEST_DATA) / "fixtures/llama_hf_f16_sharded");
  ASSERT_TRUE(model.ok());
  std::vector<std::string> names;
  for (const fs::path& file : identity_files(**model)) names.push_back(file.filename());
  EXPECT_THAT(names, ::testing::UnorderedElementsAre("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "config.json",
                                                     "generation_config.json", "tokenizer.json", "tokenizer_config.json",
                                                     "model.safetensors.index.json"));
}

TEST(ModelId, AModelWithoutFilesHasNone) { EXPECT_EQ(compute_model_id(Model{}, {.cache_file = "/nonexistent/cache"}).error().code, ErrorCode::kFailedPrecondition); }

}  // namespace
}  // namespace accelerate
