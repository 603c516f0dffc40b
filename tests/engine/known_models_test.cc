#include "accelerate/engine/known_models.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "accelerate/engine/catalog.h"
#include "tests/engine/scratch.h"

namespace accelerate {
namespace {

TEST(KnownModels, TheCatalogThenWhatElseIsHere) {
  TemporaryFolder home;
  const ScopedEnvironment models("IPFS_ACCELERATE_MODELS", home.path().string());
  const std::vector<KnownModel> empty = known_models();
  ASSERT_EQ(empty.size(), catalog().size());
  for (size_t i = 0; i < empty.size(); ++i) {
    EXPECT_EQ(empty[i].name, catalog()[i].alias);
    EXPECT_FALSE(empty[i].installed());
    EXPECT_GT(empty[i].bytes, 0u) << "what a pull would fetch";
  }
  std::filesystem::create_directory(home / "mine");
  write_text(home / "mine" / "mine.gguf", "GGUF");
  const std::vector<KnownModel> more = known_models();
  ASSERT_EQ(more.size(), empty.size() + 1);
  EXPECT_EQ(more.back().name, "mine");
  EXPECT_TRUE(more.back().installed());
  EXPECT_EQ(more.back().bytes, 4u);
}

}  // namespace
}  // namespace accelerate
