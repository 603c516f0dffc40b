#include "accelerate/engine/catalog.h"

#include "accelerate/engine/installed.h"
#include "tests/engine/scratch.h"

namespace accelerate {
namespace {

class Catalog : public ::testing::Test {
 protected:
  TemporaryFolder models_;
  ScopedEnvironment variable_{"IPFS_ACCELERATE_MODELS", models_.path().string()};
};

TEST_F(Catalog, EnvironmentMovesTheModelsFolder) { EXPECT_EQ(models_dir(), models_.path()); }

TEST_F(Catalog, APathThatExistsWins) {
  write_text(models_ / "own.gguf", "GGUF");
  const std::string path = (models_ / "own.gguf").string();
  const Result<ModelLocation> where = locate_model(path);
  ASSERT_TRUE(where.ok());
  EXPECT_EQ(where->path, path);
  EXPECT_EQ(where->alias, "");
}

TEST_F(Catalog, AnAliasThatIsNotPulledSaysHow) {
  const Result<ModelLocation> where = locate_model("smollm2");
  ASSERT_FALSE(where.ok());
  EXPECT_EQ(where.error().code, ErrorCode::kNotFound);
  EXPECT_NE(where.error().message.find("ipfs-accelerate pull smollm2"), std::string::npos) << where.error().message;
}

TEST_F(Catalog, AnUnknownWordListsNearMatches) {
  const Result<ModelLocation> where = locate_model("smolm2");
  ASSERT_FALSE(where.ok());
  EXPECT_EQ(where.error().code, ErrorCode::kNotFound);
  EXPECT_NE(where.error().message.find("near matches: smollm2"), std::string::npos) << where.error().message;
}

TEST_F(Catalog, InstalledFoldersAreNearMatchesToo) {
  write_text(models_ / "my-llama" / "a.gguf", "GGUF");
  const Result<ModelLocation> near = locate_model("my-lama");
  ASSERT_FALSE(near.ok());
  EXPECT_NE(near.error().message.find("my-llama"), std::string::npos);
  const Result<ModelLocation> where = locate_model("my-llama");
  ASSERT_TRUE(where.ok());
  EXPECT_EQ(where->path, (models_ / "my-llama" / "a.gguf").string());
  EXPECT_EQ(where->alias, "my-llama");
}

TEST_F(Catalog, AMistypedPathNamesItsNeighbours) {
  write_text(models_ / "llama.gguf", "GGUF");
  const Result<ModelLocation> where = locate_model((models_ / "lama.gguf").string());
  ASSERT_FALSE(where.ok());
  EXPECT_NE(where.error().message.find("near matches: llama.gguf"), std::string::npos) << where.error().message;
}

TEST_F(Catalog, OddWordsAreRefusedAndNothingMore) {
  EXPECT_EQ(locate_model("").error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(locate_model(std::string_view("a\0b", 3)).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(locate_model("\xff\xfe\xc0").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(locate_model(std::string(100'000, 'x')).error().code, ErrorCode::kNotFound);
}

TEST_F(Catalog, ADamagedAliasIsDataLoss) {
  write_text(models_ / "smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf", "GGUF");
  const Result<ModelLocation> where = locate_model("smollm2");
  ASSERT_FALSE(where.ok());
  EXPECT_EQ(where.error().code, ErrorCode::kDataLoss);
}

TEST_F(Catalog, ListsWhatIsInstalledAndNotWhatIsHidden) {
  EXPECT_TRUE(installed_models().empty());
  write_text(models_ / "b" / "x.gguf", "12345");
  write_text(models_ / "a" / "config.json", "{}");
  write_text(models_ / "a" / "model.safetensors", "123");
  write_text(models_ / ".smollm2.pull" / "part", "1");
  write_text(models_ / "single.gguf", "1");
  const std::vector<InstalledModel> models = installed_models();
  ASSERT_EQ(models.size(), 3u);
  EXPECT_EQ(models[0].name, "a");
  EXPECT_EQ(models[0].path, (models_ / "a").string());
  EXPECT_EQ(models[0].bytes, 5u);
  EXPECT_EQ(models[1].path, (models_ / "b" / "x.gguf").string());
  EXPECT_EQ(models[2].name, "single");
}

}  // namespace
}  // namespace accelerate
