#include <future>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/engine/fake_encoder.h"
#include "tests/engine/fixture_model.h"

namespace accelerate {
namespace {

using ::testing::HasSubstr;

class EncoderEndpointTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto program = std::make_unique<FakeEncoder>();
    program_ = program.get();
    model_ = fixture_model("bert_hf");
    auto endpoint = make_endpoint({.model = model_, .program = std::move(program), .name = "bert", .path = "/x", .target = "test@cpu:0",
                                   .started = std::chrono::steady_clock::now()});
    ASSERT_TRUE(endpoint) << to_string(endpoint.error());
    endpoint_ = *endpoint;
  }
  std::shared_ptr<Model> model_;
  std::shared_ptr<Endpoint> endpoint_;
  FakeEncoder* program_ = nullptr;
};

TEST_F(EncoderEndpointTest, OneVectorAnInputInOrderFromTextAndTokens) {
  const auto tokens = endpoint_->tokenize("a b", {.add_special = true});
  ASSERT_TRUE(tokens) << to_string(tokens.error());
  const EmbedInput inputs[] = {std::string("a b"), *tokens, std::string("c")};
  const auto reply = endpoint_->embed(inputs);
  ASSERT_TRUE(reply) << to_string(reply.error());
  ASSERT_EQ(reply->vectors.size(), 3u);
  EXPECT_EQ(reply->vectors[0], reply->vectors[1]) << "text is tokenized with its special tokens";
  EXPECT_NE(reply->vectors[0], reply->vectors[2]);
  EXPECT_EQ(reply->vectors[0], FakeEncoder::vector_of(*tokens));
  EXPECT_EQ(reply->prompt_tokens, 2 * tokens->size() + endpoint_->tokenize("c", {.add_special = true})->size());
  EXPECT_EQ(reply->served_by, "test@cpu:0");
  EXPECT_EQ(endpoint_->stats().requests, 1u);
  EXPECT_EQ(endpoint_->stats().prompt_tokens, reply->prompt_tokens);
}

TEST_F(EncoderEndpointTest, InfoIsTheEncoders) {
  EXPECT_EQ(endpoint_->info().kind, ProgramKind::kEncoder);
  EXPECT_EQ(endpoint_->info().embedding_width, FakeEncoder::kWidth);
  EXPECT_EQ(endpoint_->info().context, FakeEncoder::kTokensMax);
  EXPECT_FALSE(endpoint_->info().chat);
}

TEST_F(EncoderEndpointTest, BadInputsNameTheirIndexAndNothingRuns) {
  std::string long_text;
  for (int i = 0; i < 10'000; ++i) long_text += "word ";
  const std::pair<EmbedInput, ErrorCode> cases[] = {
      {long_text, ErrorCode::kOutOfRange},
      {std::vector<uint32_t>(FakeEncoder::kTokensMax + 1, 5), ErrorCode::kOutOfRange},
      {std::vector<uint32_t>{}, ErrorCode::kInvalidArgument},
      {std::vector<uint32_t>{1, 100'000}, ErrorCode::kInvalidArgument},
      {std::string("\xff"), ErrorCode::kInvalidArgument},
  };
  for (const auto& [bad, code] : cases) {
    const EmbedInput inputs[] = {std::string("fine"), bad};
    const auto reply = endpoint_->embed(inputs);
    ASSERT_FALSE(reply);
    EXPECT_EQ(reply.error().code, code) << reply.error().message;
    EXPECT_THAT(reply.error().message, HasSubstr("input 1"));
  }
  EXPECT_EQ(program_->calls, 0);
  EXPECT_EQ(endpoint_->stats().failed, std::size(cases));
}

TEST_F(EncoderEndpointTest, NothingInNothingOut) {
  const auto reply = endpoint_->embed({});
  ASSERT_TRUE(reply);
  EXPECT_TRUE(reply->vectors.empty());
}

TEST_F(EncoderEndpointTest, GeneratesNoText) {
  const auto stream = endpoint_->generate({.text = "x"});
  ASSERT_FALSE(stream);
  EXPECT_EQ(stream.error().code, ErrorCode::kUnimplemented);
}

TEST_F(EncoderEndpointTest, AStopCancels) {
  const std::atomic<bool> stop{true};
  const EmbedInput input = std::string("x");
  const auto reply = endpoint_->embed({&input, 1}, &stop);
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, ErrorCode::kCancelled);
  EXPECT_EQ(endpoint_->stats().cancelled, 1u);
}

TEST_F(EncoderEndpointTest, TheProgramRunsOneCallAtATime) {
  std::vector<std::future<bool>> calls;
  for (int i = 0; i < 8; ++i) {
    calls.push_back(std::async(std::launch::async, [&] {
      const EmbedInput input = std::string("a b c");
      for (int j = 0; j < 20; ++j) {
        if (!endpoint_->embed({&input, 1})) return false;
      }
      return true;
    }));
  }
  for (auto& call : calls) EXPECT_TRUE(call.get());
  EXPECT_EQ(program_->overlaps, 0);
  EXPECT_EQ(program_->calls, 160);
}

TEST_F(EncoderEndpointTest, HealthRunsItAndIsNoRequest) {
  EXPECT_TRUE(endpoint_->check_health());
  EXPECT_EQ(program_->calls, 1);
  EXPECT_EQ(endpoint_->stats().requests, 0u);
  program_->error = Error{ErrorCode::kInternal, "[test] gone"};
  EXPECT_EQ(endpoint_->check_health().error().code, ErrorCode::kInternal);
}

TEST_F(EncoderEndpointTest, ClosedMeansUnavailable) {
  endpoint_->close();
  endpoint_->close();
  const EmbedInput input = std::string("x");
  const auto reply = endpoint_->embed({&input, 1});
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, ErrorCode::kUnavailable);
}

}  // namespace
}  // namespace accelerate
