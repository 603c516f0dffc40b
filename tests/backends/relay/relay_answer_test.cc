#include "accelerate/backends/relay/relay_answer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace accelerate {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> events_of(std::string_view text, size_t step) {
  SseReader reader;
  std::vector<std::string> all;
  for (size_t at = 0; at < text.size(); at += step) {
    const auto some = reader.feed(text.substr(at, step));
    EXPECT_TRUE(some.ok());
    all.insert(all.end(), some->begin(), some->end());
  }
  return all;
}

TEST(SseReader, FindsEventsHoweverTheyAreCut) {
  for (const size_t step : {size_t{1}, size_t{3}, size_t{1000}}) {
    EXPECT_THAT(events_of(": hello\n\ndata: one\n\ndata:two\r\n\r\nevent: x\nid: 1\ndata: a\ndata: b\n\n\n\ndata:  c\r\rdata: cut off", step),
                ElementsAre("one", "two", "a\nb", " c"));
  }
  SseReader reader;
  EXPECT_EQ(reader.feed("data: " + std::string(kSseEventBytesMax + 1, 'x')).error().code, ErrorCode::kResourceExhausted);
}

TEST(RelayAnswer, CollectsTextUsageAndItsEnd) {
  RelayAnswer answer("up");
  EXPECT_FALSE(answer.take(R"({"choices": [{"delta": {"role": "assistant", "content": ""}, "index": 0}]})")->has_value());
  EXPECT_FALSE(answer.begun());
  EXPECT_EQ((*answer.take(R"({"choices": [{"delta": {"content": "Hé"}, "finish_reason": null}], "usage": null})"))->text, "Hé");
  EXPECT_TRUE(answer.begun());
  EXPECT_FALSE(answer.whole());
  ASSERT_TRUE(answer.take(R"({"choices": [{"delta": {}, "finish_reason": "length"}]})").ok());
  EXPECT_TRUE(answer.whole());
  ASSERT_TRUE(answer.take(R"({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 3}}})").ok());
  EXPECT_FALSE(answer.done());
  ASSERT_TRUE(answer.take("[DONE]").ok());
  EXPECT_TRUE(answer.done());
  const Reply reply = answer.reply();
  EXPECT_EQ(reply.finish_reason, FinishReason::kLength);
  EXPECT_EQ(reply.usage.prompt_tokens, 7u);
  EXPECT_EQ(reply.usage.completion_tokens, 2u);
  EXPECT_EQ(reply.usage.cached_tokens, 3u);
  EXPECT_THAT(reply.notes, ElementsAre());
}

TEST(RelayAnswer, CollectsToolCallsAndRawText) {
  RelayAnswer answer("up");
  const auto part = answer.take(R"({"choices": [{"delta": {"tool_calls": [{"index": 1, "id": "call_9", "type": "function", "function": {"name": "f", "arguments": "{\"a\""}}]}}]})");
  ASSERT_TRUE(part.ok() && part->has_value());
  ASSERT_EQ((*part)->tool_calls.size(), 1u);
  EXPECT_EQ((*part)->tool_calls[0].index, 1u);
  EXPECT_EQ((*part)->tool_calls[0].id, "call_9");
  EXPECT_EQ((*part)->tool_calls[0].arguments, "{\"a\"");
  EXPECT_TRUE(answer.begun());
  const auto more = answer.take(R"({"choices": [{"delta": {"tool_calls": [{"index": 1, "id": "call_9", "function": {"name": "f", "arguments": ": 1}"}}, {"index": 2, "function": {"name": "g"}}]}}]})");
  EXPECT_EQ((*more)->tool_calls[0].id, "") << "repeated by the upstream, said once";
  EXPECT_EQ((*more)->tool_calls[0].name, "");
  EXPECT_EQ((*more)->tool_calls[0].arguments, ": 1}");
  EXPECT_TRUE((*more)->tool_calls[1].id.starts_with("call_"));
  ASSERT_TRUE(answer.take(R"({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]})").ok());
  EXPECT_EQ(answer.reply().finish_reason, FinishReason::kToolCalls);
  RelayAnswer raw("up");
  EXPECT_EQ((*raw.take(R"({"choices": [{"text": " time", "finish_reason": null}]})"))->text, " time");
}

TEST(RelayAnswer, SaysWhatItLeavesOut) {
  RelayAnswer answer("up");
  ASSERT_TRUE(answer.take(R"({"choices": [{"delta": {"reasoning_content": "hm"}}]})").ok());
  ASSERT_TRUE(answer.take(R"({"choices": [{"delta": {"content": "x"}, "finish_reason": "content_filter"}]})").ok());
  EXPECT_THAT(answer.reply().notes, ElementsAre(HasSubstr("usage"), HasSubstr("filter"), HasSubstr("reasoning")));
}

TEST(RelayAnswer, ForeignNonsenseIsAnError) {
  for (const char* data : {"", "x", "[]", "{", "\"text\"", "{\"choices\": [{\"delta\": {\"tool_calls\": [{\"index\": 4000000000}]}}]}"}) {
    EXPECT_EQ(RelayAnswer("up").take(data).error().code, ErrorCode::kDataLoss) << data;
  }
  for (const char* data : {"{}", R"({"choices": 3})", R"({"choices": [3]})", R"({"choices": [{"delta": 3}]})", R"({"choices": [{"delta": {"content": 3, "tool_calls": {"a": 1}}}]})",
                           R"({"usage": {"prompt_tokens": -1}})", R"({"usage": {"prompt_tokens": 99999999999}})", R"({"choices": [{"delta": {"tool_calls": [7]}}]})"}) {
    EXPECT_TRUE(RelayAnswer("up").take(data).ok()) << data;
  }
  const auto told = RelayAnswer("up").take(R"({"error": {"message": "gone", "code": "x"}})");
  ASSERT_FALSE(told.ok());
  EXPECT_EQ(told.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(told.error().message, HasSubstr("up"));
  EXPECT_THAT(told.error().message, HasSubstr("gone"));
}

TEST(RelayError, MapsStatuses) {
  const auto code = [](int status, std::string_view body = "{}") { return relay_error("up", status, body).code; };
  EXPECT_EQ(code(400), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code(400, R"({"error": {"message": "long", "code": "context_length_exceeded"}})"), ErrorCode::kOutOfRange);
  EXPECT_EQ(code(404), ErrorCode::kNotFound);
  EXPECT_EQ(code(429), ErrorCode::kResourceExhausted);
  EXPECT_EQ(code(501), ErrorCode::kUnimplemented);
  EXPECT_EQ(code(503), ErrorCode::kUnavailable);
  EXPECT_EQ(code(504), ErrorCode::kDeadlineExceeded);
  EXPECT_EQ(code(401), ErrorCode::kUnavailable) << "the caller's own key is fine";
  EXPECT_THAT(relay_error("up", 401, R"({"error": "no\nkey"})").message, HasSubstr("no key; try its key in IPFS_ACCELERATE_RELAY_"));
  EXPECT_THAT(relay_error("up", 500, "<html>\x01 broken").message, HasSubstr("<html>  broken"));
  EXPECT_LT(relay_error("up", 500, std::string(100'000, 'x')).message.size(), 1000u);
}

}  // namespace
}  // namespace accelerate
