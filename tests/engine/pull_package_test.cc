#include "accelerate/engine/pull_package.h"

#include "tests/engine/fake_pip.h"

namespace accelerate {
namespace {

TEST(PullPackage, FindsAClient) {
  const FakePip pip;
  if (!pip.skip_reason.empty()) GTEST_SKIP() << pip.skip_reason;
  const Result<PackageClient> client = find_package_client();
  ASSERT_TRUE(client.ok()) << client.error().message;
  EXPECT_EQ(client->python, "python3");
  EXPECT_EQ(client->pip, (std::vector<std::string>{"python3", "-m", "pip"}));
}

TEST(PullPackage, TheFolderAppearsWholeWithMembersByNumber) {
  FakePip pip;
  if (!pip.skip_reason.empty()) GTEST_SKIP() << pip.skip_reason;
  make_wheel(pip, pip.wheel("one-1.0"), {{"a/b.txt", "first"}, {"c.txt", "second"}});
  const std::string sha256 = *sha256_file(pip.wheel("one-1.0"));
  const CatalogPackage package{"one", "1.0", sha256, std::filesystem::file_size(pip.wheel("one-1.0"))};
  const TemporaryFolder scratch;
  const Result<PackageClient> client = find_package_client();
  ASSERT_TRUE(client.ok());
  RecordingProgress progress;
  const PackageJob job{package, {{"x", 0, "a/b.txt", 5}, {"y", 0, "c.txt", 6}}, scratch / "part", 100, 100 + package.bytes};
  const Result<void> fetched = fetch_package(*client, job, progress);
  ASSERT_TRUE(fetched.ok()) << fetched.error().message;
  EXPECT_EQ(read_text(scratch / "part/0"), "first");
  EXPECT_EQ(read_text(scratch / "part/1"), "second");
  size_t entries = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(scratch.path())) ++entries;
  EXPECT_EQ(entries, 1u) << "nothing temporary is left";
}

TEST(PullPackage, AFileThatIsNoZipIsDataLoss) {
  FakePip pip;
  if (!pip.skip_reason.empty()) GTEST_SKIP() << pip.skip_reason;
  write_text(pip.wheel("one-1.0"), "this is no zip file");
  const std::string sha256 = *sha256_file(pip.wheel("one-1.0"));
  const CatalogPackage package{"one", "1.0", sha256, 19};
  const TemporaryFolder scratch;
  const Result<PackageClient> client = find_package_client();
  ASSERT_TRUE(client.ok());
  const Result<void> fetched = fetch_package(*client, {package, {{"x", 0, "a", 5}}, scratch / "part", 0, 19}, no_progress());
  ASSERT_FALSE(fetched.ok());
  EXPECT_EQ(fetched.error().code, ErrorCode::kDataLoss);
  EXPECT_NE(fetched.error().message.find("BadZipFile"), std::string::npos) << fetched.error().message;
  EXPECT_FALSE(std::filesystem::exists(scratch / "part"));
}

}  // namespace
}  // namespace accelerate
