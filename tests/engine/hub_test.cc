#include "accelerate/engine/hub.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "accelerate/engine/catalog.h"
#include "tests/temporary.h"

namespace accelerate {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kCommit(40, 'b');

TEST(HubName, TakesWordsApart) {
  const auto name = parse_hub_name("hf:org/repo@refs/pr/1:sub/model-q4.gguf");
  ASSERT_TRUE(name.ok()) << name.error().message;
  EXPECT_EQ(name->repository, "org/repo");
  EXPECT_EQ(name->revision, "refs/pr/1");
  EXPECT_EQ(name->file, "sub/model-q4.gguf");
  EXPECT_EQ(name->word(), "hf:org/repo@refs/pr/1:sub/model-q4.gguf");
  const auto plain = parse_hub_name("hf:gpt2");
  ASSERT_TRUE(plain.ok());
  EXPECT_EQ(plain->revision, "main");
  EXPECT_EQ(plain->word(), "hf:gpt2");
  EXPECT_TRUE(is_hub_name("hf:x"));
  EXPECT_FALSE(is_hub_name("hfx"));
}

TEST(HubName, RefusesWhatCouldLeadElsewhere) {
  for (const char* word : {"hf:", "hf:/", "hf:a/", "hf:/b", "hf:a/b/c", "hf:../b", "hf:a/..", "hf:a--b/c", "hf:.a/b", "hf:a/b@", "hf:a/b@../x", "hf:a/b@x//y", "hf:a/b@/x",
                           "hf:a/b@x y", "hf:a/b:", "hf:a/b:../x", "hf:a/b:/etc/passwd", "hf:a/b:x/../y", "hf:a/b:x\\y", "hf:a/b:x\ny", "hf:a b/c", "hf:a/b\n", "x"}) {
    const auto name = parse_hub_name(word);
    ASSERT_FALSE(name.ok()) << word;
    EXPECT_EQ(name.error().code, ErrorCode::kInvalidArgument);
  }
  EXPECT_FALSE(parse_hub_name("hf:a/" + std::string(97, 'b')).ok());
  EXPECT_FALSE(is_safe_hub_file(std::string(513, 'b')));
}

TEST(HubSettings, FollowTheEnvironment) {
  const TemporaryFolder folder;
  folder.write("token", "  filed\n");
  const ScopedEnvironment cache("HF_HUB_CACHE", std::nullopt), old("HUGGINGFACE_HUB_CACHE", std::nullopt), home("HF_HOME", folder.path().string()), named("HF_TOKEN_PATH", std::nullopt);
  {
    const ScopedEnvironment endpoint("HF_ENDPOINT", "https://mirror.test/hub/"), token("HF_TOKEN", std::nullopt), offline("HF_HUB_OFFLINE", "true");
    const auto settings = hub_settings();
    ASSERT_TRUE(settings.ok()) << settings.error().message;
    EXPECT_EQ(settings->cache, folder.path() / "hub");
    EXPECT_EQ(settings->endpoint, "https://mirror.test/hub");
    EXPECT_EQ(settings->token, "filed");
    EXPECT_TRUE(settings->offline);
  }
  const ScopedEnvironment token("HF_TOKEN", "spoken"), offline("HF_HUB_OFFLINE", "0");
  {
    const ScopedEnvironment endpoint("HF_ENDPOINT", std::nullopt), cache_too("HF_HUB_CACHE", "/c");
    const auto settings = hub_settings();
    EXPECT_EQ(settings->cache, "/c");
    EXPECT_EQ(settings->endpoint, "https://huggingface.co");
    EXPECT_EQ(settings->token, "spoken");
    EXPECT_FALSE(settings->offline);
  }
  {
    const ScopedEnvironment endpoint("HF_ENDPOINT", "http://192.0.2.1");
    const auto settings = hub_settings();
    ASSERT_FALSE(settings.ok()) << "a token in the clear";
    EXPECT_THAT(settings.error().message, Not(HasSubstr("spoken")));
  }
  const ScopedEnvironment local("HF_ENDPOINT", "http://127.0.0.1:1");
  EXPECT_TRUE(hub_settings().ok());
  const ScopedEnvironment broken("HF_ENDPOINT", "mirror");
  EXPECT_THAT(hub_settings().error().message, HasSubstr("HF_ENDPOINT"));
}

TEST(HubFiles, AreChosenByOneRule) {
  const HubName any{.repository = "org/repo"};
  const auto chosen = [&](const std::string& file, const std::vector<std::string>& listing) {
    auto files = choose_hub_files({.repository = "org/repo", .file = file}, listing);
    EXPECT_TRUE(files.ok()) << files.error().message;
    return files.ok() ? *files : std::vector<std::string>{};
  };
  EXPECT_THAT(chosen("", {"README.md", "a.gguf", "config.json", "model.safetensors"}), ElementsAre("a.gguf"));
  EXPECT_THAT(chosen("b.gguf", {"a.gguf", "b.gguf"}), ElementsAre("b.gguf"));
  EXPECT_THAT(chosen("", {"config.json", "extra.safetensors", "model.safetensors", "pytorch_model.bin", "tokenizer.json"}),
              ElementsAre("config.json", "tokenizer.json", "model.safetensors"));
  EXPECT_THAT(chosen("", {"1_Pooling/config.json", "config.json", "model-1.safetensors", "model-2.safetensors", "model.safetensors.index.json", "onnx/config.json"}),
              ElementsAre("1_Pooling/config.json", "config.json", "model.safetensors.index.json")) << "the weights are the index's to name";
  EXPECT_THAT(chosen("b.safetensors", {"a.safetensors", "b.safetensors", "config.json"}), ElementsAre("config.json", "b.safetensors"));
  const auto several = choose_hub_files(any, {"q8.gguf", "q4.gguf", "config.json"});
  ASSERT_FALSE(several.ok());
  EXPECT_EQ(several.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(several.error().message, HasSubstr("q4.gguf, q8.gguf"));
  EXPECT_THAT(several.error().message, HasSubstr("hf:org/repo:q4.gguf"));
  EXPECT_EQ(choose_hub_files(any, {"a.safetensors", "b.safetensors", "config.json"}).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(choose_hub_files(any, {"README.md", "pytorch_model.bin"}).error().code, ErrorCode::kNotFound);
  const auto typo = choose_hub_files({.repository = "org/repo", .file = "model-q5.gguf"}, {"model-q4.gguf"});
  EXPECT_EQ(typo.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(typo.error().message, HasSubstr("model-q4.gguf"));
}

class HubCache : public ::testing::Test {
 protected:
  void add(const std::string& file, const std::string& bytes = "x") {
    const std::string base = "models--org--repo/";
    cache_.write(base + "refs/main", kCommit);
    cache_.write(base + "blobs/" + std::to_string(++blobs_), bytes);
    const fs::path link = cache_ / (base + "snapshots/" + kCommit + "/" + file);
    fs::create_directories(link.parent_path());
    fs::create_symlink(cache_ / (base + "blobs/" + std::to_string(blobs_)), link);
  }
  Result<HubModel> find(const std::string& word) { return find_in_hub_cache(*parse_hub_name(word), {.cache = cache_.path(), .endpoint = "https://h", .token = {}}); }
  TemporaryFolder cache_;
  int blobs_ = 0;
};

TEST_F(HubCache, FindsTheOnlyGguf) {
  EXPECT_EQ(find("hf:org/repo").error().code, ErrorCode::kNotFound);
  EXPECT_THAT(find("hf:org/repo").error().message, HasSubstr("ipfs-accelerate pull hf:org/repo"));
  add("sub/model-q4.gguf");
  const auto model = find("hf:org/repo");
  ASSERT_TRUE(model.ok()) << model.error().message;
  EXPECT_EQ(model->path.filename(), "model-q4.gguf");
  EXPECT_EQ(model->name, "model-q4");
  EXPECT_TRUE(find("hf:org/repo@" + kCommit).ok()) << "a commit is a revision";
  EXPECT_FALSE(find("hf:org/repo@v2").ok());
  EXPECT_TRUE(find("hf:org/repo:sub/model-q4.gguf").ok());
  EXPECT_FALSE(find("hf:org/repo:model-q4.gguf").ok());
  add("model-q8.gguf");
  EXPECT_THAT(find("hf:org/repo").error().message, HasSubstr("model-q8.gguf, sub/model-q4.gguf"));
  fs::remove(cache_ / "models--org--repo/blobs/2");
  EXPECT_TRUE(find("hf:org/repo").ok()) << "a link without its blob is no file";
}

TEST_F(HubCache, AFolderIsWholeWithItsWeights) {
  add("config.json", "{}");
  EXPECT_FALSE(find("hf:org/repo").ok());
  add("model.safetensors.index.json", R"({"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}})");
  add("model-1.safetensors");
  EXPECT_FALSE(find("hf:org/repo").ok());
  add("model-2.safetensors");
  const auto model = find("hf:org/repo");
  ASSERT_TRUE(model.ok()) << model.error().message;
  EXPECT_EQ(model->path.filename(), kCommit);
  EXPECT_EQ(model->name, "repo");
}

TEST_F(HubCache, TheCatalogKnowsItsNames) {
  add("model-q4.gguf");
  const ScopedEnvironment cache("HF_HUB_CACHE", cache_.path().string());
  const auto here = locate_model("hf:org/repo");
  ASSERT_TRUE(here.ok()) << here.error().message;
  EXPECT_EQ(here->alias, "model-q4");
  EXPECT_EQ(locate_model("hf:org/other").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(locate_model("hf:org/../other").error().code, ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace accelerate
