#include "accelerate/engine/hub_pull.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "accelerate/engine/hub.h"
#include "tests/engine/hub_server.h"
#include "tests/engine/scratch.h"

namespace accelerate {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using testing::HubServer;
using ::testing::HasSubstr;

class HubPulling : public ::testing::Test {
 protected:
  HubPulling() { settings_ = {.cache = cache_.path(), .endpoint = server_.endpoint(), .token = {}, .retry_wait = 1ms}; }
  Result<HubModel> pull(const std::string& word) {
    auto name = parse_hub_name(word);
    EXPECT_TRUE(name.ok()) << word;
    return pull_from_hub(*name, settings_, progress_);
  }
  fs::path folder() const { return cache_ / "models--org--repo"; }
  void add_shards() {
    server_.files["config.json"] = {.bytes = "{}"};
    server_.files["tokenizer.json"] = {.bytes = "{ }"};
    server_.files["pytorch_model.bin"] = {.bytes = "never fetched"};
    server_.files["model.safetensors.index.json"] = {.bytes = R"({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}})"};
    server_.files["model-1.safetensors"] = {.bytes = "weights 1", .large = true};
    server_.files["model-2.safetensors"] = {.bytes = "weights 2", .large = true};
  }
  TemporaryFolder cache_;
  HubServer server_;
  HubSettings settings_;
  RecordingProgress progress_;
};

TEST_F(HubPulling, LaysFilesOutAsTheHubsOwnToolsDo) {
  server_.files["sub/model.gguf"] = {.bytes = "GGUF", .large = true};
  const auto model = pull("hf:org/repo");
  ASSERT_TRUE(model.ok()) << model.error().message;
  const std::string etag = sha256_hex("GGUF");
  EXPECT_EQ(model->path, folder() / "snapshots" / server_.commit / "sub/model.gguf");
  EXPECT_EQ(read_text(model->path), "GGUF");
  EXPECT_EQ(fs::read_symlink(model->path), fs::path("../../../blobs") / etag) << "relative, so that the cache can be moved";
  EXPECT_EQ(read_text(folder() / "refs/main"), server_.commit);
  EXPECT_EQ(read_text(folder() / "blobs" / etag), "GGUF");
  EXPECT_FALSE(fs::exists(folder() / "blobs" / (etag + ".incomplete")));
  const size_t bodies = server_.bodies();
  ASSERT_TRUE(pull("hf:org/repo").ok());
  EXPECT_EQ(server_.bodies(), bodies) << "what is here is not fetched again";
}

TEST_F(HubPulling, TakesTheShardsOfAnIndexAndNoMore) {
  add_shards();
  const auto model = pull("hf:org/repo@refs/pr/1");
  ASSERT_TRUE(model.ok()) << model.error().message;
  EXPECT_EQ(model->name, "repo");
  EXPECT_EQ(read_text(model->path / "model-2.safetensors"), "weights 2");
  EXPECT_EQ(read_text(model->path / "tokenizer.json"), "{ }");
  EXPECT_FALSE(fs::exists(model->path / "pytorch_model.bin"));
  EXPECT_EQ(read_text(folder() / "refs/refs/pr/1"), server_.commit);
}

TEST_F(HubPulling, FollowsARevisionThatMoved) {
  server_.files["m.gguf"] = {.bytes = "old", .large = true};
  ASSERT_TRUE(pull("hf:org/repo").ok());
  const std::string old = server_.commit;
  server_.commit = std::string(40, 'c');
  server_.files["m.gguf"].bytes = "new";
  const auto model = pull("hf:org/repo");
  ASSERT_TRUE(model.ok()) << model.error().message;
  EXPECT_EQ(read_text(model->path), "new");
  EXPECT_EQ(read_text(find_in_hub_cache(*parse_hub_name("hf:org/repo@" + old), settings_)->path), "old");
}

TEST_F(HubPulling, OfflineMeansTheCacheAlone) {
  server_.files["m.gguf"] = {.bytes = "x"};
  settings_.offline = true;
  const auto refused = pull("hf:org/repo");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(refused.error().message, HasSubstr("HF_HUB_OFFLINE"));
  settings_.offline = false;
  ASSERT_TRUE(pull("hf:org/repo").ok());
  settings_.offline = true;
  const size_t asked = server_.requests().size();
  EXPECT_TRUE(pull("hf:org/repo").ok());
  EXPECT_EQ(server_.requests().size(), asked);
}

TEST_F(HubPulling, EvilNamesLeaveNothingBehind) {
  server_.files["../../../evil.gguf"] = {.bytes = "x"};
  const auto refused = pull("hf:org/repo");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kDataLoss);
  server_.files.clear();
  add_shards();
  server_.files["model.safetensors.index.json"].bytes = R"({"weight_map": {"a": "../../../../evil"}})";
  EXPECT_EQ(pull("hf:org/repo").error().code, ErrorCode::kDataLoss);
  EXPECT_FALSE(find_in_hub_cache({.repository = "org/repo"}, settings_).ok()) << "no revision points at half a model";
  EXPECT_FALSE(fs::exists(cache_.path().parent_path() / "evil.gguf"));
}

TEST_F(HubPulling, ABrokenOneIsNotOpened) {
  server_.files["m.gguf"] = {.bytes = "right", .large = true, .sha256 = sha256_hex("other")};
  EXPECT_EQ(pull("hf:org/repo").error().code, ErrorCode::kDataLoss);
  EXPECT_FALSE(find_in_hub_cache({.repository = "org/repo"}, settings_).ok());
  EXPECT_TRUE(fs::is_empty(folder() / "blobs"));
  server_.files["m.gguf"] = {.bytes = "right", .large = true};
  ASSERT_TRUE(pull("hf:org/repo").ok());
  std::ofstream(folder() / "blobs" / sha256_hex("right"), std::ios::trunc) << "rig";
  ASSERT_TRUE(pull("hf:org/repo").ok());
  EXPECT_EQ(read_text(folder() / "blobs" / sha256_hex("right")), "right") << "a blob of another size is fetched again";
}

TEST_F(HubPulling, TwoAtOnceFetchOnce) {
  server_.files["m.gguf"] = {.bytes = std::string(100'000, 'm'), .large = true};
  server_.on_body = [] { std::this_thread::sleep_for(50ms); };
  RecordingProgress other;
  std::thread second([&] { EXPECT_TRUE(pull_from_hub({.repository = "org/repo"}, settings_, other).ok()); });
  EXPECT_TRUE(pull("hf:org/repo").ok());
  second.join();
  EXPECT_EQ(server_.bodies(), 1u);
}

TEST_F(HubPulling, WaitingForAnotherCanBeStopped) {
  server_.files["m.gguf"] = {.bytes = "x", .large = true};
  const fs::path lock = cache_ / ".locks/models--org--repo" / (sha256_hex("x") + ".lock");
  write_text(lock, "");
  const int fd = ::open(lock.c_str(), O_RDWR);
  ASSERT_EQ(::flock(fd, LOCK_EX), 0);
  progress_.stop_at = "waiting";
  EXPECT_EQ(pull("hf:org/repo").error().code, ErrorCode::kCancelled);
  ::close(fd);
}

TEST_F(HubPulling, SpaceIsCheckedBefore) {
  EXPECT_TRUE(check_hub_space(cache_.path(), 0).ok());
  EXPECT_TRUE(check_hub_space(cache_.path(), 1).ok());
  const Result<void> checked = check_hub_space(cache_.path(), uint64_t{1} << 60);
  ASSERT_FALSE(checked.ok());
  EXPECT_EQ(checked.error().code, ErrorCode::kResourceExhausted);
  EXPECT_THAT(checked.error().message, HasSubstr("HF_HUB_CACHE"));
  EXPECT_TRUE(check_hub_space(cache_ / "none", uint64_t{1} << 60).ok()) << "unknown: the writes will tell";
}

TEST_F(HubPulling, LinksAreReplacedInOneStep) {
  write_text(cache_ / "blobs/a", "a");
  write_text(cache_ / "blobs/b", "b");
  const fs::path link = cache_ / "snapshots/c/f";
  ASSERT_TRUE(link_into_snapshot(cache_ / "blobs/a", link).ok());
  ASSERT_TRUE(link_into_snapshot(cache_ / "blobs/b", link).ok());
  ASSERT_TRUE(link_into_snapshot(cache_ / "blobs/b", link).ok());
  EXPECT_EQ(read_text(link), "b");
  EXPECT_EQ(std::distance(fs::directory_iterator(cache_ / "snapshots/c"), fs::directory_iterator()), 1);
}

}  // namespace
}  // namespace accelerate
