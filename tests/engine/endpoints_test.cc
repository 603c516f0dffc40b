#include "accelerate/engine/endpoints.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/fake_encoder.h"
#include "tests/engine/fixture_model.h"

namespace accelerate {
namespace {

using ::testing::HasSubstr;

EndpointParts parts_of(std::shared_ptr<Model> model, std::unique_ptr<Program> program) {
  return {.model = std::move(model), .program = std::move(program), .name = "fixture", .path = "/somewhere/fixture.gguf", .target = "test@cpu:0",
          .started = std::chrono::steady_clock::now() - std::chrono::milliseconds(250)};
}

TEST(Endpoints, TheKindOfProgramDecides) {
  auto decoder = std::make_unique<CountingDecoder>();
  decoder->vocabulary_value = 280;
  const auto text = make_endpoint(parts_of(fixture_model("llama_f32.gguf"), std::move(decoder)));
  ASSERT_TRUE(text) << to_string(text.error());
  EXPECT_EQ((*text)->info().kind, ProgramKind::kDecoder);
  const auto vectors = make_endpoint(parts_of(fixture_model("bert_hf"), std::make_unique<FakeEncoder>()));
  ASSERT_TRUE(vectors) << to_string(vectors.error());
  EXPECT_EQ((*vectors)->info().kind, ProgramKind::kEncoder);
  EXPECT_EQ(*(*vectors)->token_pieces(std::vector<uint32_t>{2}), std::vector<std::string>{"[CLS]"});
  EXPECT_EQ(*(*vectors)->detokenize(std::vector<uint32_t>{2, 3}, {.skip_special = false}), "[CLS] [SEP]");
  EXPECT_FALSE((*vectors)->info().matryoshka);
}

TEST(Endpoints, OtherKindsAreRefused) {
  struct Tensors final : TensorProgram {
    uint64_t memory_bytes() const override { return 0; }
    Result<NamedTensors> run(const NamedTensors&, const StepControl&) override { return NamedTensors{}; }
  };
  const auto refused = make_endpoint(parts_of(fixture_model("llama_f32.gguf"), std::make_unique<Tensors>()));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnimplemented);
  EXPECT_THAT(refused.error().message, HasSubstr("'fixture'"));
}

TEST(Endpoints, WithoutATokenizerThereIsNoText) {
  const auto model = fixture_model("llama_f32.gguf");
  model->tokenizer.reset();
  const auto refused = make_endpoint(parts_of(model, std::make_unique<CountingDecoder>()));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kFailedPrecondition);
  EXPECT_THAT(refused.error().message, HasSubstr("/somewhere/fixture.gguf"));
}

TEST(Endpoints, ABrokenTokenizerIsAnError) {
  const auto model = fixture_model("llama_f32.gguf");
  model->tokenizer->vocabulary->pre = "no-such-pre-tokenizer";
  const auto refused = make_endpoint(parts_of(model, std::make_unique<CountingDecoder>()));
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("no-such-pre-tokenizer"));
}

TEST(Endpoints, DescribesTheModelAndItsLoading) {
  const auto model = fixture_model("llama_q4_k.gguf");
  const EndpointParts parts = parts_of(model, std::make_unique<CountingDecoder>());
  const EndpointInfo info = describe_endpoint(parts);
  EXPECT_EQ(info.name, "fixture");
  EXPECT_EQ(info.path, "/somewhere/fixture.gguf");
  EXPECT_EQ(info.target, "test@cpu:0");
  EXPECT_EQ(info.family, "llama");
  EXPECT_EQ(info.quantization, "Q4_K");
  EXPECT_EQ(info.parameters, model->parameter_count());
  EXPECT_GE(info.load_ms, 250);
  EXPECT_LT(info.load_ms, 250 + 60'000);
  const auto now = std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  EXPECT_NEAR(double(info.created_unix_s), double(now), 5);
}

}  // namespace
}  // namespace accelerate
