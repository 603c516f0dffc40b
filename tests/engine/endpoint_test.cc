#include "accelerate/engine/endpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace accelerate {
namespace {

using ::testing::HasSubstr;

// An endpoint that does only what it must.
class Bare final : public Endpoint {
 public:
  explicit Bare(ProgramKind kind) {
    info_.name = "bare";
    info_.kind = kind;
  }
  const EndpointInfo& info() const override { return info_; }
  Result<std::shared_ptr<Stream>> generate(const Request&) override { return Error{ErrorCode::kUnimplemented, ""}; }
  Result<EmbedReply> embed(std::span<const EmbedInput>, const std::atomic<bool>*) override { return Error{ErrorCode::kUnimplemented, ""}; }
  Result<std::vector<uint32_t>> tokenize(std::string_view, const TokenizeOptions&) const override { return std::vector<uint32_t>{}; }
  Result<std::string> detokenize(std::span<const uint32_t>, const DetokenizeOptions&) const override { return std::string(); }
  Result<void> check_health() override { return {}; }
  EndpointStats stats() const override { return {}; }
  void close() override {}

 private:
  EndpointInfo info_;
};

TEST(Endpoint, WhatAModelCanNotDoIsRefusedByItsName) {
  Bare decoder(ProgramKind::kDecoder), encoder(ProgramKind::kEncoder);
  const Message message{.role = "user", .content = "hi", .tool_calls = {}, .tool_call_id = "", .name = ""};
  EXPECT_EQ(decoder.apply_template({&message, 1}, {}).error().code, ErrorCode::kFailedPrecondition);
  EXPECT_THAT(decoder.tokenize_chat({&message, 1}, {}).error().message, HasSubstr("'bare' has none"));
  EXPECT_EQ(decoder.token_pieces({}).error().code, ErrorCode::kUnimplemented);
  EXPECT_THAT(decoder.rerank({.query = "q", .documents = {"d"}}).error().message, HasSubstr("'bare', which generates text"));
  const Error embeds = encoder.rerank({.query = "q", .documents = {"d"}}).error();
  EXPECT_EQ(embeds.code, ErrorCode::kUnimplemented);
  EXPECT_THAT(embeds.message, HasSubstr("\"method\": \"embeddings\""));
  EXPECT_EQ(decoder.switch_target("a@cpu:0").error().code, ErrorCode::kUnimplemented);
  EXPECT_EQ(decoder.memory_bytes(), decoder.info().memory_bytes);
}

}  // namespace
}  // namespace accelerate
