#include "accelerate/formats/hf_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/formats/gguf_writer.h"
#include "tests/temporary.h"

namespace accelerate {
namespace {

using testing::GgufWriter;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// A safetensors file with one F32 value per name.
std::string weights(const std::vector<std::string>& names) {
  std::string header = "{";
  for (size_t i = 0; i < names.size(); ++i) {
    header += (i ? ",\"" : "\"") + names[i] + "\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[" + std::to_string(4 * i) + "," +
              std::to_string(4 * i + 4) + "]}";
  }
  header += "}";
  while (header.size() % 8 != 0) header += ' ';
  return GgufWriter::raw<uint64_t>(header.size()) + header + std::string(4 * names.size(), '\1');
}

constexpr const char* kConfig = R"({"model_type":"llama","vocab_size":10,"max_position_embeddings":64,"eos_token_id":[3,4]})";

TEST(HfModel, PutsThePartsTogether) {
  const TemporaryFolder folder;
  folder.write("config.json", kConfig);
  folder.write("model.safetensors", weights({"a", "b"}));
  folder.write("tokenizer.json", R"({"added_tokens":[{"id":1,"content":"<s>"},{"id":2,"content":"</s>"}]})");
  folder.write("tokenizer_config.json", R"({"bos_token":"<s>","eos_token":"</s>"})");
  folder.write("generation_config.json", R"({"eos_token_id":[2,5,99],"pad_token_id":7,"temperature":0.5,"top_k":40,"top_p":null})");
  const auto model = open_hugging_face(folder.path());
  ASSERT_TRUE(model.ok()) << model.error().message;
  EXPECT_EQ(model->format, "safetensors");
  EXPECT_EQ(model->tensors.size(), 2u);
  EXPECT_EQ(model->files.size(), 1u);
  EXPECT_EQ(model->tokenizer->eos, 2u);
  EXPECT_EQ(model->tokenizer->padding, 7u);
  EXPECT_THAT(model->tokenizer->end_of_generation, ElementsAre(5, 3, 4));  // 99 is outside the vocabulary
  EXPECT_EQ(model->generation.temperature, 0.5f);
  EXPECT_EQ(model->generation.top_k, 40u);
  EXPECT_EQ(model->generation.top_p, std::nullopt);
}

TEST(HfModel, ReadsShardsThroughTheIndex) {
  const TemporaryFolder folder;
  folder.write("config.json", kConfig);
  folder.write("one.safetensors", weights({"a"}));
  folder.write("two.safetensors", weights({"b"}));
  folder.write("model.safetensors.index.json", R"({"weight_map":{"a":"one.safetensors","b":"two.safetensors"}})");
  EXPECT_EQ(open_hugging_face(folder.path())->tensors.size(), 2u);
  folder.write("model.safetensors.index.json", R"({"weight_map":{"a":"one.safetensors","b":"two.safetensors","c":"two.safetensors"}})");
  EXPECT_THAT(open_hugging_face(folder.path()).error().message, HasSubstr("'c' in none"));
  folder.write("two.safetensors", weights({"a"}));
  EXPECT_THAT(open_hugging_face(folder.path()).error().message, HasSubstr("'a' twice"));
  folder.write("two.safetensors", "broken");
  EXPECT_THAT(open_hugging_face(folder.path()).error().message, HasSubstr("two.safetensors)"));
  std::filesystem::remove(folder.path() / "two.safetensors");
  EXPECT_EQ(open_hugging_face(folder.path()).error().code, ErrorCode::kNotFound);
}

TEST(HfModel, SaysWhichPartIsMissing) {
  const TemporaryFolder folder;
  EXPECT_THAT(open_hugging_face(folder.path()).error().message, HasSubstr("config.json"));
  folder.write("config.json", kConfig);
  EXPECT_EQ(open_hugging_face(folder.path()).error().code, ErrorCode::kNotFound);
  folder.write("x.safetensors", weights({"a"}));
  EXPECT_TRUE(open_hugging_face(folder.path()).ok());
  folder.write("y.safetensors", weights({"b"}));
  EXPECT_THAT(open_hugging_face(folder.path()).error().message, HasSubstr("got x.safetensors, y.safetensors"));
  EXPECT_EQ(open_hugging_face(folder.path(), folder.path() / "y.safetensors")->tensors[0].name, "b");
}

TEST(HfModel, ReadsSentenceTransformersModules) {
  const TemporaryFolder folder;
  folder.write("config.json", R"({"model_type":"bert","max_position_embeddings":64})");
  folder.write("model.safetensors", weights({"a"}));
  const auto modules = [&](const std::string& more) {
    folder.write("modules.json", R"([{"path":"","type":"sentence_transformers.models.Transformer"},)"
                                 R"({"path":"1_Pooling","type":"sentence_transformers.models.Pooling"})" + more + "]");
  };
  modules(R"(,{"path":"2_Normalize","type":"sentence_transformers.models.Normalize"})");
  folder.write("1_Pooling/config.json", R"({"pooling_mode_cls_token":true,"pooling_mode_mean_tokens":false})");
  folder.write("sentence_bert_config.json", R"({"max_seq_length":512})");
  const auto model = open_hugging_face(folder.path());
  ASSERT_TRUE(model.ok()) << model.error().message;
  EXPECT_EQ(model->pooling, Pooling::kCls);
  EXPECT_TRUE(model->normalize_embeddings);
  EXPECT_EQ(model->embedding_tokens_max, 64u);  // no more positions than that
  folder.write("1_Pooling/config.json", R"({"pooling_mode_max_tokens":true,"pooling_mode_mean_tokens":true})");
  modules(R"(,{"path":"2_Dense","type":"sentence_transformers.models.Dense"})");
  const auto odd = open_hugging_face(folder.path());
  EXPECT_EQ(odd->config.other.at("pooling"), "pooling_mode_max_tokens and pooling_mode_mean_tokens");
  EXPECT_EQ(odd->config.other.at("modules.json: 'sentence_transformers.models.Dense'"), "'2_Dense'");
  modules(R"(,{"path":"../2","type":"sentence_transformers.models.Pooling"})");
  EXPECT_THAT(open_hugging_face(folder.path()).error().message, HasSubstr("folders of the model"));
  folder.write("modules.json", "{}");
  EXPECT_FALSE(open_hugging_face(folder.path()).ok());
}

}  // namespace
}  // namespace accelerate
