#include "accelerate/serve/openai_parse.h"

#include <limits>
#include <string>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "accelerate/base/limits.h"

namespace accelerate {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string chat_body(std::string_view more, std::string_view messages = R"([{"role":"user","content":"Hi"}])") {
  return fmt::format(R"({{"model":"m","messages":{}{}{}}})", messages, more.empty() ? "" : ",", more);
}
std::string completion_body(std::string_view prompt, std::string_view more = "") {
  return fmt::format(R"({{"model":"m","prompt":{}{}{}}})", prompt, more.empty() ? "" : ",", more);
}
std::string embeddings_body(std::string_view input, std::string_view more = "") {
  return fmt::format(R"({{"model":"m","input":{}{}{}}})", input, more.empty() ? "" : ",", more);
}

template <class T>
ApiError refusal(Parsed<T> parsed) {
  EXPECT_FALSE(parsed.ok());
  return parsed.ok() ? ApiError{.status = 0, .param = "accepted", .code = ""} : parsed.error();
}
ApiError chat_refusal(std::string_view more) { return refusal(parse_chat(chat_body(more))); }
ApiError message_refusal(std::string_view messages) { return refusal(parse_chat(chat_body("", messages))); }

TEST(ParseChat, Defaults) {
  auto chat = parse_chat(chat_body(""));
  ASSERT_TRUE(chat.ok()) << chat.error().message;
  EXPECT_EQ(chat->model, "m");
  ASSERT_EQ(chat->request.messages.size(), 1u);
  EXPECT_EQ(chat->request.messages[0].role, "user");
  EXPECT_EQ(chat->request.messages[0].content, "Hi");
  EXPECT_FALSE(chat->request.text || chat->request.tokens || chat->request.max_tokens || chat->request.sampling.seed);
  EXPECT_EQ(chat->request.sampling.temperature, 1.0f);
  EXPECT_EQ(chat->request.sampling.top_p, 1.0f);
  EXPECT_FALSE(chat->stream);
  EXPECT_FALSE(chat->include_usage);
}

TEST(ParseChat, EverythingAtOnce) {
  auto chat = parse_chat(chat_body(
      R"("temperature":0.5,"top_p":0.9,"min_p":0.1,"top_k":40,"seed":-2,"max_completion_tokens":7,"stop":["a","b"],
         "stream":true,"stream_options":{"include_usage":true,"include_obfuscation":false},"user":"u","metadata":{"a":"b"},"unheard_of":[1])"));
  ASSERT_TRUE(chat.ok()) << chat.error().message;
  const SamplingOptions& sampling = chat->request.sampling;
  EXPECT_EQ(sampling.temperature, 0.5f);
  EXPECT_EQ(sampling.top_p, 0.9f);
  EXPECT_EQ(sampling.min_p, 0.1f);
  EXPECT_EQ(sampling.top_k, 40u);
  EXPECT_EQ(sampling.seed, static_cast<uint64_t>(-2));
  EXPECT_EQ(chat->request.max_tokens, 7u);
  EXPECT_THAT(chat->request.stop, ElementsAre("a", "b"));
  EXPECT_TRUE(chat->stream);
  EXPECT_TRUE(chat->include_usage);
}

TEST(ParseChat, NullsAndNeutralValuesAreAsAbsent) {
  auto chat = parse_chat(chat_body(
      R"("temperature":null,"max_tokens":null,"stop":null,"seed":null,"stream":null,"stream_options":null,"n":1,"tools":[],"tool_choice":"auto",
         "logit_bias":{},"frequency_penalty":0,"presence_penalty":0.0,"logprobs":false,"top_logprobs":0,"response_format":{"type":"text"},
         "modalities":["text"],"functions":null)"));
  ASSERT_TRUE(chat.ok()) << chat.error().message;
  EXPECT_EQ(chat->request.sampling.temperature, 1.0f);
  EXPECT_THAT(chat->request.stop, IsEmpty());
}

TEST(ParseChat, WhatShapesLogitsAndWhatIsToldOfThem) {
  auto chat = parse_chat(chat_body(R"("n":3,"frequency_penalty":0.5,"presence_penalty":-1,"repetition_penalty":1.25,
                                      "logit_bias":{"17":-100,"3":2.5},"logprobs":true,"top_logprobs":4)"));
  ASSERT_TRUE(chat.ok()) << chat.error().message;
  EXPECT_EQ(chat->n, 3u);
  const SamplingOptions& sampling = chat->request.sampling;
  EXPECT_EQ(sampling.frequency_penalty, 0.5f);
  EXPECT_EQ(sampling.presence_penalty, -1.0f);
  EXPECT_EQ(sampling.repetition_penalty, 1.25f);
  EXPECT_THAT(sampling.logit_bias, ::testing::UnorderedElementsAre(std::pair{17u, -100.0f}, std::pair{3u, 2.5f}));
  EXPECT_EQ(chat->request.top_logprobs, 4u);
  EXPECT_EQ(parse_chat(chat_body(R"("logprobs":true)"))->request.top_logprobs, 0u) << "of the tokens themselves";
  EXPECT_FALSE(parse_chat(chat_body(""))->request.top_logprobs);
  std::string many = "\"logit_bias\":{\"0\":1";
  for (size_t i = 1; i <= kLogitBiasMax; ++i) many += fmt::format(",\"{}\":1", i);
  EXPECT_EQ(chat_refusal(many + "}").param, "logit_bias");
}

TEST(ParseChat, TopPZeroKeepsTheLikeliestToken) {
  auto chat = parse_chat(chat_body(R"("top_p":0)"));
  ASSERT_TRUE(chat.ok());
  EXPECT_GT(chat->request.sampling.top_p, 0.0f);
  EXPECT_LT(chat->request.sampling.top_p, 1e-30f);
}

TEST(ParseChat, RolesAndContentParts) {
  auto chat = parse_chat(chat_body("", R"([{"role":"developer","content":"d"},{"role":"system","content":"s"},
    {"role":"user","content":[{"type":"text","text":"one "},{"type":"text","text":"two"}],"name":"n"},
    {"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},
    {"role":"tool","content":"t","tool_call_id":"1"},{"role":"user","content":""}])"));
  ASSERT_TRUE(chat.ok()) << chat.error().message;
  const auto& messages = chat->request.messages;
  ASSERT_EQ(messages.size(), 6u);
  EXPECT_EQ(messages[0].role, "system") << "developer is OpenAI's newer word for it";
  EXPECT_EQ(messages[2].content, "one two");
  EXPECT_EQ(messages[4].role, "tool");
  EXPECT_EQ(messages[5].content, "");
}

TEST(ParseChat, BadMessagesAreNamed) {
  EXPECT_EQ(refusal(parse_chat(R"({"model":"m"})")).param, "messages");
  EXPECT_EQ(message_refusal("[]").param, "messages");
  EXPECT_EQ(message_refusal(R"("hello")").code, "invalid_type");
  EXPECT_EQ(message_refusal("[1]").param, "messages[0]");
  EXPECT_EQ(message_refusal(R"([{"content":"x"}])").param, "messages[0].role");
  EXPECT_EQ(message_refusal(R"([{"role":"user","content":"a"},{"role":"robot","content":"x"}])").param, "messages[1].role");
  EXPECT_EQ(message_refusal(R"([{"role":"user"}])").param, "messages[0].content");
  EXPECT_EQ(message_refusal(R"([{"role":"user","content":5}])").param, "messages[0].content");
  EXPECT_EQ(message_refusal(R"([{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}])").param, "messages[0].content[0].type");
  EXPECT_EQ(message_refusal(R"([{"role":"user","content":[{"type":"text"}]}])").param, "messages[0].content[0].text");
  EXPECT_EQ(message_refusal(R"([{"role":"user","content":["x"]}])").param, "messages[0].content[0]");
  EXPECT_EQ(message_refusal(R"([{"role":"assistant","content":"","tool_calls":[{"id":"1"}]}])").param, "messages[0].tool_calls[0].function");
}

TEST(ParseChat, WrongTypesAndRangesAreNamed) {
  const std::pair<const char*, const char*> cases[] = {
      {R"("temperature":"hot")", "temperature"}, {R"("temperature":2.01)", "temperature"}, {R"("temperature":-0.1)", "temperature"},
      {R"("top_p":1.5)", "top_p"},               {R"("min_p":-1)", "min_p"},               {R"("top_k":-1)", "top_k"},
      {R"("top_k":1.5)", "top_k"},               {R"("seed":1.5)", "seed"},                {R"("seed":"1")", "seed"},
      {R"("max_tokens":0)", "max_tokens"},       {R"("max_tokens":-5)", "max_tokens"},     {R"("max_tokens":99999999999)", "max_tokens"},
      {R"("max_tokens":1e30)", "max_tokens"},    {R"("max_tokens":true)", "max_tokens"},   {R"("max_completion_tokens":0)", "max_completion_tokens"},
      {R"("stream":"yes")", "stream"},           {R"("stop":5)", "stop"},                  {R"("stop":["a",1])", "stop"},
      {R"("stop":["a","b","c","d","e"])", "stop"}, {R"("stop":"")", "stop"},               {R"("stop":["a",""])", "stop"},
      {R"("stream_options":{"include_usage":true})", "stream_options"},
      {R"("stream":true,"stream_options":[])", "stream_options"},
      {R"("stream":true,"stream_options":{"include_usage":1})", "stream_options.include_usage"},
      {R"("max_tokens":5,"max_completion_tokens":5)", "max_tokens"},
      {R"("n":0)", "n"},                         {R"("n":129)", "n"},                      {R"("n":"two")", "n"},
      {R"("frequency_penalty":2.5)", "frequency_penalty"}, {R"("presence_penalty":"x")", "presence_penalty"},
      {R"("repetition_penalty":0)", "repetition_penalty"}, {R"("logprobs":3)", "logprobs"},
      {R"("top_logprobs":3)", "top_logprobs"},   {R"("logprobs":true,"top_logprobs":21)", "top_logprobs"},
      {R"("logit_bias":[1])", "logit_bias"},     {R"("logit_bias":{"a":1})", "logit_bias"}, {R"("logit_bias":{"-1":1})", "logit_bias"},
      {R"("logit_bias":{"4294967296":1})", "logit_bias"}, {R"("logit_bias":{"1":101})", "logit_bias.1"}, {R"("logit_bias":{"1":"x"})", "logit_bias.1"},
  };
  for (const auto& [more, param] : cases) {
    const ApiError error = chat_refusal(more);
    EXPECT_EQ(error.status, 400) << more;
    EXPECT_EQ(error.param, param) << more << ": " << error.message;
    EXPECT_EQ(error.type, "invalid_request_error") << more;
  }
}

TEST(ParseChat, WhatIsNotDoneIsRefusedByName) {
  const std::pair<const char*, const char*> cases[] = {
      {R"("functions":[{}])", "functions"},
      {R"("modalities":["text","audio"])", "modalities"},
      {R"("audio":{"voice":"x"})", "audio"},
      {R"("reasoning_effort":"high")", "reasoning_effort"},
  };
  for (const auto& [more, param] : cases) {
    const ApiError error = chat_refusal(more);
    EXPECT_EQ(error.status, 400) << more;
    EXPECT_EQ(error.param, param) << more;
    EXPECT_EQ(error.code, "unsupported_parameter") << more;
  }
}

TEST(ParseAny, ModelIsRequired) {
  EXPECT_EQ(refusal(parse_chat(R"({"messages":[{"role":"user","content":"x"}]})")).param, "model");
  EXPECT_EQ(refusal(parse_completion(R"({"prompt":"x"})")).param, "model");
  EXPECT_EQ(refusal(parse_embeddings(R"({"input":"x","model":""})")).param, "model");
  EXPECT_EQ(refusal(parse_embeddings(R"({"input":"x","model":3})")).code, "invalid_type");
}

TEST(ParseAny, HostileBytes) {
  for (const std::string& body : {std::string(), std::string("nonsense"), std::string("[]"), std::string("\"x\""), std::string("null"),
                                  std::string("{"), std::string(R"({"model":"m",})"), std::string("{\"model\":\"\xff\xfe\"}"),
                                  std::string(R"({"model":"\ud800"})"), std::string("{\"model\":1e999}"), std::string(1, '\0'),
                                  std::string(100000, '['), R"({"model":)" + std::string(100000, '[') + std::string(100000, ']') + "}"}) {
    EXPECT_EQ(refusal(parse_chat(body)).status, 400) << body.substr(0, 40);
    EXPECT_EQ(refusal(parse_completion(body)).status, 400) << body.substr(0, 40);
    EXPECT_EQ(refusal(parse_embeddings(body)).status, 400) << body.substr(0, 40);
  }
}

TEST(ParseAny, DepthAndCountOfValuesAreLimited) {
  EXPECT_THAT(refusal(parse_chat(chat_body("\"x\":" + std::string(100, '[') + std::string(100, ']')))).message, HasSubstr("levels"));
  std::string wide = "[";
  for (size_t i = 0; i < kJsonValuesMax; ++i) wide += "0,";
  wide += "0]";
  EXPECT_THAT(refusal(parse_embeddings(embeddings_body(wide))).message, HasSubstr("values"));
  EXPECT_TRUE(parse_chat(chat_body("", fmt::format(R"([{{"role":"user","content":"{}"}}])", std::string(3 << 20, ',')))).ok())
      << "commas inside a string are no values";
}

TEST(ParseCompletion, FourFormsOfAPrompt) {
  auto text = parse_completion(completion_body(R"("hello")"));
  ASSERT_TRUE(text.ok());
  ASSERT_EQ(text->prompts.size(), 1u);
  EXPECT_EQ(text->prompts[0].text, "hello");
  EXPECT_EQ(text->prompts[0].max_tokens, 16u) << "OpenAI's default for this route";
  auto texts = parse_completion(completion_body(R"(["a","b",""])", R"("max_tokens":3,"temperature":0)"));
  ASSERT_TRUE(texts.ok());
  ASSERT_EQ(texts->prompts.size(), 3u);
  EXPECT_EQ(texts->prompts[1].text, "b");
  EXPECT_EQ(texts->prompts[1].max_tokens, 3u);
  EXPECT_EQ(texts->prompts[2].sampling.temperature, 0.0f);
  auto tokens = parse_completion(completion_body("[1,2,4294967295]"));
  ASSERT_TRUE(tokens.ok());
  ASSERT_EQ(tokens->prompts.size(), 1u);
  EXPECT_FALSE(tokens->prompts[0].text);
  EXPECT_THAT(*tokens->prompts[0].tokens, ElementsAre(1u, 2u, 4294967295u));
  auto lists = parse_completion(completion_body("[[1],[2,3]]"));
  ASSERT_TRUE(lists.ok());
  ASSERT_EQ(lists->prompts.size(), 2u);
  EXPECT_THAT(*lists->prompts[1].tokens, ElementsAre(2u, 3u));
}

TEST(ParseCompletion, BadPromptsAreNamed) {
  EXPECT_EQ(refusal(parse_completion(R"({"model":"m"})")).param, "prompt");
  const std::pair<const char*, const char*> cases[] = {
      {"5", "prompt"},      {"[]", "prompt"},       {"{}", "prompt"},         {R"(["a",1])", "prompt[1]"}, {"[1,\"a\"]", "prompt"},
      {"[[]]", "prompt[0]"}, {"[[1],2]", "prompt[1]"}, {"[[1],\"a\"]", "prompt[1]"}, {"[-1]", "prompt"},   {"[4294967296]", "prompt"},
      {"[1.5]", "prompt"},  {"[[1],[\"a\"]]", "prompt[1]"}, {"[null]", "prompt[0]"}, {"true", "prompt"},   {"[[1],[2,1.5]]", "prompt[1]"},
  };
  for (const auto& [prompt, param] : cases) {
    const ApiError error = refusal(parse_completion(completion_body(prompt)));
    EXPECT_EQ(error.status, 400) << prompt;
    EXPECT_EQ(error.param, param) << prompt << ": " << error.message;
  }
  std::string many = "[\"a\"";
  for (size_t i = 0; i < kChoicesMax; ++i) many += ",\"a\"";
  EXPECT_EQ(refusal(parse_completion(completion_body(many + "]"))).code, "invalid_value");
}

TEST(ParseCompletion, WhatIsNotDoneIsRefusedByName) {
  for (const char* more : {"\"suffix\":\"x\"", "\"best_of\":2"}) {
    const ApiError error = refusal(parse_completion(completion_body("\"x\"", more)));
    EXPECT_EQ(error.code, "unsupported_parameter") << more;
    EXPECT_THAT(more, HasSubstr("\"" + error.param + "\""));
  }
  EXPECT_TRUE(parse_completion(completion_body("\"x\"", R"("echo":false,"best_of":1,"logprobs":null,"suffix":null)")).ok());
  EXPECT_TRUE(parse_completion(completion_body("\"x\"", R"("n":2,"best_of":2)")).ok()) << "as many as are given";
}

TEST(ParseCompletion, AnswersAndLogprobsHaveLimits) {
  auto some = parse_completion(completion_body(R"(["a","b"])", R"("n":64,"logprobs":5)"));
  ASSERT_TRUE(some.ok()) << some.error().message;
  EXPECT_EQ(some->n, 64u);
  EXPECT_EQ(some->prompts[1].top_logprobs, 5u);
  EXPECT_EQ(refusal(parse_completion(completion_body(R"(["a","b"])", "\"n\":65"))).param, "n") << "130 sequences";
  EXPECT_EQ(refusal(parse_completion(completion_body("\"a\"", "\"logprobs\":6"))).param, "logprobs");
  EXPECT_EQ(refusal(parse_completion(completion_body("\"a\"", "\"logprobs\":true"))).param, "logprobs");
}

TEST(ParseEmbeddings, FormsAndFormats) {
  auto one = parse_embeddings(embeddings_body("\"a\""));
  ASSERT_TRUE(one.ok());
  EXPECT_EQ(one->inputs.size(), 1u);
  EXPECT_FALSE(one->base64);
  auto batch = parse_embeddings(embeddings_body(R"(["a","b"])", R"("encoding_format":"base64")"));
  ASSERT_TRUE(batch.ok());
  EXPECT_EQ(batch->inputs.size(), 2u);
  EXPECT_TRUE(batch->base64);
  auto tokens = parse_embeddings(embeddings_body("[[1,2],[3]]"));
  ASSERT_TRUE(tokens.ok());
  EXPECT_THAT(std::get<1>(tokens->inputs[0]), ElementsAre(1u, 2u));
}

TEST(ParseEmbeddings, Refusals) {
  for (const char* bad : {"0", "-1", "1.5", "\"8\"", "1e999"}) {
    EXPECT_FALSE(parse_embeddings(embeddings_body("\"a\"", fmt::format("\"dimensions\":{}", bad))).ok()) << bad;
  }
  EXPECT_EQ(parse_embeddings(embeddings_body("\"a\"", "\"dimensions\":128"))->dimensions, 128u);
  EXPECT_EQ(refusal(parse_embeddings(embeddings_body("\"a\"", "\"encoding_format\":\"int8\""))).param, "encoding_format");
  EXPECT_EQ(refusal(parse_embeddings(embeddings_body("\"\""))).param, "input");
  EXPECT_EQ(refusal(parse_embeddings(embeddings_body("[\"a\",\"\"]"))).param, "input");
  EXPECT_EQ(refusal(parse_embeddings(R"({"model":"m"})")).param, "input");
  std::string many = "[\"a\"";
  for (uint32_t i = 0; i < limits::kEmbeddingInputsMax; ++i) many += ",\"a\"";
  EXPECT_EQ(refusal(parse_embeddings(embeddings_body(many + "]"))).param, "input");
}

}  // namespace
}  // namespace accelerate
