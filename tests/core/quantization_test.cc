#include "accelerate/core/quantization.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace accelerate {
namespace {

using testing::HasSubstr;

TensorView tensor(std::string name, std::vector<uint64_t> shape, DType type = DType::kF32) {
  TensorView view{.name = std::move(name), .dtype = type, .shape = std::move(shape)};
  // Nothing reads the bytes: only their number counts.
  view.bytes = {reinterpret_cast<const std::byte*>(&view), *byte_size(type, view.element_count())};
  return view;
}

DType chosen(const std::string& name, std::vector<uint64_t> shape, DType asked, DType type = DType::kF32) {
  return choose_quantization(tensor(name, std::move(shape), type), asked).type;
}

TEST(Quantization, NamesInAnyCase) {
  const std::pair<const char*, DType> cases[] = {{"f32", DType::kF32},   {"F16", DType::kF16},   {"bf16", DType::kBF16}, {"int8", DType::kQ8_0},
                                                 {"INT4", DType::kQ4_K}, {"q4_k", DType::kQ4_K}, {"Q6_k", DType::kQ6_K}, {"q5_1", DType::kQ5_1}};
  for (const auto& [name, type] : cases) {
    const Result<DType> got = quantization_from_name(name);
    ASSERT_TRUE(got) << name;
    EXPECT_EQ(*got, type) << name;
  }
}

TEST(Quantization, UnknownNamesAreRefusedWithTheList) {
  for (const char* name : {"", "int3", "i32", "bool", "q2_k", "Q4_K_M", "q4\nk"}) {
    const Result<DType> got = quantization_from_name(name);
    ASSERT_FALSE(got) << name;
    EXPECT_EQ(got.error().code, ErrorCode::kInvalidArgument);
    EXPECT_THAT(got.error().message, HasSubstr("one of int8 int4 f32 f16 bf16 q8_0 q4_0 q4_1 q5_0 q5_1 q4_k q5_k q6_k; got '"));
    EXPECT_EQ(got.error().message.find('\n'), std::string::npos);
  }
}

TEST(Quantization, MatricesBecomeWhatIsAskedFor) {
  for (const DType asked : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8_0, DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1, DType::kQ4_K,
                            DType::kQ5_K, DType::kQ6_K}) {
    for (const DType from : {DType::kF32, DType::kF16, DType::kQ4_1, DType::kQ4_K}) {
      const TensorChoice choice = choose_quantization(tensor("blk.0.attn_output.weight", {512, 256}, from), asked);
      EXPECT_EQ(choice.type, asked);
      EXPECT_EQ(choice.reason, QuantizationReason::kAsked);
    }
  }
}

TEST(Quantization, SmallTensorsStay) {
  const TensorView views[] = {tensor("blk.0.attn_norm.weight", {256}), tensor("blk.0.attn_q.bias", {256}, DType::kF16),
                              tensor("position_embd.weight", {512, 256}), tensor("token_types.weight", {2, 256}),
                              tensor("embeddings.position_embeddings.weight", {512, 256}), tensor("blk.0.ffn_gate_inp.weight", {8, 256}),
                              tensor("classifier.weight", {1, 256}), tensor("some.indices", {4, 256}, DType::kI32)};
  for (const TensorView& view : views) {
    const TensorChoice choice = choose_quantization(view, DType::kQ4_0);
    EXPECT_EQ(choice.type, view.dtype) << view.name;
    EXPECT_EQ(choice.reason, QuantizationReason::kSmall) << view.name;
  }
}

TEST(Quantization, EmbeddingAndHeadKeepMoreBits) {
  for (const char* name : {"token_embd.weight", "output.weight", "model.embed_tokens.weight", "lm_head.weight", "embeddings.word_embeddings.weight"}) {
    EXPECT_EQ(chosen(name, {1000, 512}, DType::kQ4_K), DType::kQ6_K) << name;
    EXPECT_EQ(chosen(name, {1000, 576}, DType::kQ4_K), DType::kQ8_0) << name;
    EXPECT_EQ(chosen(name, {1000, 512}, DType::kQ5_1), DType::kQ6_K) << name;
    EXPECT_EQ(chosen(name, {1000, 512}, DType::kQ8_0), DType::kQ8_0) << name;
    EXPECT_EQ(chosen(name, {1000, 576}, DType::kQ6_K), DType::kQ8_0) << name;
    EXPECT_EQ(chosen(name, {1000, 576}, DType::kBF16), DType::kBF16) << name;
    EXPECT_EQ(chosen(name, {1000, 40}, DType::kQ4_0), DType::kF16) << name;
  }
}

TEST(Quantization, RowsThatDoNotDivideFallBack) {
  EXPECT_EQ(chosen("a.weight", {8, 576}, DType::kQ4_K), DType::kQ5_0);
  EXPECT_EQ(chosen("a.weight", {8, 576}, DType::kQ5_K), DType::kQ5_1);
  EXPECT_EQ(chosen("a.weight", {8, 576}, DType::kQ6_K), DType::kQ8_0);
  EXPECT_EQ(chosen("a.weight", {8, 40}, DType::kQ4_K), DType::kF16);
  EXPECT_EQ(chosen("a.weight", {8, 40}, DType::kQ8_0), DType::kF16);
  EXPECT_EQ(choose_quantization(tensor("a.weight", {8, 40}), DType::kQ8_0).reason, QuantizationReason::kRows);
}

TEST(Quantization, AFallbackNeverReplacesASmallerType) {
  EXPECT_EQ(chosen("a.weight", {8, 576}, DType::kQ4_K, DType::kQ4_1), DType::kQ4_1);
  EXPECT_EQ(choose_quantization(tensor("a.weight", {8, 576}, DType::kQ4_1), DType::kQ4_K).reason, QuantizationReason::kAlready);
  EXPECT_EQ(chosen("a.weight", {8, 576}, DType::kQ4_K, DType::kQ8_0), DType::kQ5_0);
  EXPECT_EQ(chosen("output.weight", {8, 512}, DType::kQ4_K, DType::kQ4_K), DType::kQ4_K);
  EXPECT_EQ(chosen("output.weight", {8, 512}, DType::kQ4_K, DType::kQ8_0), DType::kQ6_K);
  EXPECT_EQ(chosen("a.weight", {8, 576}, DType::kQ5_0, DType::kQ4_1), DType::kQ5_0) << "asked for by name";
}

TEST(Quantization, APlanCountsAndNamesItsFallbacks) {
  const std::vector<TensorView> tensors{tensor("token_embd.weight", {1000, 576}), tensor("blk.0.attn_q.weight", {576, 576}),
                                        tensor("blk.0.attn_k.weight", {192, 576}), tensor("blk.0.ffn_down.weight", {576, 1536}),
                                        tensor("blk.0.attn_norm.weight", {576})};
  const QuantizationPlan plan = plan_quantization(tensors, DType::kQ4_K);
  EXPECT_EQ(plan.name(), "Q4_K");
  EXPECT_EQ(plan.count(QuantizationReason::kRows), 2u);
  EXPECT_EQ(plan.count(QuantizationReason::kTable), 1u);
  EXPECT_EQ(plan.count(QuantizationReason::kSmall), 1u);
  EXPECT_EQ(plan.bytes, uint64_t{1000 * 576 / 32 * 34 + 768 * 576 / 32 * 22 + 576 * 1536 / 256 * 144 + 576 * 4});
  EXPECT_EQ(plan.bytes_before, plan.bytes_f32);
  EXPECT_EQ(plan.requantized, 0u);
  EXPECT_THAT(plan.notes(), testing::Contains("2 of 5 tensors became Q5_0: their rows do not divide into blocks of 256 (as blk.0.attn_q.weight [576, 576])"));
  EXPECT_THAT(plan.notes(), testing::Contains("1 of 5 tensors became Q8_0: the token embedding and the output head keep more bits"));
  EXPECT_THAT(plan.notes(), testing::Contains("1 of 5 tensors became Q4_K"));
}

TEST(Quantization, APlanIsNamedByWhatThereIs) {
  const std::vector<TensorView> tensors{tensor("blk.0.attn_q.weight", {576, 576})};
  EXPECT_EQ(plan_quantization(tensors, DType::kQ4_K).name(), "Q5_0") << "no tensor could become Q4_K";
  EXPECT_EQ(plan_quantization({}, DType::kQ4_K).name(), "F32");
  // A large table of more bits does not name the rest: the same name would be that of another mixture.
  const std::vector<TensorView> small{tensor("token_embd.weight", {1000, 64}), tensor("blk.0.attn_q.weight", {64, 64})};
  EXPECT_EQ(plan_quantization(small, DType::kQ4_K).name(), "Q5_0");
  EXPECT_EQ(plan_quantization(small, DType::kQ6_K).name(), "Q8_0");
  const std::vector<TensorView> table{tensor("token_embd.weight", {1000, 512}, DType::kQ8_0), tensor("a.weight", {64, 64}, DType::kQ4_0)};
  EXPECT_EQ(plan_quantization(table, DType::kQ4_K).name(), "Q4_K") << "only the table changed";
}

TEST(Quantization, OfAModelItIsNothingWhereTheFileIsThatAlready) {
  Model model;
  model.tensors = {tensor("token_embd.weight", {5000, 64}, DType::kQ8_0), tensor("blk.0.attn_q.weight", {64, 64}, DType::kF16)};
  EXPECT_FALSE(*quantization_to_apply(model, std::nullopt));
  EXPECT_FALSE(*quantization_to_apply(model, "INT8"));
  EXPECT_EQ(**quantization_to_apply(model, "int4"), DType::kQ4_K);
  EXPECT_FALSE(quantization_to_apply(model, "int3"));
  EXPECT_EQ(quantization_name(model, std::nullopt), "Q8_0");
  EXPECT_EQ(quantization_name(model, DType::kQ4_K), "Q5_0");
  EXPECT_EQ(quantization_name(model, DType::kQ6_K), "Q6_K") << "Q8_0 stands in, and is not what the file has";
}

TEST(Quantization, SecondTimesAreSaid) {
  const std::vector<TensorView> tensors{tensor("a.weight", {8, 512}, DType::kQ4_1), tensor("b.weight", {8, 512}, DType::kF16)};
  const QuantizationPlan plan = plan_quantization(tensors, DType::kQ4_K);
  EXPECT_EQ(plan.requantized, 1u);
  EXPECT_THAT(plan.notes().back(), HasSubstr("1 of 2 tensors were quantized already"));
  EXPECT_EQ(plan_quantization(tensors, DType::kF16).requantized, 0u);
}

TEST(Quantization, Int4IsSeventyPercentSmallerThanFloats) {
  // The shapes of SmolLM2-135M, where most rows (576) divide by no 256: the hardest of the models here.
  std::vector<TensorView> tensors{tensor("token_embd.weight", {49152, 576})};
  for (int i = 0; i < 30; ++i) {
    const std::string at = "blk." + std::to_string(i) + ".";
    for (const char* square : {"attn_q.weight", "attn_output.weight"}) tensors.push_back(tensor(at + square, {576, 576}));
    for (const char* narrow : {"attn_k.weight", "attn_v.weight"}) tensors.push_back(tensor(at + narrow, {192, 576}));
    for (const char* wide : {"ffn_gate.weight", "ffn_up.weight"}) tensors.push_back(tensor(at + wide, {1536, 576}));
    tensors.push_back(tensor(at + "ffn_down.weight", {576, 1536}));
  }
  const QuantizationPlan plan = plan_quantization(tensors, *quantization_from_name("int4"));
  EXPECT_LT(static_cast<double>(plan.bytes), 0.20 * static_cast<double>(plan.bytes_f32));
}

}  // namespace
}  // namespace accelerate
