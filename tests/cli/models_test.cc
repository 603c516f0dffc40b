#include "tests/cli/cli_run.h"

namespace accelerate {
namespace {

using Models = CliTest;

TEST_F(Models, ListsTheCatalogAndWhatIsInstalled) {
  write_text(home_ / "models/own/own.gguf", "GGUF");
  const CliRun text = cli({"models"});
  EXPECT_EQ(text.code, 0);
  for (const char* name : {"smollm2", "minilm", "gemma3", "own", "to pull", "here"}) EXPECT_TRUE(holds(text.out, name)) << text.out;
  EXPECT_EQ(cli({"models", "--names"}).out, "smollm2\nminilm\ngemma3\nown\n");
  const Json list = cli({"models", "--json"}).json();
  EXPECT_EQ(list["folder"], (home_ / "models").string());
  ASSERT_EQ(list["models"].size(), 4u);
  EXPECT_EQ(list["models"][0]["installed"], false);
  EXPECT_EQ(list["models"][0]["path"], nullptr);
  EXPECT_EQ(list["models"][3]["path"], (home_ / "models/own/own.gguf").string());
}

TEST_F(Models, ShowsAModelBeforeLoadingIt) {
  const CliRun text = cli({"models", "show", fixture("llama_q8_0.gguf")});
  ASSERT_EQ(text.code, 0) << text.err;
  for (const char* word : {"family", "llama", "Q8_0", "memory needed", "chat template"}) EXPECT_TRUE(holds(text.out, word)) << text.out;
  const Json shown = cli({"models", "show", "--json", fixture("llama_q8_0.gguf")}).json();
  EXPECT_EQ(shown["family"], "llama");
  EXPECT_EQ(shown["quantization"], "Q8_0");
  EXPECT_EQ(shown["width"], 96);
  EXPECT_EQ(shown["layers"], 1);
  EXPECT_EQ(shown["refusal"], nullptr);
  EXPECT_GT(shown["parameters"].get<uint64_t>(), 10'000u);
  EXPECT_GT(shown["memory_bytes"]["total"].get<uint64_t>(), shown["memory_bytes"]["weights"].get<uint64_t>());
}

TEST_F(Models, ShowsWhatAModelIsAndWhatItsMakersSuggest) {
  const ScopedEnvironment cache("XDG_CACHE_HOME", (home_ / "cache").string());
  const Json gguf = cli({"models", "show", fixture("llama_f32.gguf"), "--id", "--json"}).json();
  const Json folder = cli({"models", "show", fixture("llama_hf_f32"), "--id", "--json"}).json();
  EXPECT_EQ(gguf["id"].get<std::string>().size(), 64u);
  EXPECT_NE(gguf["id"], folder["id"]);
  EXPECT_EQ(gguf["graph"].get<std::string>().size(), 64u);
  EXPECT_EQ(cli({"models", "show", fixture("llama_f32.gguf"), "--id", "--json"}).json(), gguf) << "and again from the cache";
  EXPECT_EQ(cli({"models", "show", fixture("llama_f32.gguf"), "--json"}).json()["id"], nullptr) << "only when asked for";
  write_text(home_ / "m/config.json", read_text(fixture("llama_hf_f32/config.json")));
  write_text(home_ / "m/model.safetensors", read_text(fixture("llama_hf_f32/model.safetensors")));
  write_text(home_ / "m/generation_config.json", R"({"temperature":0.5,"top_k":40})");
  EXPECT_EQ(cli({"models", "show", (home_ / "m").string(), "--json"}).json()["suggested_sampling"], Json({{"temperature", 0.5}, {"top_k", 40.0}}));
  EXPECT_TRUE(holds(cli({"models", "show", (home_ / "m").string()}).out, "temperature 0.5, top_k 40 (not applied)"));
}

TEST_F(Models, MemoryFollowsTheTokensAskedFor) {
  const auto kv = [&](const std::string& tokens) {
    return cli({"models", "show", fixture("llama_f32.gguf"), "--kv-tokens", tokens, "--json"}).json()["memory_bytes"]["kv"].get<uint64_t>();
  };
  EXPECT_EQ(4 * kv("1024"), kv("4096"));
}

TEST_F(Models, ABrokenFileIsAClearError) {
  write_text(home_ / "cut.gguf", read_text(fixture("llama_f32.gguf")).substr(0, 5000));
  const CliRun run = cli({"models", "show", (home_ / "cut.gguf").string()});
  EXPECT_NE(run.code, 0);
  EXPECT_TRUE(run.err.starts_with("error: [")) << run.err;
  EXPECT_EQ(run.out, "");
  write_text(home_ / "text.gguf", "this is a text\n");
  EXPECT_NE(cli({"models", "show", (home_ / "text.gguf").string()}).code, 0);
}

}  // namespace
}  // namespace accelerate
