#include "accelerate/engine/program_cache.h"

#include <csignal>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include "accelerate/base/process.h"
#include "tests/engine/file_size_limit.h"
#include "tests/engine/scratch.h"

namespace accelerate {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

ProgramParts parts(const std::string& model) { return {{"model", model}, {"backend", "fake"}, {"device", "cpu:0"}}; }

class ProgramCacheTest : public ::testing::Test {
 protected:
  Result<CachedProgram> put(const std::string& model, const std::string& content) { return put(cache_, model, content); }
  static Result<CachedProgram> put(ProgramCache& cache, const std::string& model, const std::string& content) {
    ACC_TRY(ProgramStaging staging, cache.begin(parts(model), model));
    const fs::path file = fs::path(staging.artifact_dir()) / "model.bin";
    write_text(file, content);
    return cache.commit(std::move(staging), file, no_progress());
  }
  std::optional<CachedProgram> find(const std::string& model) {
    Result<std::optional<CachedProgram>> found = cache_.find(parts(model), no_progress());
    EXPECT_TRUE(found) << to_string(found.error());
    return found ? *std::move(found) : std::nullopt;
  }
  fs::path folder_of(const std::string& model) const { return folder_ / program_key(parts(model)); }
  void used_before(const std::string& model, std::chrono::seconds ago) const {
    fs::last_write_time(folder_of(model) / kProgramInUseFile, fs::file_time_type::clock::now() - ago);
  }
  std::vector<std::string> models() {
    std::vector<std::string> names;
    const Result<std::vector<ProgramEntry>> entries = cache_.list();
    EXPECT_TRUE(entries);
    for (const ProgramEntry& entry : *entries) names.push_back(entry.problem.empty() ? entry.model : "broken");
    return names;
  }
  size_t hidden() const {  // staging and what is to be deleted
    size_t count = 0;
    for (const auto& entry : fs::directory_iterator(folder_)) count += entry.path().filename().string().starts_with(".");
    return count;
  }
  TemporaryFolder home_;
  const fs::path folder_ = home_ / "programs";
  ProgramCache cache_{{.folder = folder_, .bytes_max = 100}};
};

TEST_F(ProgramCacheTest, WhatWasCommittedIsFoundByItsPartsAlone) {
  EXPECT_FALSE(find("a"));
  EXPECT_FALSE(fs::exists(folder_)) << "a look-up makes nothing";
  EXPECT_TRUE(models().empty());
  const Result<CachedProgram> kept = put("a", "content");
  ASSERT_TRUE(kept) << to_string(kept.error());
  const auto found = find("a");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->artifact.id, program_key(parts("a")));
  EXPECT_EQ(found->artifact.path, (folder_of("a") / "artifact/model.bin").string());
  EXPECT_EQ(found->artifact.path, kept->artifact.path);
  EXPECT_EQ(found->artifact.bytes, 7u);
  EXPECT_EQ(read_text(found->artifact.path), "content");
  EXPECT_FALSE(find("b"));
  EXPECT_EQ(hidden(), 0u);
}

TEST_F(ProgramCacheTest, AFolderIsAnArtifactToo) {
  Result<ProgramStaging> staging = cache_.begin(parts("a"), "a");
  ASSERT_TRUE(staging) << to_string(staging.error());
  const std::string place = staging->artifact_dir();
  write_text(fs::path(place) / "x/one", "1");
  write_text(fs::path(place) / "two", "22");
  const Result<CachedProgram> kept = cache_.commit(*std::move(staging), place + "/", no_progress());
  ASSERT_TRUE(kept) << to_string(kept.error());
  EXPECT_EQ(kept->artifact.path, (folder_of("a") / "artifact").string());
  EXPECT_EQ(kept->artifact.bytes, 3u);
  EXPECT_EQ(read_text(fs::path(find("a")->artifact.path) / "x/one"), "1");
}

TEST_F(ProgramCacheTest, OnlyWhatLiesInItsFolderIsTaken) {
  for (const std::string& path : {home_.path().string(), std::string("/etc/passwd"), std::string()}) {
    Result<ProgramStaging> staging = cache_.begin(parts("a"), "a");
    ASSERT_TRUE(staging);
    write_text(fs::path(staging->artifact_dir()) / "model.bin", "x");
    EXPECT_EQ(cache_.commit(*std::move(staging), path, no_progress()).error().code, ErrorCode::kInvalidArgument) << path;
  }
  Result<ProgramStaging> empty = cache_.begin(parts("a"), "a");
  const std::string place = empty->artifact_dir();
  EXPECT_EQ(cache_.commit(*std::move(empty), place, no_progress()).error().code, ErrorCode::kDataLoss) << "nothing was written";
  EXPECT_TRUE(models().empty());
  EXPECT_EQ(hidden(), 0u);
}

TEST_F(ProgramCacheTest, BeyondTheLimitTheLeastRecentlyUsedGo) {
  ASSERT_TRUE(put("a", std::string(40, 'a')));
  ASSERT_TRUE(put("b", std::string(40, 'b')));
  used_before("a", 20s);
  used_before("b", 10s);
  EXPECT_THAT(models(), ElementsAre("a", "b"));
  EXPECT_TRUE(find("a"));  // used now
  EXPECT_THAT(models(), ElementsAre("b", "a"));
  ASSERT_TRUE(put("c", std::string(60, 'c')));
  EXPECT_THAT(models(), ElementsAre("a", "c"));
  EXPECT_EQ(hidden(), 0u);
  const auto too_large = put("d", std::string(101, 'd'));
  ASSERT_FALSE(too_large);
  EXPECT_EQ(too_large.error().code, ErrorCode::kResourceExhausted);
  EXPECT_THAT(too_large.error().message, HasSubstr("at most 100 bytes together; got one of 101"));
}

TEST_F(ProgramCacheTest, WhatIsTooLargeMovesNothing) {
  ASSERT_TRUE(put("a", std::string(40, 'a')));
  EXPECT_FALSE(put("d", std::string(101, 'd')));
  EXPECT_THAT(models(), ElementsAre("a"));
}

TEST_F(ProgramCacheTest, WhatIsInUseStays) {
  std::optional<CachedProgram> a = *put("a", std::string(40, 'a'));
  ASSERT_TRUE(put("b", std::string(40, 'b')));
  used_before("a", 20s);
  EXPECT_TRUE((*cache_.list())[0].in_use);
  EXPECT_FALSE((*cache_.list())[1].in_use);
  ASSERT_TRUE(put("c", std::string(50, 'c')));
  EXPECT_THAT(models(), ElementsAre("a", "c")) << "a is older, but runs";
  const auto none = put("d", std::string(70, 'd'));
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().message, HasSubstr("beside 40 in use"));
  EXPECT_THAT(models(), ElementsAre("a", "c")) << "nothing goes for one that does not fit";
  const auto pruned = cache_.prune({.all = true});
  ASSERT_TRUE(pruned);
  ASSERT_EQ(pruned->kept_in_use.size(), 1u);
  EXPECT_EQ(pruned->kept_in_use[0].model, "a");
  EXPECT_EQ(pruned->bytes_left, 40u);
  EXPECT_EQ(read_text(a->artifact.path), std::string(40, 'a'));
  a.reset();
  EXPECT_EQ(cache_.prune({.all = true})->removed.size(), 1u);
}

TEST_F(ProgramCacheTest, AUserInAnotherProcessCounts) {
  ASSERT_TRUE(put("a", "content"));
  int ready[2], done[2];
  ASSERT_EQ(::pipe(ready), 0);
  ASSERT_EQ(::pipe(done), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(done[1]);
    ProgramCache theirs({.folder = folder_, .bytes_max = 100});
    const auto found = theirs.find(parts("a"), no_progress());
    char byte = found && *found ? '1' : '0';
    (void)!::write(ready[1], &byte, 1);
    (void)!::read(done[0], &byte, 1);  // until our end is closed
    std::_Exit(0);
  }
  char answer = 0;
  ASSERT_EQ(::read(ready[0], &answer, 1), 1);
  EXPECT_EQ(answer, '1');
  EXPECT_EQ(cache_.prune({.all = true})->kept_in_use.size(), 1u);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_EQ(cache_.prune({.all = true})->removed.size(), 1u) << "its lock went with it";
  for (const int end : {ready[0], ready[1], done[0], done[1]}) ::close(end);
}

TEST_F(ProgramCacheTest, ChangedBytesAreNamedAndNeverUsed) {
  ASSERT_TRUE(put("a", "content"));
  ASSERT_TRUE(put("b", "content"));
  write_text(folder_of("a") / "artifact/model.bin", "cOntent");
  const auto verified = cache_.verify(false, no_progress());
  ASSERT_TRUE(verified);
  ASSERT_EQ(verified->size(), 2u);
  for (const ProgramEntry& entry : *verified) {
    if (entry.model == "a") EXPECT_THAT(entry.problem, HasSubstr("other bytes in 'model.bin'"));
    else EXPECT_EQ(entry.problem, "");
  }
  EXPECT_EQ(models().size(), 2u) << "named, not removed";
  ASSERT_TRUE(cache_.verify(true, no_progress()));
  EXPECT_THAT(models(), ElementsAre("b"));
  write_text(folder_of("b") / "artifact/model.bin", "cOntent");
  EXPECT_FALSE(find("b"));
  EXPECT_TRUE(models().empty()) << "and gone";
  ASSERT_TRUE(put("b", "content"));
  EXPECT_TRUE(find("b"));
}

TEST_F(ProgramCacheTest, ABrokenEntryIsReplaced) {
  std::optional<CachedProgram> held = *put("a", "content");
  write_text(folder_of("a") / kProgramEntryFile, "{");
  EXPECT_THAT(models(), ElementsAre("broken"));
  EXPECT_FALSE(find("a")) << "whoever holds it";
  ASSERT_TRUE(put("a", "content"));
  write_text(folder_of("a") / "artifact/more", "x");
  const auto again = put("a", "new");
  ASSERT_TRUE(again) << to_string(again.error());
  EXPECT_EQ(read_text(again->artifact.path), "new");
  fs::remove_all(folder_of("a"));
  fs::create_directory_symlink("/etc", folder_of("a"));
  EXPECT_FALSE(find("a"));
  EXPECT_TRUE(fs::exists("/etc/passwd"));
  EXPECT_FALSE(fs::exists(fs::symlink_status(folder_of("a")))) << "the link is removed, not what it points to";
}

TEST_F(ProgramCacheTest, ADeadWritersFolderIsSweptAndALivingOnesStays) {
  const ChildOutcome died = run_in_child([&]() -> int {
    ProgramCache theirs({.folder = folder_, .bytes_max = 100});
    Result<ProgramStaging> staging = theirs.begin(parts("a"), "a");
    if (!staging) return 1;
    write_text(fs::path(staging->artifact_dir()) / "model.bin", "half");
    ::kill(::getpid(), SIGKILL);
    return 2;
  }, 10s);
  EXPECT_EQ(died.signal, SIGKILL);
  EXPECT_EQ(hidden(), 1u);
  EXPECT_TRUE(models().empty()) << "what is half is no entry";
  Result<ProgramStaging> living = cache_.begin(parts("b"), "b");
  ASSERT_TRUE(living);
  EXPECT_EQ(hidden(), 1u) << "the dead one's is gone";
  const auto pruned = cache_.prune({.all = true});
  EXPECT_EQ(pruned->abandoned, 0u);
  EXPECT_TRUE(fs::exists(living->artifact_dir()));
  write_text(fs::path(living->artifact_dir()) / "model.bin", "b");
  const std::string artifact = living->artifact_dir() + "/model.bin";
  EXPECT_TRUE(cache_.commit(*std::move(living), artifact, no_progress()));
}

TEST_F(ProgramCacheTest, TheFirstOfTwoWins) {
  Result<ProgramStaging> slow = cache_.begin(parts("a"), "a");
  ASSERT_TRUE(slow);
  write_text(fs::path(slow->artifact_dir()) / "model.bin", "slow");
  ASSERT_TRUE(put("a", "quick"));
  const std::string artifact = slow->artifact_dir() + "/model.bin";
  const auto second = cache_.commit(*std::move(slow), artifact, no_progress());
  ASSERT_TRUE(second) << to_string(second.error());
  EXPECT_EQ(read_text(second->artifact.path), "quick");
  EXPECT_EQ(hidden(), 0u);
}

TEST_F(ProgramCacheTest, ManyProcessesAtOnce) {
  std::vector<pid_t> children;
  for (int i = 0; i < 4; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      ProgramCache theirs({.folder = folder_, .bytes_max = 100});
      for (int round = 0; round < 10; ++round) {
        const std::string model = round % 2 ? "shared" : std::string(1, static_cast<char>('a' + i));
        const auto kept = put(theirs, model, std::string(30, 'x'));
        // All may be in use by the others at that moment; nothing else is allowed.
        if (!kept && kept.error().code != ErrorCode::kResourceExhausted) std::_Exit(1);
        if (!theirs.find(parts(model), no_progress())) std::_Exit(2);
        if (kept && read_text(kept->artifact.path) != std::string(30, 'x')) std::_Exit(3);
      }
      std::_Exit(0);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  }
  const auto verified = cache_.verify(false, no_progress());
  ASSERT_TRUE(verified);
  EXPECT_LE(verified->size(), 3u);
  for (const ProgramEntry& entry : *verified) EXPECT_EQ(entry.problem, "");
  EXPECT_EQ(hidden(), 0u);
}

TEST_F(ProgramCacheTest, AFullDiskIsAnErrorThatSaysSoAndLeavesNothing) {
  Result<ProgramStaging> staging = cache_.begin(parts("a"), "a");
  ASSERT_TRUE(staging);
  const std::string artifact = staging->artifact_dir() + "/model.bin";
  write_text(artifact, "content");
  {
    const FileSizeLimit full(64);
    const auto kept = cache_.commit(*std::move(staging), artifact, no_progress());
    ASSERT_FALSE(kept);
    EXPECT_EQ(kept.error().code, ErrorCode::kResourceExhausted) << kept.error().message;
    EXPECT_THAT(kept.error().message, HasSubstr("entry.json"));
  }
  EXPECT_EQ(hidden(), 0u);
  EXPECT_TRUE(models().empty());
  EXPECT_TRUE(put("a", "content"));
}

TEST_F(ProgramCacheTest, AFolderThatCanNotBeIsAnError) {
  write_text(folder_, "a file where the folder should be");
  EXPECT_FALSE(cache_.begin(parts("a"), "a"));
  EXPECT_FALSE(find("a"));
  EXPECT_FALSE(cache_.list());
  EXPECT_FALSE(cache_.prune({}));
}

TEST_F(ProgramCacheTest, AStopEndsTheReading) {
  RecordingProgress stop;
  stop.stop_at = "keeping";
  Result<ProgramStaging> staging = cache_.begin(parts("a"), "a");
  write_text(fs::path(staging->artifact_dir()) / "model.bin", "content");
  const std::string artifact = staging->artifact_dir() + "/model.bin";
  EXPECT_EQ(cache_.commit(*std::move(staging), artifact, stop).error().code, ErrorCode::kCancelled);
  EXPECT_EQ(hidden(), 0u);
  ASSERT_TRUE(put("a", "content"));
  stop.stop_at = "checking";
  EXPECT_EQ(cache_.find(parts("a"), stop).error().code, ErrorCode::kCancelled);
  EXPECT_EQ(cache_.verify(true, stop).error().code, ErrorCode::kCancelled);
  EXPECT_TRUE(find("a")) << "a stop removes nothing";
}

TEST_F(ProgramCacheTest, PruningGoesByLimitAndAge) {
  EXPECT_TRUE(cache_.prune({.all = true})->removed.empty()) << "nothing there yet";
  for (const char* model : {"a", "b", "c"}) ASSERT_TRUE(put(model, std::string(30, 'x')));
  used_before("a", 300s);
  used_before("b", 200s);
  used_before("c", 100s);
  EXPECT_TRUE(cache_.prune({})->removed.empty()) << "90 of 100 bytes";
  const auto old = cache_.prune({.unused_s = 250});
  ASSERT_EQ(old->removed.size(), 1u);
  EXPECT_EQ(old->removed[0].model, "a");
  EXPECT_EQ(old->bytes_left, 60u);
  const auto small = cache_.prune({.bytes_max = 59});
  ASSERT_EQ(small->removed.size(), 1u);
  EXPECT_EQ(small->removed[0].model, "b");
  write_text(folder_of("c") / kProgramEntryFile, "{");
  write_text(folder_ / "notes.txt", "of somebody else");
  const auto broken = cache_.prune({});
  ASSERT_EQ(broken->removed.size(), 1u);
  EXPECT_THAT(broken->removed[0].problem, HasSubstr("not valid JSON"));
  EXPECT_TRUE(fs::exists(folder_ / "notes.txt"));
}

TEST_F(ProgramCacheTest, TheDefaultLimitFollowsTheDisk) {
  const ProgramCache usual({.folder = folder_});
  EXPECT_EQ(usual.bytes_max(), std::min<uint64_t>(kProgramCacheBytes, fs::space(home_.path()).capacity / 10));
  const ScopedEnvironment cache("XDG_CACHE_HOME", home_.path().string());
  EXPECT_EQ(ProgramCache({}).folder(), home_ / "ipfs-accelerate" / "programs");
}

}  // namespace
}  // namespace accelerate
