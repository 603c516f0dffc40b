#include "accelerate/formats/hf_config.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace accelerate {
namespace {

using ::testing::HasSubstr;

TEST(HfConfig, ReadsALlama) {
  const auto config = parse_hf_config(
      R"({"model_type":"llama","architectures":["LlamaForCausalLM"],"hidden_size":64,"num_hidden_layers":2,"num_attention_heads":4,)"
      R"("num_key_value_heads":2,"intermediate_size":96,"vocab_size":280,"max_position_embeddings":256,"rms_norm_eps":1e-5,"hidden_act":"silu",)"
      R"("rope_theta":500000.0,"rope_scaling":{"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,)"
      R"("original_max_position_embeddings":8192},"tie_word_embeddings":true,"torch_dtype":"bfloat16","attention_bias":false})");
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->architecture, "llama");
  EXPECT_EQ(config->layers, 2u);
  EXPECT_EQ(config->width, 64u);
  EXPECT_EQ(config->kv_heads, 2u);
  EXPECT_EQ(config->head_width, 16u);
  EXPECT_EQ(config->ff_width, 96u);
  EXPECT_EQ(config->vocabulary, 280u);
  EXPECT_EQ(config->context, 256u);
  EXPECT_EQ(config->norm_epsilon, 1e-5);
  EXPECT_EQ(config->activation, Activation::kSilu);
  EXPECT_EQ(config->rope.base, 500000);
  EXPECT_EQ(config->rope.scaling, "llama3");
  EXPECT_EQ(config->rope.factor, 8);
  EXPECT_EQ(config->rope.original_context, 8192u);
  EXPECT_EQ(config->rope_style, RopeStyle::kHalves);
  EXPECT_EQ(config->tied_embeddings, true);
  EXPECT_FALSE(config->norm_weight_is_offset);
  EXPECT_EQ(config->other, (std::map<std::string, std::string>{
                               {"architectures", "LlamaForCausalLM"}, {"attention_bias", "false"}, {"torch_dtype", "bfloat16"}}));
}

TEST(HfConfig, KnowsTheDefaultsOfGemma3) {
  const auto config = parse_hf_config(R"({"model_type":"gemma3_text","hidden_size":640,"num_attention_heads":4,"num_key_value_heads":1})");
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_TRUE(config->norm_weight_is_offset);
  EXPECT_EQ(config->head_width, 256u);
  EXPECT_EQ(config->attention_scale, 1.0 / 16);
  EXPECT_EQ(config->rope.base, 1e6);
  EXPECT_EQ(config->rope_local->base, 1e4);
  EXPECT_EQ(config->sliding_window_pattern, 6u);
  EXPECT_EQ(config->activation, Activation::kGeluTanh);
  const auto scaled = parse_hf_config(
      R"({"model_type":"gemma3_text","query_pre_attn_scalar":168,"rope_theta":5e5,"rope_local_base_freq":1e3,"sliding_window":512,)"
      R"("final_logit_softcapping":30.0,"attn_logit_softcapping":null,)"
      R"("layer_types":["sliding_attention","full_attention","sliding_attention","full_attention","sliding_attention"]})");
  EXPECT_DOUBLE_EQ(scaled->attention_scale, 1 / std::sqrt(168.0));
  EXPECT_EQ(scaled->rope.base, 5e5);
  EXPECT_EQ(scaled->rope_local->base, 1e3);
  EXPECT_EQ(scaled->sliding_window, 512u);
  EXPECT_EQ(scaled->sliding_window_pattern, 2u);
  EXPECT_EQ(scaled->final_softcap, 30);
  EXPECT_EQ(scaled->attention_softcap, 0);
}

TEST(HfConfig, ReadsRopeParametersOfBothForms) {
  const auto one = parse_hf_config(R"({"model_type":"llama","rope_parameters":{"rope_type":"linear","rope_theta":2e4,"factor":4}})");
  EXPECT_EQ(one->rope.base, 2e4);
  EXPECT_EQ(one->rope.scaling, "linear");
  EXPECT_EQ(one->rope.factor, 4);
  const auto two = parse_hf_config(
      R"({"model_type":"gemma3_text","rope_parameters":{"full_attention":{"rope_type":"linear","factor":8,"rope_theta":3e6},)"
      R"("sliding_attention":{"rope_type":"default","rope_theta":2e3}}})");
  EXPECT_EQ(two->rope.base, 3e6);
  EXPECT_EQ(two->rope.scaling, "linear");
  EXPECT_EQ(two->rope_local->base, 2e3);
  EXPECT_EQ(two->rope_local->scaling, "none");
  const auto yarn = parse_hf_config(R"({"model_type":"llama","rope_scaling":{"type":"yarn","factor":4,"beta_fast":32}})");
  EXPECT_EQ(yarn->rope.scaling, "yarn");
  EXPECT_EQ(yarn->other.at("rope_scaling.beta_fast"), "32");
}

TEST(HfConfig, TellsMistralsWindows) {
  EXPECT_EQ(parse_hf_config(R"({"model_type":"mistral"})")->sliding_window, 4096u);
  EXPECT_EQ(parse_hf_config(R"({"model_type":"mistral","sliding_window":null})")->sliding_window, 0u);
  EXPECT_EQ(parse_hf_config(R"({"model_type":"mistral","sliding_window":64})")->sliding_window, 64u);
  EXPECT_EQ(parse_hf_config(R"({"model_type":"qwen2","sliding_window":64,"use_sliding_window":false})")->sliding_window, 0u);
}

TEST(HfConfig, HandsOnWhatItHasNoPlaceFor) {
  const auto config = parse_hf_config(
      R"({"model_type":"llama","hidden_act":"xielu","layer_types":["full_attention","linear_attention"],"num_experts":8,"mup":{"a":1}})");
  EXPECT_EQ(config->other.at("hidden_act"), "xielu");
  EXPECT_EQ(config->other.at("num_experts"), "8");
  EXPECT_EQ(config->other.at("mup"), "{\"a\":1}");
  EXPECT_THAT(config->other.at("layer_types"), HasSubstr("linear_attention"));
  EXPECT_EQ(config->activation, std::nullopt);
}

TEST(HfConfig, RefusesBrokenFiles) {
  EXPECT_FALSE(parse_hf_config("").ok());
  EXPECT_FALSE(parse_hf_config("{").ok());
  EXPECT_THAT(parse_hf_config("[]").error().message, HasSubstr("has a model_type; got none"));
  EXPECT_THAT(parse_hf_config(R"({"model_type":"a\u0001"})").error().message, HasSubstr("'a?'"));
  EXPECT_THAT(parse_hf_config(R"({"model_type":"llama","hidden_size":"64"})").error().message, HasSubstr("hidden_size in config.json"));
  EXPECT_THAT(parse_hf_config(R"({"model_type":"llama","hidden_size":-1})").error().message, HasSubstr("got '-1'"));
  EXPECT_THAT(parse_hf_config(R"({"model_type":"llama","rope_scaling":5})").error().message, HasSubstr("rope_scaling in config.json is an object"));
  EXPECT_THAT(parse_hf_config(R"({"model_type":"llama","partial_rotary_factor":2})").error().message, HasSubstr("partial_rotary_factor"));
  EXPECT_THAT(parse_hf_config(R"({"model_type":"llama","query_pre_attn_scalar":-2})").error().message, HasSubstr("query_pre_attn_scalar"));
}

}  // namespace
}  // namespace accelerate
