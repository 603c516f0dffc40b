#include "accelerate/serve/openai_write.h"

#include <cmath>
#include <cstring>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/serve/read_json.h"

namespace accelerate {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::StartsWith;

const ReplyHead kHead = {.id = "chatcmpl-x", .model = "m", .fingerprint = "fp_1", .created_unix_s = 1700000000};

Reply reply_of(FinishReason reason, uint32_t completion_tokens) {
  Reply reply;
  reply.finish_reason = reason;
  reply.usage = {.prompt_tokens = 10, .completion_tokens = completion_tokens, .cached_tokens = 4};
  reply.served_by = "cpu@cpu:0";
  reply.seed = 18446744073709551615u;
  reply.notes = {"weights cast to bf16"};
  return reply;
}

TEST(OpenAiWrite, FingerprintFollowsTheSetup) {
  EndpointInfo info;
  info.path = "/a";
  const std::string first = system_fingerprint(info);
  EXPECT_EQ(first, system_fingerprint(info));
  EXPECT_THAT(first, MatchesRegex("fp_[0-9a-f]+"));
  info.quantization = "int8";
  EXPECT_NE(system_fingerprint(info), first);
}

TEST(OpenAiWrite, ChatCompletion) {
  const FinishedChoice answer[] = {{.text = "Hi \"you\"\n", .reply = reply_of(FinishReason::kStop, 2), .logprobs = {}}};
  const Json out = read(chat_completion_json(kHead, answer));
  EXPECT_EQ(out["id"], "chatcmpl-x");
  EXPECT_EQ(out["object"], "chat.completion");
  EXPECT_EQ(out["created"], 1700000000);
  EXPECT_EQ(out["model"], "m");
  EXPECT_EQ(out["system_fingerprint"], "fp_1");
  ASSERT_EQ(out["choices"].size(), 1u);
  const Json& choice = out["choices"][0];
  EXPECT_EQ(choice["index"], 0);
  EXPECT_EQ(choice["message"]["role"], "assistant");
  EXPECT_EQ(choice["message"]["content"], "Hi \"you\"\n");
  EXPECT_EQ(choice["finish_reason"], "stop");
  EXPECT_EQ(out["usage"]["prompt_tokens"], 10);
  EXPECT_EQ(out["usage"]["completion_tokens"], 2);
  EXPECT_EQ(out["usage"]["total_tokens"], 12);
  EXPECT_EQ(out["usage"]["prompt_tokens_details"]["cached_tokens"], 4);
  EXPECT_EQ(out["ipfs_accelerate"]["seed"], 18446744073709551615u);
  EXPECT_EQ(out["ipfs_accelerate"]["notes"][0], "weights cast to bf16");
}

TEST(OpenAiWrite, TextCompletionOfSeveralPrompts) {
  const FinishedChoice choices[] = {{.text = "a", .reply = reply_of(FinishReason::kStop, 1), .logprobs = {}},
                                    {.text = "b", .reply = reply_of(FinishReason::kLength, 5), .logprobs = {}}};
  const Json out = read(text_completion_json(kHead, choices, 1));
  EXPECT_EQ(out["object"], "text_completion");
  ASSERT_EQ(out["choices"].size(), 2u);
  EXPECT_EQ(out["choices"][1]["index"], 1);
  EXPECT_EQ(out["choices"][1]["text"], "b");
  EXPECT_EQ(out["choices"][1]["finish_reason"], "length");
  EXPECT_EQ(out["usage"]["prompt_tokens"], 20);
  EXPECT_EQ(out["usage"]["completion_tokens"], 6);
  EXPECT_EQ(out["usage"]["prompt_tokens_details"]["cached_tokens"], 8);
  EXPECT_EQ(out["ipfs_accelerate"].size(), 2u);
}

TEST(OpenAiWrite, SeveralAnswersToOnePromptCountItOnce) {
  const FinishedChoice choices[] = {{.text = "a", .reply = reply_of(FinishReason::kStop, 1), .logprobs = {}},
                                    {.text = "b", .reply = reply_of(FinishReason::kLength, 5), .logprobs = {}}};
  for (const Json& out : {read(chat_completion_json(kHead, choices)), read(text_completion_json(kHead, choices, 2))}) {
    ASSERT_EQ(out["choices"].size(), 2u);
    EXPECT_EQ(out["choices"][1]["index"], 1);
    EXPECT_EQ(out["usage"]["prompt_tokens"], 10);
    EXPECT_EQ(out["usage"]["completion_tokens"], 6);
    EXPECT_EQ(out["usage"]["prompt_tokens_details"]["cached_tokens"], 4);
    EXPECT_EQ(out["ipfs_accelerate"].size(), 2u);
  }
}

TEST(OpenAiWrite, LogprobsStandInTheirChoice) {
  const std::vector<TokenLogprob> tokens = {{.token = 1, .logprob = -0.5f, .bytes = "Hi", .top = {}}};
  const FinishedChoice choices[] = {{.text = "Hi", .reply = reply_of(FinishReason::kStop, 1), .logprobs = tokens, .logprobs_wanted = true},
                                    {.text = "", .reply = reply_of(FinishReason::kStop, 1), .logprobs = {}, .logprobs_wanted = true}};
  const Json chat = read(chat_completion_json(kHead, choices));
  EXPECT_EQ(chat["choices"][0]["logprobs"]["content"][0]["token"], "Hi");
  EXPECT_EQ(chat["choices"][1]["logprobs"]["content"], Json::array()) << "an empty answer has an empty list";
  const Json text = read(text_completion_json(kHead, choices, 1));
  EXPECT_EQ(text["choices"][0]["logprobs"]["tokens"], Json({"Hi"}));
  size_t offset = 4;
  const Json chunk = read(text_chunk_json(kHead, {.text = "Hi", .logprobs = tokens, .text_offset = &offset}));
  EXPECT_EQ(chunk["choices"][0]["logprobs"]["text_offset"], Json({4}));
  EXPECT_EQ(offset, 6u);
  EXPECT_EQ(read(chat_chunk_json(kHead, {.text = "Hi", .logprobs = tokens}))["choices"][0]["logprobs"]["content"][0]["bytes"], Json({72, 105}));
}

TEST(OpenAiWrite, ChatChunks) {
  const Json role = read(chat_chunk_json(kHead, {.role = true, .text = ""}));
  EXPECT_EQ(role["object"], "chat.completion.chunk");
  EXPECT_EQ(role["choices"][0]["delta"]["role"], "assistant");
  EXPECT_EQ(role["choices"][0]["delta"]["content"], "");
  EXPECT_TRUE(role["choices"][0]["finish_reason"].is_null());
  EXPECT_FALSE(role.contains("usage"));
  const Json text = read(chat_chunk_json(kHead, {.text = "word"}));
  EXPECT_EQ(text["choices"][0]["delta"], Json({{"content", "word"}}));
  const Reply reply = reply_of(FinishReason::kLength, 1);
  const Json end = read(chat_chunk_json(kHead, {.text = "", .end = &reply}));
  EXPECT_EQ(end["choices"][0]["delta"], Json::object());
  EXPECT_EQ(end["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(end["ipfs_accelerate"]["served_by"], "cpu@cpu:0");
}

TEST(OpenAiWrite, UsageMemberOnlyWhereAskedFor) {
  ReplyHead head = kHead;
  head.usage_member = true;
  const Json chunk = read(text_chunk_json(head, {.index = 3, .text = "x"}));
  EXPECT_EQ(chunk["choices"][0]["index"], 3);
  EXPECT_EQ(chunk["choices"][0]["text"], "x");
  ASSERT_TRUE(chunk.contains("usage"));
  EXPECT_TRUE(chunk["usage"].is_null());
  const Json last = read(usage_chunk_json(head, kTextChunkObject, {.prompt_tokens = 1, .completion_tokens = 2}));
  EXPECT_EQ(last["choices"], Json::array());
  EXPECT_EQ(last["usage"]["total_tokens"], 3);
  EXPECT_EQ(last["object"], "text_completion");
}

TEST(OpenAiWrite, EventsAreOneLine) {
  EXPECT_EQ(sse_event("{}"), "data: {}\n\n");
  const std::string chunk = chat_chunk_json(kHead, {.text = "a\nb\r\n\xe2\x80\xa8"});
  EXPECT_THAT(chunk, Not(HasSubstr("\n")));
  EXPECT_THAT(chunk, Not(HasSubstr("\r")));
}

TEST(OpenAiWrite, InvalidUtf8IsReplacedNotThrown) {
  EXPECT_EQ(read(chat_chunk_json(kHead, {.text = "a\xff"}))["choices"][0]["delta"]["content"], "a\xef\xbf\xbd");
}

TEST(OpenAiWrite, EmbeddingsKeepEveryBit) {
  const std::vector<float> values = {0.1f, -1.5e-7f, 1.0f / 3, std::numeric_limits<float>::denorm_min(), 3.4028235e38f, -0.0f, 16777216.0f};
  const EmbedReply reply{.vectors = {values, {1.0f}}, .prompt_tokens = 9, .served_by = "cpu@cpu:0"};
  const Json numbers = read(embeddings_json(reply, "mini\"lm", false));
  EXPECT_EQ(numbers["object"], "list");
  EXPECT_EQ(numbers["model"], "mini\"lm");
  EXPECT_EQ(numbers["usage"]["prompt_tokens"], 9);
  EXPECT_EQ(numbers["usage"]["total_tokens"], 9);
  ASSERT_EQ(numbers["data"].size(), 2u);
  EXPECT_EQ(numbers["data"][1]["index"], 1);
  EXPECT_EQ(numbers["data"][0]["object"], "embedding");
  for (size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(static_cast<float>(numbers["data"][0]["embedding"][i].get<double>()), values[i]) << i;
  }
  const Json packed = read(embeddings_json(reply, "m", true));
  EXPECT_EQ(packed["data"][1]["embedding"], "AACAPw==");
}

TEST(OpenAiWrite, NoVectorsIsAnEmptyList) {
  EXPECT_EQ(read(embeddings_json({.vectors = {}, .prompt_tokens = 0, .served_by = ""}, "m", false))["data"], Json::array());
}

TEST(OpenAiWrite, Models) {
  const ListedModel listed{.name = "smollm2", .created_unix_s = 1700000000, .status = ""};
  const Json model = read(model_json(listed));
  EXPECT_EQ(model["id"], "smollm2");
  EXPECT_EQ(model["object"], "model");
  EXPECT_EQ(model["created"], 1700000000);
  EXPECT_EQ(model["owned_by"], "ipfs-accelerate");
  EXPECT_FALSE(model.contains("status"));
  const ListedModel both[] = {listed, {.name = "b", .created_unix_s = 1, .status = "unloaded"}};
  const Json list = read(model_list_json(both));
  EXPECT_EQ(list["object"], "list");
  EXPECT_EQ(list["data"][0]["id"], "smollm2");
  EXPECT_EQ(list["data"][1]["status"], "unloaded");
}

TEST(OpenAiWrite, ACommentIsOneLine) {
  EXPECT_EQ(sse_comment("moved:\r\n why"), ": moved:   why\n\n");
}

}  // namespace
}  // namespace accelerate
