#include "accelerate/models/builder.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/models/model_maker.h"

namespace accelerate {
namespace {

using ::testing::HasSubstr;

TEST(Builder, GivesEachTensorOneWeight) {
  const testing::MadeModel made = testing::small_llama_model();
  GraphBuilder builder(made.model, "llama");
  EXPECT_EQ(builder.weight("output_norm.weight", {8})->index, 0u);
  EXPECT_EQ(builder.weight("token_embd.weight", {10, 8})->index, 1u);
  EXPECT_EQ(builder.weight("output_norm.weight", {8})->index, 0u);
  EXPECT_THAT(builder.weight("output_norm.weight", {9}).error().message, HasSubstr("is [9] by the config; got [8] F32"));
  EXPECT_EQ(*builder.weight_if_there("absent", {1}), std::nullopt);
  EXPECT_FALSE(builder.weight_if_there("token_embd.weight", {1}).ok());
}

TEST(Builder, EveryBoundOfTheConfigIsChecked) {
  const auto error_with = [](auto change) {
    ModelConfig config = testing::small_llama_model().model.config;
    change(config);
    const auto checked = check_config(config);
    return checked ? std::string("accepted") : checked.error().message;
  };
  EXPECT_EQ(error_with([](ModelConfig&) {}), "accepted");
  EXPECT_THAT(error_with([](ModelConfig& c) { c.layers = 0; }), HasSubstr("layer count is 1 to 1024; got none"));
  EXPECT_THAT(error_with([](ModelConfig& c) { c.layers = UINT32_MAX; }), HasSubstr("got 4294967295"));
  EXPECT_THAT(error_with([](ModelConfig& c) { c.width = kModelWidthMax + 1; }), HasSubstr("width"));
  EXPECT_THAT(error_with([](ModelConfig& c) { c.ff_width = 0; }), HasSubstr("feed-forward"));
  EXPECT_THAT(error_with([](ModelConfig& c) { c.heads = 0; }), HasSubstr("head count"));
  EXPECT_THAT(error_with([](ModelConfig& c) { c.kv_heads = 0; }), HasSubstr("kv head count"));
  EXPECT_THAT(error_with([](ModelConfig& c) { c.heads = 3, c.kv_heads = 2; }), HasSubstr("multiple of kv heads"));
  EXPECT_THAT(error_with([](ModelConfig& c) { c.head_width = 0; }), HasSubstr("head width"));
  EXPECT_THAT(error_with([](ModelConfig& c) { c.heads = 2000, c.kv_heads = 1, c.head_width = 2000; }), HasSubstr("heads times head width"));
  EXPECT_THAT(error_with([](ModelConfig& c) { c.vocabulary = 0; }), HasSubstr("vocabulary"));
  EXPECT_THAT(error_with([](ModelConfig& c) { c.context = 0; }), HasSubstr("context"));
  EXPECT_THAT(error_with([](ModelConfig& c) { c.rope_width = 3; }), HasSubstr("rotated width"));
  EXPECT_THAT(error_with([](ModelConfig& c) { c.rope_width = 6; }), HasSubstr("rotated width"));
  EXPECT_THAT(error_with([](ModelConfig& c) { c.norm_epsilon = NAN; }), HasSubstr("epsilon"));
  EXPECT_THAT(error_with([](ModelConfig& c) { c.attention_scale = -1; }), HasSubstr("softcaps"));
  EXPECT_THAT(error_with([](ModelConfig& c) { c.final_softcap = NAN; }), HasSubstr("softcaps"));
}

TEST(Builder, FieldsThatChangeNothingPass) {
  ModelConfig config;
  config.architecture = "llama";
  config.other = {{"transformers_version", "4.1"}, {"_custom", "5"}, {"use_moe", "false"}, {"nothing", "null"}, {"scale", "1.0"}, {"mine", "7"}};
  EXPECT_TRUE(check_other_fields(config, {"mine"}).ok());
  EXPECT_THAT(check_other_fields(config, {}).error().message, HasSubstr("got 1 that may change what is computed: mine = 7"));
}

TEST(Builder, ForeignTextIsShownWithoutHarm) {
  EXPECT_EQ(shown("yarn"), "yarn");
  EXPECT_EQ(shown("a\n\x1b\xc3"), "a???");
  EXPECT_EQ(shown(std::string(100, 'x')), std::string(kShownBytesMax, 'x') + "...");
}

TEST(Builder, RopeParametersAreSane) {
  EXPECT_TRUE(check_rotated({.head_width = 4}).ok());
  EXPECT_FALSE(check_rotated({.head_width = 5}).ok());
  EXPECT_TRUE(check_rotated({.head_width = 5, .rope_width = 2}).ok());
  EXPECT_TRUE(check_rope({}).ok());
  EXPECT_TRUE(check_rope({.scaling = "linear", .factor = 8}).ok());
  EXPECT_TRUE(check_rope({.scaling = "llama3", .factor = 32, .original_context = 8192}).ok());
  EXPECT_FALSE(check_rope({.base = 0}).ok());
  EXPECT_FALSE(check_rope({.base = NAN}).ok());
  EXPECT_FALSE(check_rope({.scaling = "linear", .factor = 0}).ok());
  EXPECT_FALSE(check_rope({.scaling = "llama3", .factor = 8}).ok());
  EXPECT_FALSE(check_rope({.scaling = "llama3", .factor = 8, .low_frequency_factor = 4, .high_frequency_factor = 1, .original_context = 1}).ok());
  EXPECT_EQ(check_rope({.scaling = "longrope"}).error().code, ErrorCode::kUnimplemented);
}

TEST(Builder, AnUnusedTensorNeedsAReason) {
  testing::MadeModel made;
  made.tensor("t", {4, 2}).tensor("spare", {1});
  made.model.config.vocabulary = 4;
  for (const bool with_reason : {false, true}) {
    GraphBuilder builder(made.model, "test");
    const WeightId table = *builder.weight("t", {4, 2});
    const ValueId x = builder.add(TokenEmbedding{.table = table}, "x", 2);
    builder.output({.kind = Output::Kind::kHidden, .x = x, .head = {}});
    if (with_reason) builder.ignore("spare", "it is spare"), builder.ignore("absent", "not here");
    GraphNotes notes;
    const auto graph = builder.finish(&notes);
    EXPECT_EQ(graph.ok(), with_reason);
    EXPECT_EQ(notes.ignored, with_reason ? std::vector<std::string>{"spare: it is spare"} : std::vector<std::string>{});
  }
}

}  // namespace
}  // namespace accelerate
