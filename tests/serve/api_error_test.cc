#include "accelerate/serve/api_error.h"

#include <gtest/gtest.h>

#include "accelerate/base/json.h"

namespace accelerate {
namespace {

TEST(ApiError, EngineCodesBecomeStatuses) {
  const auto status = [](ErrorCode code) { return api_error({code, "m"}).status; };
  EXPECT_EQ(status(ErrorCode::kInvalidArgument), 400);
  EXPECT_EQ(status(ErrorCode::kFailedPrecondition), 400);
  EXPECT_EQ(status(ErrorCode::kOutOfRange), 400);
  EXPECT_EQ(status(ErrorCode::kNotFound), 404);
  EXPECT_EQ(status(ErrorCode::kResourceExhausted), 429);
  EXPECT_EQ(status(ErrorCode::kInternal), 500);
  EXPECT_EQ(status(ErrorCode::kUnimplemented), 501);
  EXPECT_EQ(status(ErrorCode::kUnavailable), 503);
  EXPECT_EQ(status(ErrorCode::kCancelled), 503) << "499 is for clients that left; nobody reads it";
  EXPECT_EQ(status(ErrorCode::kDeadlineExceeded), 504);
}

TEST(ApiError, ContextOverflowHasItsCode) {
  const ApiError error = api_error({ErrorCode::kOutOfRange, "too long"}, "messages");
  EXPECT_EQ(error.code, "context_length_exceeded");
  EXPECT_EQ(error.param, "messages");
  EXPECT_EQ(error.type, "invalid_request_error");
}

TEST(ApiError, RetryAfterWhereItHelps) {
  EXPECT_GT(api_error({ErrorCode::kResourceExhausted, ""}).retry_after_s, 0);
  EXPECT_GT(api_error({ErrorCode::kUnavailable, ""}).retry_after_s, 0);
  EXPECT_EQ(api_error({ErrorCode::kInternal, ""}).retry_after_s, 0);
}

TEST(ApiError, JsonHasOpenAisFourMembers) {
  const auto parsed = parse_json(error_json({.status = 404, .message = "a \"b\"", .param = "", .code = "c"}));
  ASSERT_TRUE(parsed.ok());
  const Json& error = (*parsed)["error"];
  EXPECT_EQ(error["message"], "a \"b\"");
  EXPECT_EQ(error["type"], "invalid_request_error");
  EXPECT_TRUE(error["param"].is_null());
  EXPECT_EQ(error["code"], "c");
  EXPECT_EQ(error.size(), 4u);
}

TEST(ApiError, InvalidUtf8InAMessageIsReplaced) {
  EXPECT_TRUE(parse_json(error_json({.message = "bad \xff", .param = "", .code = ""})).ok());
}

TEST(ApiError, ServerErrorsHaveAServerType) {
  EXPECT_EQ(api_error_of_status(500, "").type, "server_error");
  EXPECT_EQ(api_error_of_status(413, "").type, "invalid_request_error");
  EXPECT_EQ(api_error_of_status(401, "").code, "invalid_api_key");
}

}  // namespace
}  // namespace accelerate
