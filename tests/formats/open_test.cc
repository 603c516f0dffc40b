#include "accelerate/formats/open.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "accelerate/core/graph.h"
#include "accelerate/models/families.h"
#include "tests/formats/gguf_writer.h"
#include "tests/temporary.h"
#include "tests/real_models.h"

namespace accelerate {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

fs::path fixture(const std::string& name) { return fs::path(ACC_TEST_DATA) / "fixtures" / name; }

#define SKIP_WITHOUT(path) \
  if (!fs::exists(path)) GTEST_SKIP() << testing::real_model_absent(path)

TEST(Open, OpensEveryFixtureAndBuildsItsGraph) {
  int opened = 0;
  for (const auto& entry : fs::directory_iterator(fixture(""))) {
    const bool model = entry.path().extension() == ".gguf" || fs::exists(entry.path() / "config.json");
    if (!model) continue;
    const auto found = open_model(entry.path());
    ASSERT_TRUE(found.ok()) << entry.path() << " " << found.error().message;
    const auto graph = build_graph(**found);
    ASSERT_TRUE(graph.ok()) << entry.path() << " " << graph.error().message;
    EXPECT_TRUE((*found)->tokenizer.has_value()) << entry.path();
    EXPECT_GT((*found)->weight_bytes(), 1000u);
    ++opened;
  }
  EXPECT_GE(opened, 17);  // 11 llama types, 2 gemma3, 3 llama directories, 1 bert
}

TEST(Open, ShardsHoldTheSameTensorsAsOneFile) {
  const auto shards = open_model(fixture("llama_hf_f16_sharded")), single = open_model(fixture("llama_hf_bf16"));
  ASSERT_TRUE(shards.ok() && single.ok());
  EXPECT_EQ((*shards)->files.size(), 2u);
  ASSERT_EQ((*shards)->tensors.size(), (*single)->tensors.size());
  for (const TensorView& tensor : (*single)->tensors) {
    const TensorView* other = (*shards)->find(tensor.name);
    ASSERT_NE(other, nullptr) << tensor.name;
    EXPECT_EQ(other->shape, tensor.shape);
  }
}

TEST(Open, TakesADirectoryWithOneGgufAndASafetensorsFileByName) {
  const TemporaryFolder folder;
  folder.write("model.gguf", testing::small_llama().text_of_file());
  const auto directory = open_model(folder.path());
  ASSERT_TRUE(directory.ok()) << directory.error().message;
  EXPECT_EQ((*directory)->format, "gguf v3");
  EXPECT_EQ((*directory)->path, (folder.path() / "model.gguf").string());
  folder.write("second.gguf", testing::small_llama().text_of_file());
  EXPECT_THAT(open_model(folder.path()).error().message, HasSubstr("got 2 in"));
  EXPECT_THAT(open_model(folder.path()).error().message, HasSubstr("model.gguf, second.gguf"));
  const auto file = open_model(fixture("llama_hf_f32/model.safetensors"));
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ((*file)->config.architecture, "llama");
}

TEST(Open, SaysWhatIsWrong) {
  const TemporaryFolder folder;
  EXPECT_EQ(open_model(folder.path() / "none").error().code, ErrorCode::kNotFound);
  EXPECT_THAT(open_model(folder.path()).error().message, HasSubstr("got neither in"));
  folder.write("model.zip", "PK\x03\x04 and more");
  const Error zip = open_model(folder.path() / "model.zip").error();
  EXPECT_EQ(zip.code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(zip.message, HasSubstr("(50 4b 03 04 20 61 6e 64)"));
  folder.write("empty.gguf", "");
  EXPECT_THAT(open_model(folder.path() / "empty.gguf").error().message, HasSubstr("an empty file"));
  folder.write("short.gguf", testing::small_llama().text_of_file().substr(0, 500));
  EXPECT_EQ(open_model(folder.path() / "short.gguf").error().code, ErrorCode::kDataLoss);
  EXPECT_FALSE(open_model("/dev/null").ok());
}

TEST(Open, AModelWithoutTokenizerOpens) {
  const TemporaryFolder folder;
  folder.write("model.gguf", testing::small_llama({.tokenizer = false}).text_of_file());
  const auto model = open_model(folder.path() / "model.gguf");
  ASSERT_TRUE(model.ok()) << model.error().message;
  EXPECT_FALSE((*model)->tokenizer.has_value());
  EXPECT_TRUE(build_graph(**model).ok());
}

TEST(Open, SmolLM2) {
  const fs::path path = testing::real_model(testing::kSmolLM2File);
  SKIP_WITHOUT(path);
  const auto found = open_model(path);
  ASSERT_TRUE(found.ok()) << found.error().message;
  const Model& model = **found;
  EXPECT_EQ(model.parameter_count(), 134515008u);
  EXPECT_EQ(model.main_dtype(), DType::kQ4_1);
  EXPECT_EQ(model.config.rope_style, RopeStyle::kInterleaved);
  EXPECT_EQ(model.config.context, 8192u);
  EXPECT_EQ(model.tokenizer->vocabulary->tokens.size(), 49152u);
  EXPECT_EQ(model.tokenizer->eos, 2u);
  EXPECT_EQ(model.tokenizer->add_bos, false);
  EXPECT_THAT(model.chat_template, HasSubstr("<|im_start|>"));
  const auto graph = build_graph(model);
  ASSERT_TRUE(graph.ok()) << graph.error().message;
  EXPECT_EQ(graph->kv_layers, 30u);
  EXPECT_EQ(graph->vocabulary, 49152u);
}

TEST(Open, Gemma3) {
  const fs::path path = testing::real_model(testing::kGemma3File);
  SKIP_WITHOUT(path);
  const auto found = open_model(path);
  ASSERT_TRUE(found.ok()) << found.error().message;
  const Model& model = **found;
  EXPECT_EQ(model.config.sliding_window, 512u);
  EXPECT_EQ(model.config.sliding_window_pattern, 6u);
  EXPECT_EQ(model.config.rope.base, 1e6);
  EXPECT_EQ(model.config.rope_local->base, 1e4);
  EXPECT_EQ(model.config.vocabulary, 262144u);
  EXPECT_EQ(model.tokenizer->bos, 2u);
  EXPECT_EQ(model.tokenizer->add_bos, true);
  EXPECT_TRUE(model.chat_template.empty());
  const auto graph = build_graph(model);
  ASSERT_TRUE(graph.ok()) << graph.error().message;
  EXPECT_EQ(graph->kv_layers, 18u);
}

TEST(Open, MiniLM) {
  const fs::path path = testing::real_model("minilm");
  SKIP_WITHOUT(path / "model.safetensors");
  const auto found = open_model(path);
  ASSERT_TRUE(found.ok()) << found.error().message;
  const Model& model = **found;
  EXPECT_EQ(model.pooling, Pooling::kMean);
  EXPECT_TRUE(model.normalize_embeddings);
  EXPECT_EQ(model.embedding_tokens_max, 256u);
  EXPECT_EQ(model.tokenizer->bos, 101u);
  EXPECT_EQ(model.tokenizer->eos, 102u);
  EXPECT_EQ(model.tokenizer->unknown, 100u);
  GraphNotes notes;
  const auto graph = build_graph(model, &notes);
  ASSERT_TRUE(graph.ok()) << graph.error().message;
  EXPECT_TRUE(graph->normalize);
  EXPECT_THAT(notes.ignored, ::testing::Contains(HasSubstr("embeddings.position_ids: ")));
}

}  // namespace
}  // namespace accelerate
