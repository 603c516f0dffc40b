#include "accelerate/base/paths.h"

#include <gtest/gtest.h>

#include "tests/temporary.h"

namespace accelerate {
namespace {

TEST(Paths, DefaultsLieUnderHome) {
  const ScopedEnvironment home("HOME", "/home/u"), data("XDG_DATA_HOME", {}), cache("XDG_CACHE_HOME", {}), config("XDG_CONFIG_HOME", {}),
      state("XDG_STATE_HOME", {});
  EXPECT_EQ(data_dir(), "/home/u/.local/share/ipfs-accelerate");
  EXPECT_EQ(cache_dir(), "/home/u/.cache/ipfs-accelerate");
  EXPECT_EQ(config_dir(), "/home/u/.config/ipfs-accelerate");
  EXPECT_EQ(state_dir(), "/home/u/.local/state/ipfs-accelerate");
}

TEST(Paths, EachVariableMovesItsOwn) {
  const ScopedEnvironment home("HOME", "/home/u"), data("XDG_DATA_HOME", "/d"), cache("XDG_CACHE_HOME", "/c"), config("XDG_CONFIG_HOME", "/g"),
      state("XDG_STATE_HOME", "/s");
  EXPECT_EQ(data_dir(), "/d/ipfs-accelerate");
  EXPECT_EQ(cache_dir(), "/c/ipfs-accelerate");
  EXPECT_EQ(config_dir(), "/g/ipfs-accelerate");
  EXPECT_EQ(state_dir(), "/s/ipfs-accelerate");
}

TEST(Paths, EmptyAndRelativeValuesAreIgnored) {
  const ScopedEnvironment home("HOME", "/home/u");
  for (const char* value : {"", "relative/path", "./x", "~"}) {
    const ScopedEnvironment data("XDG_DATA_HOME", value);
    EXPECT_EQ(data_dir(), "/home/u/.local/share/ipfs-accelerate") << value;
  }
}

TEST(Paths, WithoutHomeTheUserDatabaseDecides) {
  const ScopedEnvironment home("HOME", {}), data("XDG_DATA_HOME", {});
  EXPECT_TRUE(data_dir().is_absolute());
  EXPECT_EQ(data_dir().filename(), "ipfs-accelerate");
}

TEST(Paths, AnEnvironmentIsInTheCache) {
  const ScopedEnvironment cache("XDG_CACHE_HOME", "/c");
  EXPECT_EQ(environment_python("torch"), "/c/ipfs-accelerate/torch/bin/python");
}

}  // namespace
}  // namespace accelerate
