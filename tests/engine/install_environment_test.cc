#include "accelerate/engine/install_environment.h"

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "accelerate/base/paths.h"
#include "tests/temporary.h"

namespace accelerate {
namespace {

using ::testing::HasSubstr;

// A "python3" of the test: makes a venv whose own python plays pip.
class InstallTest : public ::testing::Test {
 protected:
  void write_python(const std::string& pip) {
    folder_.write("inner", "#!/bin/sh\n" + pip);
    folder_.write("python", "#!/bin/sh\ncase \"$1 $2\" in\n'-c '*) exit 0;;\n'-m venv') mkdir -p \"$3/bin\" && cp " + (folder_ / "inner").string() +
                                " \"$3/bin/python\" && chmod +x \"$3/bin/python\";;\nesac\n");
    std::filesystem::permissions(folder_ / "python", std::filesystem::perms::owner_all);
  }
  Result<InstalledEnvironment> install(bool force = false, Progress& progress = no_progress()) {
    return install_environment(recipe_, {.force = force, .python = (folder_ / "python").string()}, progress);
  }
  TemporaryFolder folder_;
  ScopedEnvironment cache_{"XDG_CACHE_HOME", (folder_ / "cache").string()};
  InstallRecipe recipe_{.environment = "tiny", .requirements = "a==1\nb==2\n", .disk_bytes = 1000, .licence = "MIT"};
};

TEST_F(InstallTest, IsMadeOnceAndAnewWhenItsPackagesChange) {
  write_python("echo run >> " + (folder_ / "runs").string() + "\necho Collecting a\nfor last; do :; done\ncp \"$last\" " + (folder_ / "asked").string() + "\n");
  EXPECT_FALSE(is_installed(recipe_));
  const auto made = install();
  ASSERT_TRUE(made) << to_string(made.error());
  EXPECT_TRUE(made->made);
  EXPECT_EQ(made->python, environment_python("tiny"));
  EXPECT_TRUE(is_installed(recipe_));
  std::ifstream asked(folder_ / "asked");
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(asked), {}), recipe_.requirements) << "pip was given the pinned packages";
  EXPECT_FALSE(install()->made);
  EXPECT_TRUE(install(true)->made);
  recipe_.requirements = "a==2\n";
  EXPECT_FALSE(is_installed(recipe_));
  EXPECT_TRUE(install()->made);
  EXPECT_EQ(std::filesystem::file_size(folder_ / "runs"), 12u) << "three times";
}

TEST_F(InstallTest, AFailureLeavesWhatWasThere) {
  write_python("exit 0\n");
  ASSERT_TRUE(install());
  write_python("echo 'ERROR: No matching distribution' >&2\nexit 1\n");
  const auto failed = install(true);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(failed.error().message, HasSubstr("No matching distribution"));
  EXPECT_TRUE(is_installed(recipe_));
  EXPECT_FALSE(std::filesystem::exists(cache_dir() / "tiny.making"));
  write_python("echo 'OSError: [Errno 28] No space left on device' >&2\nexit 1\n");
  EXPECT_EQ(install(true).error().code, ErrorCode::kResourceExhausted);
}

TEST_F(InstallTest, AStopEndsItWithNothingChanged) {
  write_python("sleep 60\n");
  struct Stop final : Progress {
    bool update(std::string_view, uint64_t, uint64_t, std::string_view) override { return false; }
  } stop;
  EXPECT_EQ(install(false, stop).error().code, ErrorCode::kCancelled);
  EXPECT_FALSE(is_installed(recipe_));
}

TEST_F(InstallTest, WhatCannotBeIsSaidBefore) {
  write_python("exit 0\n");
  recipe_.disk_bytes = uint64_t{1} << 60;
  EXPECT_EQ(install().error().code, ErrorCode::kResourceExhausted);
  recipe_.disk_bytes = 1;
  const auto none = install_environment(recipe_, {.python = "no-such-python"}, no_progress());
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(none.error().message, HasSubstr("python3-venv"));
}

}  // namespace
}  // namespace accelerate
