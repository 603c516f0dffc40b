#include "accelerate/engine/installed.h"

#include "accelerate/base/sha256.h"
#include "tests/engine/scratch.h"

namespace accelerate {
namespace {

const std::string kSha = sha256_hex("weights");
const CatalogFile kFiles[] = {{"model.gguf", kSha, 7}};
const CatalogFile kOther[] = {{".", "", 0}, {"model.gguf", kSha, 7}, {"sub/extra.txt", "", 0}};
const CatalogEntry kEntry = {"toy", "Toy", "none", {}, kFiles};

TEST(Installed, StatesFollowTheDisk) {
  const TemporaryFolder scratch;
  const auto folder = scratch / "toy";
  EXPECT_EQ(installed_state(kEntry, folder), InstallState::kAbsent);
  write_text(folder / "model.gguf", "weight");
  EXPECT_EQ(installed_state(kEntry, folder), InstallState::kBroken) << "one byte short";
  write_text(folder / "model.gguf", "weights");
  EXPECT_EQ(installed_state(kEntry, folder), InstallState::kUnproven);
  ASSERT_TRUE(prove_installed(kEntry, folder, no_progress()).ok());
  EXPECT_EQ(installed_state(kEntry, folder), InstallState::kWhole);
  write_text(folder / kVerifiedMarker, "something else\n");
  EXPECT_EQ(installed_state(kEntry, folder), InstallState::kUnproven) << "a marker of another catalog proves nothing";
}

TEST(Installed, WrongBytesOfTheRightSizeAreDataLoss) {
  const TemporaryFolder scratch;
  write_text(scratch / "model.gguf", "Weights");
  const Result<void> proven = prove_installed(kEntry, scratch.path(), no_progress());
  ASSERT_FALSE(proven.ok());
  EXPECT_EQ(proven.error().code, ErrorCode::kDataLoss);
  EXPECT_NE(proven.error().message.find("model.gguf"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(scratch / kVerifiedMarker));
}

TEST(Installed, ProvingCanBeStopped) {
  const TemporaryFolder scratch;
  write_text(scratch / "model.gguf", "weights");
  RecordingProgress progress;
  progress.stop_at = "checking";
  const Result<void> proven = prove_installed(kEntry, scratch.path(), progress);
  ASSERT_FALSE(proven.ok());
  EXPECT_EQ(proven.error().code, ErrorCode::kCancelled);
}

TEST(Installed, AFolderEntryOpensTheFolder) {
  const CatalogEntry entry = {"toy", "Toy", "none", {}, kOther};
  EXPECT_EQ(opened_path(entry, "/m/toy"), std::filesystem::path("/m/toy"));
  EXPECT_EQ(opened_path(kEntry, "/m/toy"), std::filesystem::path("/m/toy/model.gguf"));
  const TemporaryFolder scratch;
  write_text(scratch / "model.gguf", "weights");
  EXPECT_EQ(installed_state(entry, scratch.path()), InstallState::kBroken) << "sub/extra.txt is missing";
}

}  // namespace
}  // namespace accelerate
