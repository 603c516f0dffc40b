#include "accelerate/engine/program_loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/artifact_backend.h"
#include "tests/engine/file_size_limit.h"
#include "tests/engine/fixture_model.h"

namespace accelerate {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class ProgramLoaderTest : public ::testing::Test {
 protected:
  ProgramLoaderTest() {
    entry_.target = {"fake", {.kind = "cpu", .name = "test"}};
    entry_.backend = &backend_;
    entry_.backend_version = "1";
  }
  LoadWish wish() { return {.model = model_, .name = "llama", .entry = entry_, .compile = compile_, .threads = 2, .cache = &cache_}; }
  /// load() and, as after a proof, keep().
  Result<LoadedProgram> load(Progress& progress = no_progress()) {
    ProgramLoader loader(wish());
    ACC_TRY(LoadedProgram loaded, loader.load(progress));
    ACC_TRY_VOID(loader.keep(loaded, progress));
    return loaded;
  }
  size_t entries() { return cache_.list()->size(); }

  TemporaryFolder home_;
  ScopedEnvironment hashes_{"XDG_CACHE_HOME", (home_ / "cache").string()};
  ProgramCache cache_{{.folder = home_ / "programs", .bytes_max = 100'000}};
  ArtifactBackend backend_;
  PlanEntry entry_;
  CompileOptions compile_;
  std::shared_ptr<const Model> model_ = fixture_model("llama_f32.gguf");
};

TEST_F(ProgramLoaderTest, TheSecondLoadCompilesNothing) {
  auto first = load();
  ASSERT_TRUE(first) << to_string(first.error());
  EXPECT_FALSE(first->from_cache);
  EXPECT_EQ(first->cached, "kept in the program cache");
  ASSERT_TRUE(first->artifact);
  EXPECT_EQ(first->artifact->bytes, 1008u);
  first->program.reset();
  auto second = load();
  ASSERT_TRUE(second) << to_string(second.error());
  EXPECT_TRUE(second->from_cache);
  EXPECT_EQ(second->cached, "loaded from the program cache");
  EXPECT_EQ(second->artifact->path, first->artifact->path);
  EXPECT_EQ(backend_.loaded, first->artifact->path);
  EXPECT_EQ(backend_.seen.artifact_dir, "") << "nothing is to be written at a load";
  EXPECT_EQ(backend_.compiles, 1);
  EXPECT_EQ(backend_.loads, 1);
}

TEST_F(ProgramLoaderTest, TheArtifactStaysWhileItsProgramLives) {
  for (int round = 0; round < 2; ++round) {  // compiled, then loaded
    auto loaded = load();
    ASSERT_TRUE(loaded);
    EXPECT_EQ(cache_.prune({.all = true})->kept_in_use.size(), 1u) << round;
    loaded->program.reset();
    EXPECT_FALSE((*cache_.list())[0].in_use) << round;
  }
  EXPECT_EQ(cache_.prune({.all = true})->removed.size(), 1u);
}

TEST_F(ProgramLoaderTest, WhatNobodyProvedIsNotKept) {
  {
    ProgramLoader loader(wish());
    ASSERT_TRUE(loader.load(no_progress()));
  }
  EXPECT_EQ(entries(), 0u);
  EXPECT_FALSE(fs::exists(backend_.seen.artifact_dir)) << "and its folder is gone";
}

TEST_F(ProgramLoaderTest, AnotherVersionDeviceOrOptionCompilesAgain) {
  ASSERT_TRUE(load());
  entry_.backend_version = "2";
  ASSERT_TRUE(load());
  EXPECT_EQ(backend_.compiles, 2);
  entry_.target.device.index = 1;
  ASSERT_TRUE(load());
  EXPECT_EQ(backend_.compiles, 3);
  compile_.level = 3;
  ASSERT_TRUE(load());
  EXPECT_EQ(backend_.compiles, 4);
  model_ = fixture_model("llama_q8_0.gguf");
  ASSERT_TRUE(load());
  EXPECT_EQ(backend_.compiles, 5);
  EXPECT_EQ(backend_.loads, 0);
  compile_.memory_bytes = 77;
  ASSERT_TRUE(load());
  EXPECT_EQ(backend_.compiles, 5) << "what memory there is changes from load to load";
  EXPECT_EQ(backend_.seen.memory_bytes, 77u);
}

TEST_F(ProgramLoaderTest, WhatDoesNotLoadIsDroppedAndCompiledAgain) {
  ASSERT_TRUE(load());
  const int64_t created = (*cache_.list())[0].created_unix_s;
  backend_.load_error = Error{ErrorCode::kDataLoss, "[fake] of another ABI"};
  auto again = load();
  ASSERT_TRUE(again) << to_string(again.error());
  EXPECT_FALSE(again->from_cache);
  EXPECT_EQ(backend_.compiles, 2);
  EXPECT_EQ(again->cached, "kept in the program cache");
  EXPECT_GE((*cache_.list())[0].created_unix_s, created);
  backend_.load_error.reset();
  again->program.reset();
  EXPECT_TRUE(load()->from_cache);
}

TEST_F(ProgramLoaderTest, ChangedBytesAreCompiledAgain) {
  auto first = load();
  write_text(first->artifact->path, "ARTIFAKT");
  first->program.reset();
  EXPECT_FALSE(load()->from_cache);
  EXPECT_EQ(backend_.loads, 0) << "they were not even tried";
  EXPECT_TRUE(load()->from_cache);
}

TEST_F(ProgramLoaderTest, WhereMemoryOrTimeLackedTheArtifactStays) {
  ASSERT_TRUE(load());
  for (const ErrorCode code : {ErrorCode::kResourceExhausted, ErrorCode::kDeadlineExceeded, ErrorCode::kCancelled}) {
    backend_.load_error = Error{code, "[fake] not now"};
    EXPECT_EQ(load().error().code, code);
    EXPECT_EQ(entries(), 1u);
  }
  EXPECT_EQ(backend_.compiles, 1);
}

TEST_F(ProgramLoaderTest, WithoutArtifactsItIsCompileAndNothingElse) {
  backend_.descriptor.artifacts = false;
  const auto loaded = load();
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->cached, "this backend leaves no artifact: it compiles at load");
  EXPECT_EQ(backend_.seen.artifact_dir, "");
  EXPECT_FALSE(fs::exists(home_ / "programs"));
  EXPECT_FALSE(fs::exists(home_ / "cache")) << "no file was hashed";
}

TEST_F(ProgramLoaderTest, ACacheThatIsOffOrUnusableStopsNothing) {
  LoadWish off = wish();
  off.cache = nullptr;
  ProgramLoader loader(off);
  auto loaded = loader.load(no_progress());
  ASSERT_TRUE(loaded);
  ASSERT_TRUE(loader.keep(*loaded, no_progress()));
  EXPECT_EQ(loaded->cached, "not kept: the program cache is off");
  write_text(home_ / "programs", "a file where the folder should be");
  const auto unusable = load();
  ASSERT_TRUE(unusable) << to_string(unusable.error());
  EXPECT_THAT(unusable->cached, HasSubstr("not kept in the program cache: [program cache]"));
  EXPECT_EQ(backend_.seen.artifact_dir, "");
}

TEST_F(ProgramLoaderTest, AFullDiskOrATooSmallCacheIsSaidAndTheProgramServes) {
  {
    const FileSizeLimit full(4);
    const auto loaded = load();
    ASSERT_TRUE(loaded) << to_string(loaded.error());
    EXPECT_THAT(loaded->report, ::testing::Contains("the artifact could not be written"));
    EXPECT_THAT(loaded->cached, HasSubstr("the backend left no artifact"));
  }
  ProgramCache small({.folder = home_ / "small", .bytes_max = 1000});
  LoadWish tight = wish();
  tight.cache = &small;
  ProgramLoader loader(tight);
  auto loaded = loader.load(no_progress());
  ASSERT_TRUE(loaded);
  ASSERT_TRUE(loader.keep(*loaded, no_progress()));
  EXPECT_THAT(loaded->cached, HasSubstr("at most 1000 bytes"));
  EXPECT_FALSE(loaded->artifact);
}

TEST_F(ProgramLoaderTest, AStopIsAStop) {
  RecordingProgress stop;
  stop.stop_at = "keeping the artifact";
  EXPECT_EQ(load(stop).error().code, ErrorCode::kCancelled);
  EXPECT_EQ(entries(), 0u);
  ASSERT_TRUE(load());
  stop.stop_at = "checking the artifact";
  EXPECT_EQ(load(stop).error().code, ErrorCode::kCancelled);
  EXPECT_EQ(entries(), 1u);
  EXPECT_EQ(backend_.loads, 0);
}

}  // namespace
}  // namespace accelerate
