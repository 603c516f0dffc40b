#include <set>

#include <gtest/gtest.h>

#include "accelerate/engine/installed.h"
#include "accelerate/engine/pull_recipe.h"

namespace accelerate {
namespace {

bool is_sha256(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

TEST(CatalogTable, NamesTheThreeModels) {
  std::set<std::string_view> aliases;
  for (const CatalogEntry& entry : catalog()) aliases.insert(entry.alias);
  EXPECT_EQ(aliases, (std::set<std::string_view>{"gemma3", "minilm", "smollm2"}));
  EXPECT_EQ(find_pull_recipe("whisper"), nullptr);
}

TEST(CatalogTable, EveryPackageAndFileIsPinned) {
  for (const CatalogEntry& entry : catalog()) {
    EXPECT_FALSE(entry.title.empty());
    EXPECT_FALSE(entry.licence.empty());
    for (const CatalogPackage& package : entry.packages) {
      EXPECT_TRUE(is_sha256(package.sha256)) << package.name;
      EXPECT_GT(package.bytes, 0u) << package.name;
    }
    for (const CatalogFile& file : entry.files) {
      EXPECT_EQ(is_sha256(file.sha256), !is_folder_itself(file)) << file.name;
    }
  }
}

TEST(CatalogTable, MembersAddUpToTheirFiles) {
  for (const CatalogEntry& entry : catalog()) {
    const PullRecipe* recipe = find_pull_recipe(entry.alias);
    ASSERT_NE(recipe, nullptr);
    for (const CatalogFile& file : entry.files) {
      if (is_folder_itself(file)) continue;
      uint64_t bytes = 0;
      for (const PullMember& member : recipe->members) {
        ASSERT_LT(member.package, entry.packages.size());
        if (member.file == file.name) bytes += member.bytes;
      }
      EXPECT_EQ(bytes, file.bytes) << entry.alias << " " << file.name;
    }
  }
}

TEST(CatalogTable, NoFileLeavesItsFolder) {
  for (const CatalogEntry& entry : catalog()) {
    for (const CatalogFile& file : entry.files) {
      EXPECT_FALSE(file.name.starts_with("/"));
      EXPECT_EQ(file.name.find(".."), std::string_view::npos);
    }
  }
}

}  // namespace
}  // namespace accelerate
