#include "accelerate/engine/tool_answer.h"

#include <gtest/gtest.h>

#include "tests/engine/fixture_model.h"

namespace accelerate {
namespace {

class ToolAnswerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    model_ = fixture_model("llama_f32.gguf");
    tokenizer_ = *Tokenizer::create(*model_->tokenizer);
    request_.messages = {{"user", "x"}};
    request_.tools.tools = {{.name = "f", .description = "", .parameters = R"({"type":"object","properties":{"x":{"type":"integer"}}})", .strict = false}};
  }
  Result<std::optional<ToolAnswer>> plan(const std::string& source = "") {
    const std::string own = source.empty() ? "{% for m in messages %}{{ m.role + m.content }}{% endfor %}" : source;
    return plan_tool_answer(request_, ToolTemplate(*ChatTemplate::create(own, *tokenizer_)), *tokenizer_);
  }
  std::shared_ptr<Model> model_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  Request request_;
};

TEST_F(ToolAnswerTest, NothingWithoutTools) {
  request_.tools.choice = ToolChoice::kNone;
  EXPECT_FALSE(plan()->has_value());
  request_.tools = {};
  EXPECT_FALSE(plan()->has_value());
}

TEST_F(ToolAnswerTest, ParametersThatAreNoSchemaAreRefused) {
  for (const char* parameters : {"[1]", "{\"type\":", "x"}) {
    request_.tools.tools[0].parameters = parameters;
    const auto refused = plan();
    ASSERT_FALSE(refused) << parameters;
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
  }
  request_.tools.tools[0].parameters = "";  // any object
  EXPECT_TRUE(plan());
}

TEST_F(ToolAnswerTest, AGrammarWhereOneIsNeeded) {
  EXPECT_FALSE((*plan())->grammar) << "auto, not strict: nothing is enforced";
  request_.tools.tools[0].strict = true;
  EXPECT_TRUE((*plan())->grammar);
  EXPECT_FALSE((*plan())->loose_grammar) << "strict has no way out";
  request_.tools.tools[0].strict = false;
  request_.tools.choice = ToolChoice::kRequired;
  EXPECT_EQ((*plan())->grammar->kind, Grammar::Kind::kLark);
  EXPECT_NE((*plan())->grammar->text.find("integer"), std::string::npos);
  EXPECT_EQ((*plan())->loose_grammar->text.find("integer"), std::string::npos);
  request_.tools.choice = ToolChoice::kAuto;
  request_.grammar = Grammar{Grammar::Kind::kJsonSchema, R"({"const": 7})"};
  EXPECT_NE((*plan())->grammar->text.find("{\"const\": 7}"), std::string::npos) << "text is of its schema, beside calls";
}

TEST_F(ToolAnswerTest, ParallelAndTemplatesOfOneCall) {
  EXPECT_FALSE((*plan())->single_call);
  request_.tools.parallel = false;
  EXPECT_TRUE((*plan())->single_call);
  EXPECT_TRUE((*plan())->notes.empty());
  request_.tools.parallel = true;
  const std::string one = "<|python_tag|>{% if tools %}{{ tools|tojson }}{% endif %}{% for m in messages %}{{ m.role + m.content }}{% if m.tool_calls %}"
                          "{% if m.tool_calls|length > 1 %}{{ raise_exception('one') }}{% endif %}{{ m.tool_calls|tojson }}{% endif %}{% endfor %}";
  const auto planned = plan(one);
  EXPECT_TRUE((*planned)->single_call);
  EXPECT_EQ((*planned)->notes.size(), 1u);
}

TEST_F(ToolAnswerTest, WhatCanNotBeIsRefused) {
  const auto code = [&] { return plan().error().code; };
  request_.tools.choice = ToolChoice::kNamed;
  request_.tools.name = "g";
  EXPECT_EQ(code(), ErrorCode::kInvalidArgument);
  request_.tools.choice = ToolChoice::kAuto;
  request_.grammar = Grammar{Grammar::Kind::kRegex, "x"};
  EXPECT_EQ(code(), ErrorCode::kUnimplemented);
  request_.grammar.reset();
  request_.tools.tools.resize(kToolsMax + 1, request_.tools.tools[0]);
  EXPECT_EQ(code(), ErrorCode::kInvalidArgument);
  request_.tools.tools.resize(1);
  request_.messages.clear();
  request_.text = "x";
  EXPECT_EQ(code(), ErrorCode::kInvalidArgument);
}

}  // namespace
}  // namespace accelerate
