#include "accelerate/engine/program_entry.h"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/scratch.h"

namespace accelerate {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

ProgramWish some_wish() {
  return {.model_id = "id", .graph_hash = "graph", .backend = "max", .versions = "v1", .device = "cpu:0", .device_name = "CPU", .machine = "m", .quantization = "Q8_0",
          .compile = {}, .threads = 4};
}

TEST(ProgramEntry, EveryPartMakesAnotherKey) {
  std::set<std::string> keys;
  std::vector<ProgramWish> wishes(16, some_wish());
  wishes[1].model_id = "other";
  wishes[2].graph_hash = "other";
  wishes[3].backend = "mojo";
  wishes[4].versions = "v2";
  wishes[5].device = "cpu:1";
  wishes[6].device_name = "other";
  wishes[7].machine = "other";
  wishes[8].quantization = "Q4_K";
  wishes[9].compile.quantization = "Q8_0";  // made at load, not the file's own
  wishes[10].compile.precision = Precision::kExact;
  wishes[11].compile.deterministic = true;
  wishes[12].compile.level = 3;
  wishes[13].threads = 5;
  wishes[14].compile.context = 128;
  wishes[15].compile.slots = 2;
  for (const ProgramWish& wish : wishes) keys.insert(program_key(program_parts(wish)));
  ProgramWish kv = some_wish();
  kv.compile.kv_tokens = 64;
  keys.insert(program_key(program_parts(kv)));
  EXPECT_EQ(keys.size(), wishes.size() + 1);
  ProgramWish same = some_wish();
  same.compile.memory_bytes = 12345;
  same.compile.artifact_dir = "/tmp/x";
  same.compile.threads = 4;  // what 0 stands for
  EXPECT_TRUE(keys.contains(program_key(program_parts(same)))) << "memory is decided at load, and where it is written does not matter";
}

TEST(ProgramEntry, NamesAndValuesDoNotRunTogether) {
  EXPECT_NE(program_key({{"a", "b\n1:c=1:d"}}), program_key({{"a", "b"}, {"c", "d"}}));
  EXPECT_NE(program_key({{"ab", "c"}}), program_key({{"a", "bc"}}));
  EXPECT_TRUE(is_program_key(program_key({})));
  EXPECT_FALSE(is_program_key(".new-x"));
  EXPECT_FALSE(is_program_key(std::string(64, 'A')));
}

// An entry as the cache writes one.
class OnDisk : public ::testing::Test {
 protected:
  OnDisk() {
    folder_.write("artifact/model.bin", "content");
    folder_.write("artifact/sub/part", "12345");
    Result<std::vector<ProgramFile>> files = list_program_files(folder_ / "artifact");
    EXPECT_TRUE(files);
    EXPECT_TRUE(seal_program_files(folder_ / "artifact", *files, no_progress()));
    entry_ = {.key = program_key(parts_), .parts = parts_, .model = "m", .artifact = "model.bin", .files = *files, .created_unix_s = 1'700'000'000, .problem = {}};
    write();
  }
  void write() { write_text(folder_ / kProgramEntryFile, program_entry_text(entry_)); }
  Result<ProgramEntry> read() { return read_program_entry(folder_.path(), program_key(parts_)); }
  std::string refusal() {
    const Result<ProgramEntry> got = read();
    EXPECT_FALSE(got);
    if (got) return "taken";
    EXPECT_EQ(got.error().code, ErrorCode::kDataLoss) << got.error().message;
    EXPECT_THAT(got.error().message, HasSubstr("[program cache] '" + folder_.path().string()));
    return got.error().message;
  }
  const ProgramParts parts_ = program_parts(some_wish());
  TemporaryFolder folder_;
  ProgramEntry entry_;
};

TEST_F(OnDisk, ComesBackAsItWasWritten) {
  const Result<ProgramEntry> got = read();
  ASSERT_TRUE(got) << to_string(got.error());
  EXPECT_EQ(got->parts, parts_);
  EXPECT_EQ(got->model, "m");
  EXPECT_EQ(got->artifact, "model.bin");
  EXPECT_EQ(got->bytes, 12u);
  EXPECT_EQ(got->created_unix_s, 1'700'000'000);
  ASSERT_EQ(got->files.size(), 2u);
  EXPECT_EQ(got->files[1].name, "sub/part");
  EXPECT_TRUE(check_program_files(*got, folder_.path(), no_progress()));
  RecordingProgress stop;
  stop.stop_at = "checking";
  EXPECT_EQ(check_program_files(*got, folder_.path(), stop).error().code, ErrorCode::kCancelled);
}

TEST_F(OnDisk, OtherBytesAreFoundByReadingThemAll) {
  write_text(folder_ / "artifact/sub/part", "12x45");
  const Result<ProgramEntry> got = read();
  ASSERT_TRUE(got) << "the sizes agree";
  const Result<void> checked = check_program_files(*got, folder_.path(), no_progress());
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code, ErrorCode::kDataLoss);
  EXPECT_THAT(checked.error().message, HasSubstr("sub/part"));
}

TEST_F(OnDisk, FilesThatDoNotAgreeAreRefused) {
  write_text(folder_ / "artifact/sub/part", "123456");
  EXPECT_THAT(refusal(), HasSubstr("other names or sizes"));
  write_text(folder_ / "artifact/sub/part", "12345");
  write_text(folder_ / "artifact/more", "");
  EXPECT_THAT(refusal(), HasSubstr("other names or sizes"));
  fs::remove(folder_ / "artifact/more");
  fs::remove(folder_ / "artifact/model.bin");
  EXPECT_THAT(refusal(), HasSubstr("other names or sizes"));
  fs::create_symlink("/etc/passwd", folder_ / "artifact/model.bin");
  EXPECT_THAT(refusal(), HasSubstr("no regular file"));
  fs::remove_all(folder_ / "artifact");
  EXPECT_THAT(refusal(), HasSubstr("no artifact"));
  fs::create_directory_symlink("/etc", folder_ / "artifact");
  EXPECT_THAT(refusal(), HasSubstr("a link"));
}

TEST_F(OnDisk, AHostileEntryIsRefused) {
  for (const std::string& text : {std::string(), std::string("{"), std::string("[]"), std::string("{}"), std::string(100, '['), std::string(R"({"version":2})"),
                                  std::string(kProgramEntryBytesMax + 1, ' ')}) {
    write_text(folder_ / kProgramEntryFile, text);
    refusal();
  }
  const ProgramEntry good = entry_;
  for (const char* name : {"../../secret", "/etc/passwd", "sub/../model.bin", ""}) {
    entry_ = good;
    entry_.files[0].name = name;
    entry_.artifact = name;
    write();
    EXPECT_THAT(refusal(), HasSubstr("other names or sizes")) << name;
  }
  for (const char* artifact : {"..", "../artifact/model.bin", "/etc", "mod", "sub/par", ""}) {
    entry_ = good;
    entry_.artifact = artifact;
    write();
    EXPECT_THAT(refusal(), HasSubstr("an artifact that is not there")) << artifact;
  }
  entry_ = good;
  entry_.artifact = "sub";
  write();
  EXPECT_TRUE(read()) << "a folder of it is as good as a file";
  entry_.files[0].bytes = UINT64_MAX;
  write();
  refusal();
  entry_ = good;
  entry_.parts["device"] = "cpu:9";
  write();
  EXPECT_THAT(refusal(), HasSubstr("another key")) << "what is said in clear is what the key was made of";
  EXPECT_FALSE(read_program_entry(folder_.path(), program_key({})));
  for (const char* field : {R"("files": 1)", R"("files": [1])", R"("parts": [])", R"("created_unix_s": -1)", R"("model": null)"}) {
    entry_ = good;
    std::string text = program_entry_text(entry_);
    text.insert(text.rfind('}'), std::string(", ") + field);  // of two of a name the last is read
    write_text(folder_ / kProgramEntryFile, text);
    refusal();
  }
  fs::remove(folder_ / kProgramEntryFile);
  EXPECT_THAT(refusal(), HasSubstr("no entry.json"));
  fs::create_symlink("/etc/passwd", folder_ / kProgramEntryFile);
  EXPECT_THAT(refusal(), HasSubstr("a link"));
}

TEST(ProgramEntry, AnArtifactHasBounds) {
  const TemporaryFolder folder;
  fs::path deep = folder.path();
  for (int i = 0; i <= kProgramFolderDepthMax; ++i) deep /= "d";
  fs::create_directories(deep);
  EXPECT_EQ(list_program_files(folder.path()).error().code, ErrorCode::kResourceExhausted);
  const TemporaryFolder many;
  for (size_t i = 0; i <= kProgramFilesMax; ++i) std::ofstream(many / std::to_string(i));
  EXPECT_EQ(list_program_files(many.path()).error().code, ErrorCode::kResourceExhausted);
  EXPECT_EQ(list_program_files(folder / "none").error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace accelerate
