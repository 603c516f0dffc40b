#include <filesystem>

#include "accelerate/engine/program_cache.h"
#include "tests/cli/cli_run.h"

namespace accelerate {
namespace {

namespace fs = std::filesystem;

class Cache : public CliTest {
 protected:
  CachedProgram put(const std::string& model, const std::string& content) {
    ProgramCache cache({});
    Result<ProgramStaging> staging = cache.begin({{"model", model}, {"backend", "max"}, {"device", "cpu:0"}}, model);
    EXPECT_TRUE(staging);
    const fs::path file = fs::path(staging->artifact_dir()) / "model.mef";
    write_text(file, content);
    Result<CachedProgram> kept = cache.commit(*std::move(staging), file, no_progress());
    EXPECT_TRUE(kept);
    return *std::move(kept);
  }
};

TEST_F(Cache, ListsWhatIsThere) {
  const CliRun empty = cli({"cache", "list"});
  EXPECT_EQ(empty.code, 0) << empty.err;
  EXPECT_TRUE(holds(empty.out, "0 B of at most")) << empty.out;
  EXPECT_FALSE(fs::exists(home_ / "cache")) << "looking makes nothing";
  const CachedProgram held = put("gemma3", "0123456789");
  const CliRun text = cli({"cache", "list"});
  for (const std::string& part : {held.artifact.id.substr(0, 12), std::string("gemma3"), std::string("max@cpu:0"), std::string("10 B"), std::string("in use")}) {
    EXPECT_TRUE(holds(text.out, part)) << part << "\n" << text.out;
  }
  const Json json = cli({"cache", "list", "--json"}).json();
  ASSERT_EQ(json["entries"].size(), 1u);
  EXPECT_EQ(json["entries"][0]["id"], held.artifact.id);
  EXPECT_EQ(json["entries"][0]["parts"]["backend"], "max");
  EXPECT_EQ(json["entries"][0]["in_use"], true);
  EXPECT_EQ(json["entries"][0]["problem"], nullptr);
  EXPECT_EQ(json["bytes"], 10);
}

TEST_F(Cache, VerifyNamesWhatIsBrokenAndRepairs) {
  const std::string path = put("a", "content").artifact.path;
  EXPECT_EQ(cli({"cache", "verify"}).out, "1 of 1 whole, 7 B read\n");
  write_text(path, "cOntent");
  const CliRun broken = cli({"cache", "verify"});
  EXPECT_EQ(broken.code, error_code_traits(ErrorCode::kDataLoss).exit_code);
  EXPECT_TRUE(holds(broken.out, "other bytes in 'model.mef'")) << broken.out;
  EXPECT_TRUE(holds(broken.err, "1 broken of 1")) << broken.err;
  EXPECT_EQ(cli({"cache", "verify", "--json"}).json()["broken"], 1);
  const CliRun repaired = cli({"cache", "verify", "--repair"});
  EXPECT_EQ(repaired.code, 0) << repaired.err;
  EXPECT_TRUE(holds(repaired.out, "removed")) << repaired.out;
  EXPECT_FALSE(fs::exists(path));
  EXPECT_EQ(cli({"cache", "verify"}).out, "0 of 0 whole, 0 B read\n");
}

TEST_F(Cache, PrunesByLimitAgeOrAll) {
  for (const char* model : {"a", "b", "c"}) put(model, std::string(30, 'x'));
  EXPECT_EQ(cli({"cache", "prune"}).out, "0 B removed, 90 B stay\n");
  EXPECT_EQ(cli({"cache", "prune", "--older-than", "1", "--json"}).json()["bytes_removed"], 0);
  EXPECT_EQ(cli({"cache", "prune", "--max", "60", "--json"}).json()["bytes_left"], 60);
  {
    const ScopedEnvironment limit("IPFS_ACCELERATE_PROGRAM_CACHE_MAX", "30");
    EXPECT_EQ(cli({"cache", "prune", "--json"}).json()["bytes_left"], 30) << "the limit of every verb";
  }
  const CachedProgram held = put("d", "held");
  const CliRun all = cli({"cache", "prune", "--all"});
  EXPECT_TRUE(holds(all.out, "in use " + held.artifact.id.substr(0, 12))) << all.out;
  EXPECT_TRUE(holds(all.out, "30 B removed, 4 B stay")) << all.out;
  EXPECT_TRUE(fs::exists(held.artifact.path));
}

TEST_F(Cache, NeedsOneOfItsVerbs) {
  EXPECT_EQ(cli({"cache"}).code, 2);
  EXPECT_EQ(cli({"cache", "clear"}).code, 2);
  EXPECT_EQ(cli({"cache", "prune", "--max", "much"}).code, 2);
  EXPECT_EQ(cli({"cache", "prune", "--older-than", "-1"}).code, 2);
}

}  // namespace
}  // namespace accelerate
