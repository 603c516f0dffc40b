#include "accelerate/serve/parse_text.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace accelerate {
namespace {

template <class T>
std::string problem(Parsed<T> parsed) {
  return parsed.ok() ? "accepted" : parsed.error().param + " " + parsed.error().code;
}

TEST(ParseTokenize, TheNameOfTheTextBringsItsServersDefaults) {
  auto llama = parse_tokenize(R"({"model":"m","content":"hi"})");
  ASSERT_TRUE(llama.ok()) << llama.error().message;
  EXPECT_EQ(llama->model, "m");
  EXPECT_EQ(llama->text, "hi");
  EXPECT_FALSE(llama->options.add_special);
  EXPECT_TRUE(llama->options.parse_special);
  EXPECT_FALSE(llama->with_pieces || llama->return_token_strs);
  for (const char* name : {"prompt", "text"}) {
    auto vllm = parse_tokenize(fmt::format(R"({{"{}":"hi"}})", name));
    ASSERT_TRUE(vllm.ok()) << vllm.error().message;
    EXPECT_EQ(vllm->text, "hi");
    EXPECT_TRUE(vllm->options.add_special) << name;
    EXPECT_TRUE(vllm->model.empty());
  }
}

TEST(ParseTokenize, OptionsOfBoth) {
  auto all = parse_tokenize(R"({"content":"","add_special":true,"parse_special":false,"with_pieces":true,"return_token_strs":true})");
  ASSERT_TRUE(all.ok()) << all.error().message;
  EXPECT_TRUE(all->options.add_special && all->with_pieces && all->return_token_strs);
  EXPECT_FALSE(all->options.parse_special);
  EXPECT_FALSE(parse_tokenize(R"({"prompt":"a","add_special_tokens":false})")->options.add_special);
  EXPECT_EQ(problem(parse_tokenize(R"({"prompt":"a","add_special_tokens":false,"add_special":true})")), "add_special invalid_value");
}

TEST(ParseTokenize, Messages) {
  auto chat = parse_tokenize(R"({"messages":[{"role":"user","content":"hi"}],"add_generation_prompt":false})");
  ASSERT_TRUE(chat.ok()) << chat.error().message;
  EXPECT_FALSE(chat->text.has_value());
  ASSERT_EQ(chat->messages.size(), 1u);
  EXPECT_FALSE(chat->chat.add_generation_prompt);
  EXPECT_EQ(problem(parse_tokenize(R"({"messages":[{"role":"user","content":"hi"}],"add_special_tokens":true})")), "add_special invalid_value");
  EXPECT_EQ(problem(parse_tokenize(R"({"messages":[]})")), "messages invalid_value");
  EXPECT_EQ(problem(parse_tokenize(fmt::format(R"({{"messages":[{{"role":"user","content":"{}"}}]}})", std::string(kTokenizeBytesMax + 1, 'a')))),
            "messages invalid_value");
}

constexpr const char* kToolChat = R"({"messages":[{"role":"user","content":"hi"},
  {"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},
  {"role":"tool","tool_call_id":"c","content":"1"}],
  "tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],"tool_choice":"none"})";

TEST(ParseTokenize, ToolsAndCallsAreThoseOfAChat) {
  const auto check = [](const std::vector<Message>& messages, const ToolOptions& tools) {
    ASSERT_EQ(messages.size(), 3u);
    EXPECT_EQ(messages[1].tool_calls.at(0).name, "f");
    EXPECT_EQ(messages[2].tool_call_id, "c");
    ASSERT_EQ(tools.tools.size(), 1u);
    EXPECT_EQ(tools.tools[0].parameters, R"({"type":"object"})");
    EXPECT_EQ(tools.choice, ToolChoice::kNone);
  };
  auto tokens = parse_tokenize(kToolChat);
  ASSERT_TRUE(tokens.ok()) << tokens.error().message;
  check(tokens->messages, tokens->chat.tools);
  auto text = parse_apply_template(kToolChat);
  ASSERT_TRUE(text.ok()) << text.error().message;
  check(text->messages, text->chat.tools);
  const auto tool = [](const std::string& name, const std::string& description) {
    return fmt::format(R"({{"messages":[{{"role":"user","content":"hi"}}],"tools":[{{"type":"function","function":{{"name":"{}","description":"{}"}}}}]}})", name,
                       description);
  };
  EXPECT_EQ(problem(parse_tokenize(tool("f", "d"))), "accepted");
  EXPECT_EQ(problem(parse_tokenize(tool("two words", "d"))), "tools[0].function.name invalid_value");
  EXPECT_EQ(problem(parse_apply_template(tool("two words", "d"))), "tools[0].function.name invalid_value");
  EXPECT_EQ(problem(parse_tokenize(tool("f", std::string(kTokenizeBytesMax, 'a')))), "messages invalid_value") << "tools count as well";
}

TEST(ParseTokenize, Refusals) {
  EXPECT_EQ(problem(parse_tokenize("{}")), "content missing_required_parameter");
  EXPECT_EQ(problem(parse_tokenize(R"({"content":"a","prompt":"a"})")), "content invalid_value");
  EXPECT_EQ(problem(parse_tokenize(R"({"content":"a","messages":[{"role":"user","content":"hi"}]})")), "content invalid_value");
  EXPECT_EQ(problem(parse_tokenize(R"({"content":[1]})")), "content invalid_type");
  EXPECT_EQ(problem(parse_tokenize(R"({"content":"a","with_pieces":1})")), "with_pieces invalid_type");
  EXPECT_EQ(problem(parse_tokenize(R"({"content":"a","tools":[{"type":"function","function":{"name":"f"}}]})")), "tools invalid_value");
  EXPECT_EQ(problem(parse_tokenize(R"({"content":"a","tools":[],"chat_template_kwargs":{},"continue_final_message":false})")), "accepted");
  EXPECT_EQ(problem(parse_tokenize(R"({"content":"a","chat_template":"x"})")), "chat_template unsupported_parameter");
  EXPECT_EQ(problem(parse_tokenize(fmt::format(R"({{"content":"{}"}})", std::string(kTokenizeBytesMax + 1, 'a')))), "content invalid_value");
}

TEST(ParseDetokenize, TakesIds) {
  auto some = parse_detokenize(R"({"model":"m","tokens":[1,4294967295]})");
  ASSERT_TRUE(some.ok()) << some.error().message;
  EXPECT_EQ(some->tokens, (std::vector<uint32_t>{1, 4294967295u}));
  EXPECT_TRUE(parse_detokenize(R"({"tokens":[]})")->tokens.empty());
  EXPECT_EQ(problem(parse_detokenize("{}")), "tokens missing_required_parameter");
  EXPECT_EQ(problem(parse_detokenize(R"({"tokens":"1"})")), "tokens invalid_type");
  EXPECT_EQ(problem(parse_detokenize(R"({"tokens":[1.5]})")), "tokens invalid_type");
  EXPECT_EQ(problem(parse_detokenize(R"({"tokens":[-1]})")), "tokens invalid_value");
  EXPECT_EQ(problem(parse_detokenize(R"({"tokens":[4294967296]})")), "tokens invalid_value");
}

TEST(ParseApplyTemplate, TakesMessages) {
  auto chat = parse_apply_template(R"({"model":"m","messages":[{"role":"system","content":"s"},{"role":"user","content":"hi"}]})");
  ASSERT_TRUE(chat.ok()) << chat.error().message;
  EXPECT_EQ(chat->messages.size(), 2u);
  EXPECT_TRUE(chat->chat.add_generation_prompt);
  EXPECT_EQ(problem(parse_apply_template(R"({"model":"m"})")), "messages missing_required_parameter");
  EXPECT_EQ(problem(parse_apply_template(R"({"messages":[{"role":"user","content":"hi"}],"continue_final_message":true})")),
            "continue_final_message unsupported_parameter");
}

}  // namespace
}  // namespace accelerate
